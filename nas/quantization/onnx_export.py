"""Captured networks, and float ONNX files whose nodes know which unit of the network they belong to.

A node is named ``UNIT/OPERATOR_NUMBER``, so that a quantization policy, a profile or a
reader can tell what it came from.
"""

import contextlib
import functools
import io
import logging
import operator
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import onnx
import torch
from torch import nn
from torch._ops import OpOverload
from torch.export import ExportedProgram
from torch.onnx._internal.exporter import _core
from torch.onnx._internal.exporter._registration import ONNXRegistry

from nas.home import write_atomically
from search_spaces.errors import NasError
from search_spaces.task import TaskSpec

_SCOPES_KEY = "pkg.torch.onnx.name_scopes"
_OUTSIDE = "network"


class ExportError(NasError):
    """A network that cannot be captured or written as ONNX."""

    code: ClassVar[str] = "export-failed"


def capture(network: nn.Module, example: torch.Tensor) -> ExportedProgram:
    """The network as a program with static shapes: what TVM compiles, and what is written as ONNX.

    Args:
        network: in evaluation mode; takes the task's input, such as float32 images (1, C, H, W), returns logits
            (1, classes).
        example: one such input.

    Raises:
        ExportError: if PyTorch cannot capture it.
    """
    try:
        return torch.export.export(network, (example,))
    except (RuntimeError, torch._dynamo.exc.TorchDynamoException) as error:
        raise ExportError(f"PyTorch could not export the network: {error}") from error


def export_onnx(program: ExportedProgram, units: Sequence[str], path: Path, *, task: TaskSpec) -> None:
    """Writes an exported network as one ONNX file with static shapes.

    Args:
        program: by :func:`capture`.
        units: module paths of the units, for example ``stage1.block2``.
        path: the file; written whole or not at all.
        task: names the graph's inputs and outputs.

    Raises:
        ExportError: if PyTorch cannot export the network.
    """
    try:
        with _quiet(), _without_repeated_work():
            onnx_program = torch.onnx.export(
                program,
                dynamo=True,
                external_data=False,
                verbose=False,
                input_names=[tensor.name for tensor in task.inputs],
                output_names=[tensor.name for tensor in task.outputs],
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


@contextlib.contextmanager
def _without_repeated_work() -> Iterator[None]:
    """Leaves out of an export what takes five sixths of its time and changes nothing for our networks.

    The exporter reads its operator table from source in each export, though it depends on the operator set's
    version alone; and it traces the program again to break up operators that ONNX cannot say, where there are none.
    """
    # torch.onnx.export takes neither as an argument, and mypy takes nothing that is replaced.
    read, prepare = ONNXRegistry.from_torchlib, _core._prepare_exported_program_for_export

    def prepare_if_needed(exported_program: ExportedProgram, *, registry: ONNXRegistry) -> ExportedProgram:
        if _ready_for_onnx(exported_program, registry):
            return exported_program
        return prepare(exported_program, registry=registry)

    ONNXRegistry.from_torchlib = staticmethod(_operators)  # type: ignore[method-assign]  # as said above
    _core._prepare_exported_program_for_export = prepare_if_needed
    try:
        yield
    finally:
        ONNXRegistry.from_torchlib = read  # type: ignore[method-assign]  # PyTorch's own again
        _core._prepare_exported_program_for_export = prepare


_operators = functools.cache(ONNXRegistry.from_torchlib)


def _ready_for_onnx(program: ExportedProgram, registry: ONNXRegistry) -> bool:
    """Whether ONNX has every operator as it is: known, pure, and float32 alone, which no type promotion touches."""
    return all(
        (node.target is operator.getitem or _is_pure_operator(node.target, registry))
        and _is_float32(node.meta.get("val"))
        for node in program.graph.nodes
        if node.op == "call_function"
    )


def _is_pure_operator(target: object, registry: ONNXRegistry) -> bool:
    return isinstance(target, OpOverload) and registry.is_registered(target) and not target._schema.is_mutable


def _is_float32(value: object) -> bool:
    """Of a tensor, or of all parts that a tensor is split into."""
    parts = value if isinstance(value, list) else [value]
    return all(isinstance(part, torch.Tensor) and part.dtype == torch.float32 for part in parts)


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
