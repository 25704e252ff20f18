"""The files of one network that a runtime compiles and checks."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hw_profiles.errors import CompileError


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFiles:
    """One network as files, with the outputs that its artifact must reproduce.

    A float network must agree with ``output`` of the reference. A quantized network is
    checked against what its ONNX graph computes without
    optimizations, since rounding to 8 bits moves it away from PyTorch by design; its
    top-1 agreement with ``output`` is recorded and, where asked, demanded.
    """

    name: str
    """The candidate's id."""
    onnx: Path
    """Float graph, or the QDQ graph where ``quantized``; input (1, C, H, W), output (1, classes)."""
    quantized: bool = False
    reference: Path
    """An npz with ``input`` float32 (k, C, H, W) and ``output`` float32 (k, classes): from PyTorch, or from the ONNX
    graph where an artifact is checked that ships."""
    relative_tolerance: float = 1e-3
    """Largest absolute error allowed in a float network, as a fraction of the largest reference output."""
    quantized_tolerance: float = 0.1
    """The same for a quantized one: a value on a rounding boundary may flip and the flip travels on."""
    quantized_median_tolerance: float | None = None
    """The same on half of the images; None asks nothing."""
    min_top1_agreement: float = 0.0
    """Fraction of reference images on which the largest output must be the reference's; 0 asks nothing."""

    def require_graph(self) -> None:
        """Checks that there is something to compile.

        Raises:
            CompileError: if the ONNX graph is not there.
        """
        if not self.onnx.is_file():
            form = "quantized" if self.quantized else "float"
            raise CompileError(f"network {self.name} ({form}) has no graph to compile: {self.onnx.name} is gone.")

    def as_json(self) -> dict[str, Any]:
        """Every field as a JSON object, paths as strings."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "NetworkFiles":
        """Inverse of :meth:`as_json`."""
        return cls(**(dict(row) | {name: Path(row[name]) for name in ("onnx", "reference")}))
