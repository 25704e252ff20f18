"""Files of a deployed network, which runtimes compile and whose outputs are checked."""

# ruff: noqa: PLC0415 - torch is for processes that prepare candidates; the one that owns the pool does not need it

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hw_profiles.network_files import NetworkFiles
from nas.home import write_atomically

if TYPE_CHECKING:
    from nas.networks.network import UnitNetwork
    from nas.quantization.trained_quantization import TrainedQuantization

FloatImages = NDArray[np.float32]


def deployed_files(folder: Path, candidate_id: str, *, quantized: bool) -> NetworkFiles:
    """Where the files of a candidate lie in its folder."""
    return NetworkFiles(
        name=candidate_id,
        onnx=folder / ("quantized.onnx" if quantized else "float.onnx"),
        quantized=quantized,
        reference=folder / "reference.npz",
    )


def write_deployed_files(
    deployed: "UnitNetwork",
    files: NetworkFiles,
    *,
    reference: FloatImages,
    calibration: FloatImages,
    quantization: "TrainedQuantization | None" = None,
) -> None:
    """Writes a network's graph and reference outputs, each file completely or not at all.

    Args:
        deployed: folded and in evaluation mode.
        files: where to write them.
        reference: images (n, C, H, W) whose outputs every compiled form must reproduce.
        calibration: images that activation ranges are taken from.
        quantization: the scales that it was trained with, if it was.

    Raises:
        ExportError: if PyTorch cannot export it, or the integer graph does not compute what was trained.
        DiskFullError: if the disk is full.
    """
    # torch takes seconds to import; the command line knows where files lie without it.
    import torch

    from nas.quantization.onnx_export import capture, export_onnx
    from nas.quantization.static_quantization import QuantizableGraph

    precisions = deployed.precisions
    with torch.no_grad():
        outputs = deployed(torch.from_numpy(reference)).numpy()
    _write_reference(files.reference, reference, outputs)
    program = capture(deployed, torch.from_numpy(reference[:1]))
    float_path = files.onnx.with_name("float.onnx")
    export_onnx(program, tuple(precisions), float_path, task=deployed.space.task)
    if not files.quantized:
        return
    if quantization is None:
        QuantizableGraph.calibrated(float_path, calibration).write(precisions, files.onnx)
    else:
        QuantizableGraph.trained(float_path, quantization).write(precisions, files.onnx)
        quantization.require_outputs(files.onnx, calibration)


def _write_reference(path: Path, images: FloatImages, outputs: FloatImages) -> None:
    def fill(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez(file, input=images, output=outputs)

    write_atomically(path, fill)
