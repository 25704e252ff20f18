"""Captured networks, and float ONNX files whose nodes know which unit of the network they belong to.

A node is named ``UNIT/OPERATOR_NUMBER``, so that a quantization policy, a profile or a
reader can tell what it came from.
"""

import contextlib
import functools
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import onnx
import torch
from torch import nn
from torch.export import ExportedProgram
from torch.onnx._internal.exporter._registration import ONNXRegistry

from nas.home import write_atomically
from search_spaces.errors import NasError

INPUT_NAME = "images"
OUTPUT_NAME = "logits"
_SCOPES_KEY = "pkg.torch.onnx.name_scopes"
_OUTSIDE = "network"


class ExportError(NasError):
    """A network that cannot be captured or written as ONNX."""

    code: ClassVar[str] = "export-failed"


def capture(network: nn.Module, example: torch.Tensor) -> ExportedProgram:
    """The network as a program with static shapes: what TVM compiles, and what is written as ONNX.

    Args:
        network: in evaluation mode; takes float32 images (1, C, H, W), returns logits (1, classes).
        example: one such input.

    Raises:
        ExportError: where PyTorch cannot capture it.
    """
    try:
        return torch.export.export(network, (example,))
    except (RuntimeError, torch._dynamo.exc.TorchDynamoException) as error:
        raise ExportError(f"PyTorch could not export the network: {error}") from error


def export_onnx(program: ExportedProgram, units: Sequence[str], path: Path) -> None:
    """Writes an exported network as one ONNX file with static shapes.

    Args:
        program: by :func:`capture`.
        units: module paths of the units, for example ``stage1.block2``.
        path: the file; written whole or not at all.

    Raises:
        ExportError: where PyTorch cannot export the network.
    """
    try:
        with _quiet(), _operators_read_once():
            onnx_program = torch.onnx.export(
                program,
                dynamo=True,
                external_data=False,
                verbose=False,
                input_names=[INPUT_NAME],
                output_names=[OUTPUT_NAME],
            )
    except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
        raise ExportError(f"PyTorch could not export the network to ONNX: {error}") from error
    if onnx_program is None:
        raise ExportError("PyTorch's exporter returned no ONNX program.")
    model = onnx_program.model_proto
    name_nodes_by_unit(model, units)
    write_atomically(path, lambda temporary: onnx.save(model, temporary))


def name_nodes_by_unit(model: onnx.ModelProto, units: Sequence[str]) -> None:
    """Renames every node to ``UNIT/OPERATOR_NUMBER`` from the module scopes that PyTorch recorded."""
    known = set(units)
    for number, node in enumerate(model.graph.node):
        recorded = {entry.key: entry.value for entry in node.metadata_props}.get(_SCOPES_KEY, "")
        scopes = recorded.strip("[]").replace("'", "").split(", ")
        unit = next((scope for scope in reversed(scopes) if scope in known), _OUTSIDE)
        node.name = f"{unit}/{node.op_type}_{number}"
        # What PyTorch records (stack traces, file paths) is of no use on a device.
        del node.metadata_props[:]


def unit_of(node_name: str) -> str:
    """The unit in a node's name."""
    return node_name.partition("/")[0]


@contextlib.contextmanager
def _operators_read_once() -> Iterator[None]:
    """Lets exports of one process share the exporter's operator table, which it reads from source each time.

    That is a third of an export's time. The table depends on the operator set's version alone, and no export
    changes it.
    """
    read = ONNXRegistry.from_torchlib
    # torch.onnx.export takes no table, and mypy takes no method that is replaced.
    ONNXRegistry.from_torchlib = staticmethod(_operators)  # type: ignore[method-assign]  # as said above
    try:
        yield
    finally:
        ONNXRegistry.from_torchlib = read  # type: ignore[method-assign]  # PyTorch's own again


_operators = functools.cache(ONNXRegistry.from_torchlib)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporter's progress and its notes on absent packages off the terminal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
