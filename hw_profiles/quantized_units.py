"""Units of quantized networks, as their graphs name them, and which of them stay in float all the same.

A node of an exported graph is called ``UNIT/OPERATOR_NUMBER``. In a QDQ graph, a quantized operator reads
dequantized tensors alone.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hw_profiles.errors import ArtifactError
from search_spaces.precision import SPECS, Precision

if TYPE_CHECKING:
    import onnx

QUANTIZED_OPERATORS: Final = (
    "Conv", "Gemm", "MatMul", "Add", "Mul", "GlobalAveragePool", "MaxPool", "Relu",
)  # fmt: skip
"""Types of the nodes that are quantized in a unit of a reduced precision."""

PRODUCTS: Final = ("Conv", "Gemm", "MatMul")
"""Those with weights, their second input."""

NO_INTEGER_FORM: Final = "none of its operators has an integer form"


def unit_of(node_name: str) -> str:
    """The unit in a node's name."""
    return node_name.partition("/")[0]


def quantized_units(precisions: Mapping[str, Precision]) -> tuple[str, ...]:
    """The units whose precision is a reduced one, in order."""
    return tuple(unit for unit, precision in precisions.items() if SPECS[precision].quantized)


def read_quantized_graph(path: Path) -> "onnx.ModelProto":
    """The graph in a file.

    Raises:
        ArtifactError: if it cannot be read.
    """
    import onnx  # noqa: PLC0415 - devices that compile nothing do without it

    try:
        return onnx.load(path)
    except Exception as error:  # its errors have no common root
        raise ArtifactError(f"{path} cannot be read as an ONNX graph: {error}") from error


def units_without_integers(model: "onnx.ModelProto", precisions: Mapping[str, Precision]) -> dict[str, str]:
    """Units of a reduced precision none of whose operators is quantized, each with the reason.

    Args:
        model: the QDQ graph.
        precisions: by unit, as the network's policy has them.
    """
    integer = {unit_of(node.name) for node in quantized_nodes(model)}
    return {unit: NO_INTEGER_FORM for unit in quantized_units(precisions) if unit not in integer}


def quantized_nodes(model: "onnx.ModelProto") -> "list[onnx.NodeProto]":
    """The nodes of a QDQ graph that are quantized, in order."""
    constants = {tensor.name for tensor in model.graph.initializer}
    dequantized = {name for node in model.graph.node if node.op_type == "DequantizeLinear" for name in node.output}

    def is_quantized(node: "onnx.NodeProto") -> bool:
        if node.op_type in PRODUCTS:
            return dequantized.issuperset(node.input[:2])
        return node.op_type in QUANTIZED_OPERATORS and dequantized.issuperset(set(node.input) - constants)

    return [node for node in model.graph.node if is_quantized(node)]
