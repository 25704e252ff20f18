"""Reads a QDQ graph as integer operators, and as float nodes where units stay in fp32.

An operator between DequantizeLinear and QuantizeLinear is one integer operator. What fits
none of the known forms stays float, with its conversions, and the reason is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import onnx

from hw_profiles.quantized_units import (
    NO_INTEGER_FORM,
    PRODUCTS,
    quantized_nodes,
    quantized_units,
    unit_of,
)
from hw_profiles.runtimes.tvm_integer.operator_reading import MOST_STEPS, NotIntegerError, OperatorReader
from hw_profiles.runtimes.tvm_integer.operators import (
    ActivationOperator,
    AddOperator,
    ConvolutionOperator,
    DequantizeOperator,
    IntegerOperator,
    QuantizeOperator,
)
from search_spaces.precision import Precision

if TYPE_CHECKING:
    from hw_profiles.runtimes.tvm_integer.instructions import Instructions


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatSegment:
    """Neighbouring nodes that stay in float."""

    nodes: tuple[onnx.NodeProto, ...]


Step = IntegerOperator | QuantizeOperator | DequantizeOperator | FloatSegment


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegerGraph:
    """A network as steps in an order in which they can run."""

    model: onnx.ModelProto
    """With the shape of every tensor."""
    steps: tuple[Step, ...]
    reasons: tuple[str, ...]
    """Why quantized operators stay in float, one sentence each."""

    @property
    def operators(self) -> int:
        """Integer operators, conversions not counted."""
        return sum(isinstance(step, IntegerOperator) for step in self.steps)


def read_graph(model: onnx.ModelProto, instructions: "Instructions") -> IntegerGraph:
    """The steps of a QDQ graph of one image.

    Args:
        model: opset 13 or later, static shapes.
        instructions: decide which activations are exact behind a convolution.
    """
    found = _read_operators(model)
    return IntegerGraph(
        model=found.nodes.model,
        steps=_GraphReader(found.nodes).steps(found, instructions),
        reasons=tuple(f"{name}: {reason}" for name, reason in found.reasons),
    )


def float_units(model: onnx.ModelProto, precisions: Mapping[str, Precision]) -> dict[str, str]:
    """Units of a reduced precision that are computed in float, each with the reason; needs no TVM.

    These are units none of whose products (or, where they have none, none of whose operators) is integer.

    Args:
        model: as of :func:`read_graph`.
        precisions: by unit, as the network's policy has them.
    """
    found = _read_operators(model)
    multiplying = {unit_of(node.name) for node in quantized_nodes(model) if node.op_type in PRODUCTS}
    integer = {
        found.unit(index)
        for index, operator in found.operators.items()
        if isinstance(operator, ConvolutionOperator) or found.unit(index) not in multiplying
    }
    units = {}
    for unit in quantized_units(precisions):
        if unit not in integer:
            reasons = [reason for name, reason in found.reasons if unit_of(name) == unit]
            units[unit] = "; ".join(dict.fromkeys(reasons)) or NO_INTEGER_FORM
    return units


@dataclass(frozen=True, slots=True, kw_only=True)
class _Operators:
    """What a graph's QuantizeLinear nodes end, by their numbers."""

    nodes: OperatorReader
    operators: dict[int, IntegerOperator]
    conversions: Mapping[int, QuantizeOperator]
    """Roundings of float tensors."""
    reasons: tuple[tuple[str, str], ...]
    """Names of nodes that were meant to be integer, and why they are not."""

    def unit(self, index: int) -> str:
        """The unit of the operator that a QuantizeLinear node ends."""
        return unit_of(self.nodes.name_of(self.nodes.nodes[index].input[0]))


def _read_operators(model: onnx.ModelProto) -> _Operators:
    nodes = OperatorReader(onnx.shape_inference.infer_shapes(model, data_prop=True))
    operators: dict[int, IntegerOperator] = {}
    conversions: dict[int, QuantizeOperator] = {}
    reasons: list[tuple[str, str]] = []
    for index, node in enumerate(nodes.nodes):
        if node.op_type != "QuantizeLinear":
            continue
        try:
            result = nodes.result(node)
        except NotIntegerError as error:
            reasons.append((node.name, str(error)))
            continue
        try:
            operators[index] = nodes.operator(node, result)
        except NotIntegerError as error:
            if nodes.reads_only_quantized(node.input[0]):
                reasons.append((nodes.name_of(node.input[0]), str(error)))
            conversions[index] = QuantizeOperator(float_name=node.input[0], output=result)
    return _Operators(nodes=nodes, operators=operators, conversions=conversions, reasons=tuple(reasons))


class _GraphReader:
    """Puts a graph's operators together: fused, and in an order in which they can run."""

    def __init__(self, nodes: OperatorReader) -> None:
        self._nodes = nodes

    def steps(self, found: _Operators, instructions: "Instructions") -> tuple[Step, ...]:
        operators = dict(found.operators)
        self._fuse(operators, instructions)
        return self._ordered(operators, found.conversions)

    def _fuse(self, operators: dict[int, IntegerOperator], instructions: "Instructions") -> None:
        """Moves activations and sums behind the convolution that they follow, where nothing else reads it."""
        written = {operator.output.name: index for index, operator in operators.items()}
        for index, operator in sorted(operators.items()):
            if isinstance(operator, ActivationOperator):
                candidates = [operator.source]
            elif isinstance(operator, AddOperator):
                candidates = list(operator.sources)
            else:
                continue
            for tensor in candidates:
                at = written.get(tensor.name)
                before = operators.get(at) if at is not None else None
                if at is None or not isinstance(before, ConvolutionOperator) or before.residual is not None:
                    continue
                if before.output.shape != tensor.shape or not self._is_read_once(tensor.name):
                    continue
                if isinstance(operator, ActivationOperator):
                    if before.activation is not None or not operator.function.is_exact(instructions):
                        continue
                    if not operator.function.largest(before.largest) <= MOST_STEPS:
                        continue  # not clipped before it, it might not fit in int32
                    fused = replace(before, activation=operator)
                else:
                    other = next(entry for entry in operator.sources if entry != tensor)
                    if before.depthwise or other == tensor:
                        continue
                    fused = replace(before, residual=operator)
                del operators[at]
                operators[index] = fused
                written[operator.output.name] = index
                break

    def _is_read_once(self, name: str) -> bool:
        readers = self._nodes.consumers.get(name, [])
        return (
            len(readers) == 1
            and len(self._nodes.consumers.get(self._nodes.nodes[readers[0]].output[0], [])) == 1
            and (self._nodes.nodes[readers[0]].output[0] not in self._nodes.outputs)
        )

    def _ordered(
        self, operators: Mapping[int, IntegerOperator], conversions: Mapping[int, QuantizeOperator]
    ) -> tuple[Step, ...]:
        """Everything that the outputs need, by the place of its last node."""
        tensors = {step.output.name: index for index, step in (*operators.items(), *conversions.items())}
        needed: dict[int, Step] = {}
        floats: set[int] = set()
        pending = list(self._nodes.outputs)
        while pending:
            name = pending.pop()
            if name not in self._nodes.producers:
                continue
            index = self._nodes.producers[name]
            node = self._nodes.nodes[index]
            if index in needed or index in floats:
                continue
            if node.op_type == "DequantizeLinear" and node.input[0] in tensors:
                source = self._nodes.source_of(name)
                needed[index] = DequantizeOperator(source=source, float_name=name)
                pending.append(source.name)
            elif index in operators:
                needed[index] = operators[index]
                pending += [tensor.name for tensor in operators[index].sources]
            elif index in conversions:
                needed[index] = conversions[index]
                pending.append(conversions[index].float_name)
            else:
                floats.add(index)
                pending += list(node.input)
        return self._segmented(needed, floats)

    def _segmented(self, needed: Mapping[int, Step], floats: set[int]) -> tuple[Step, ...]:
        steps: list[Step] = []
        segment: list[onnx.NodeProto] = []
        for index in sorted(needed.keys() | floats):
            if index in floats:
                segment.append(self._nodes.nodes[index])
                continue
            if segment:
                steps.append(FloatSegment(nodes=tuple(segment)))
                segment = []
            steps.append(needed[index])
        if segment:
            steps.append(FloatSegment(nodes=tuple(segment)))
        return tuple(steps)
