"""Checks that an artifact computes the same outputs as its network."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hw_profiles.errors import DisagreementError
from hw_profiles.network_files import NetworkFiles
from hw_profiles.onnx_graph import FloatArray, graph_outputs

if TYPE_CHECKING:
    from hw_profiles.runtimes.protocol import Executable


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """The difference between an artifact's outputs and its reference outputs."""

    max_abs_error: float
    top1_agreement: float
    """Fraction of the reference images where the largest output is the reference's."""


def read_reference(files: NetworkFiles) -> tuple[FloatArray, FloatArray]:
    """Images (k, C, H, W) and PyTorch's outputs (k, classes), float32, all finite, k at least 1.

    Raises:
        DisagreementError: if the file is unreadable or holds anything else.
    """
    try:
        with np.load(files.reference, allow_pickle=False) as arrays:
            images, outputs = arrays["input"], arrays["output"]
    except (OSError, KeyError, ValueError, EOFError) as error:
        raise DisagreementError(f"reference {files.reference} cannot be read: {error}.") from error
    if images.ndim != 4 or outputs.ndim != 2 or len(images) != len(outputs) or len(images) < 1:
        raise DisagreementError(
            f"reference {files.reference} holds input {images.shape} and output {outputs.shape}; "
            "(k, C, H, W) and (k, classes) with k >= 1 are needed."
        )
    if not (np.isfinite(images).all() and np.isfinite(outputs).all()):
        raise DisagreementError(f"reference {files.reference} holds NaN or infinity.")
    return images.astype(np.float32), outputs.astype(np.float32)


def check_agreement(executable: "Executable", files: NetworkFiles) -> Agreement:
    """Runs the artifact on every reference image and compares.

    Raises:
        DisagreementError: if the outputs differ by more than the network's tolerance.
        ArtifactError: if the artifact does not run.
    """
    images, from_pytorch = read_reference(files)
    outputs = np.concatenate([executable.run(images[index : index + 1]) for index in range(len(images))])
    expected = graph_outputs(files.onnx, images) if files.quantized else from_pytorch
    if outputs.shape != expected.shape:
        raise DisagreementError(f"the artifact's output has shape {outputs.shape}; expected {expected.shape}.")
    if not np.isfinite(outputs).all():
        raise DisagreementError("the artifact returns NaN or infinity.")
    largest = float(np.abs(outputs - expected).max())
    allowed = (files.quantized_tolerance if files.quantized else files.relative_tolerance) * float(
        np.abs(expected).max()
    )
    if largest > allowed:
        against = "its quantized ONNX graph" if files.quantized else "PyTorch"
        raise DisagreementError(f"the artifact differs from {against} by {largest:.3g}, allowed are {allowed:.3g}.")
    if files.quantized and files.quantized_median_tolerance is not None:
        typical = float(np.median(np.abs(outputs - expected).max(axis=1)))
        allowed = files.quantized_median_tolerance * float(np.abs(expected).max())
        if typical > allowed:
            raise DisagreementError(
                f"the artifact differs from its quantized ONNX graph by {typical:.3g} on half of the images, "
                f"allowed are {allowed:.3g}."
            )
    agreement = float((outputs.argmax(axis=1) == from_pytorch.argmax(axis=1)).mean())
    if agreement < files.min_top1_agreement:
        raise DisagreementError(
            f"the artifact predicts the class of its reference on {agreement:.1%} of {len(images)} images;"
            f" {files.min_top1_agreement:.1%} is required."
        )
    return Agreement(max_abs_error=largest, top1_agreement=agreement)
