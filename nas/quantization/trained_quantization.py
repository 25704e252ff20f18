"""What an integer graph takes over from quantization-aware training: scales, and the outputs that it must have."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from hw_profiles.onnx_graph import graph_outputs
from nas.home import write_atomically
from nas.quantization.onnx_export import ExportError
from search_spaces.errors import NasError

FloatArray = NDArray[np.float32]
SCALES_FILE: Final = "scales.safetensors"
"""Beside the weights of a network that was trained so."""
_MEDIAN_DIFFERENCE: Final = 0.01
"""Of an image's outputs, as a fraction of the largest output: half of the images must stay below."""
_LEAST_AGREEMENT: Final = 0.95
"""Fraction of the images whose class must be the same."""
_RANGE: Final = "range."
_SCALE: Final = "scale."
_OUTPUTS: Final = "outputs"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainedQuantization:
    """Scales that a network was trained with, under one policy."""

    ranges: Mapping[str, tuple[float, float]]
    """Lowest and highest value of every activation, by its name in the float graph."""
    weight_scales: Mapping[str, FloatArray]
    """Of quantized weights by name: as many dimensions as they have and all but the channels' 1, or ``()`` for one
    scale per tensor."""
    outputs: FloatArray
    """Of the trained network, ``(n, classes)``, for the first ``n`` calibration images."""

    def save(self, path: Path) -> None:
        """Writes a safetensors file, completely or not at all."""
        tensors = {f"{_RANGE}{name}": np.array(ends, dtype=np.float64) for name, ends in self.ranges.items()}
        tensors |= {f"{_SCALE}{name}": np.ascontiguousarray(scale) for name, scale in self.weight_scales.items()}
        tensors[_OUTPUTS] = np.ascontiguousarray(self.outputs)
        write_atomically(path, lambda temporary: save_file(tensors, temporary))

    def require_outputs(self, integer_path: Path, images: FloatArray) -> None:
        """Compares what an integer graph computes, node by node, with what was trained.

        Both round the same values; sums in another order may carry one over the boundary between two integers.

        Args:
            integer_path: the QDQ graph.
            images: the calibration images, ``(n, c, h, w)``, in order.

        Raises:
            ExportError: if they differ by more.
            ArtifactError: if the graph cannot be run.
        """
        found = graph_outputs(integer_path, images[: len(self.outputs)])
        trained = self.outputs[: len(found)]
        differences = np.abs(found - trained).max(axis=1) / np.abs(trained).max()
        same = float((found.argmax(axis=1) == trained.argmax(axis=1)).mean())
        if not np.median(differences) <= _MEDIAN_DIFFERENCE or same < _LEAST_AGREEMENT:
            raise ExportError(
                f"the integer graph is not the network that was trained: on {len(found)} images its outputs differ by"
                f" {np.median(differences):.1%} of the largest (median; at most {_MEDIAN_DIFFERENCE:.0%} is rounding)"
                f" and {same:.0%} of the classes are the same."
            )

    @classmethod
    def load(cls, path: Path) -> Self:
        """The inverse of :meth:`save`.

        Raises:
            NasError: if the file is missing or damaged.
        """
        try:
            tensors = load_file(path)
            ranges = {name: tensors[name] for name in tensors if name.startswith(_RANGE)}
            return cls(
                ranges={name.removeprefix(_RANGE): (float(low), float(high)) for name, (low, high) in ranges.items()},
                weight_scales={
                    name.removeprefix(_SCALE): tensor for name, tensor in tensors.items() if name.startswith(_SCALE)
                },
                outputs=tensors[_OUTPUTS],
            )
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise NasError(f"{path} cannot be read as trained scales ({error}); finish the network again.") from error
