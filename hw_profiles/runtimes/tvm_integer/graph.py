"""Reads a QDQ graph as integer operators, and as float nodes where units stay in fp32.

An operator between DequantizeLinear and QuantizeLinear is one integer operator. What fits
none of the known forms stays float, with its conversions, and the reason is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import onnx

from hw_profiles.runtimes.tvm_integer.instructions import Instructions
from hw_profiles.runtimes.tvm_integer.operator_reading import NotIntegerError, OperatorReader
from hw_profiles.runtimes.tvm_integer.operators import (
    ActivationOperator,
    AddOperator,
    ConvolutionOperator,
    DequantizeOperator,
    IntegerOperator,
    QuantizeOperator,
)


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


def read_graph(model: onnx.ModelProto, instructions: Instructions) -> IntegerGraph:
    """The steps of a QDQ graph of one image.

    Args:
        model: opset 13 or later, static shapes.
        instructions: decide which activations are exact behind a convolution.
    """
    nodes = OperatorReader(onnx.shape_inference.infer_shapes(model, data_prop=True))
    return _GraphReader(nodes).read(instructions)


class _GraphReader:
    """Puts a graph's operators together: fused, and in an order in which they can run."""

    def __init__(self, nodes: OperatorReader) -> None:
        self._nodes = nodes
        self._reasons: list[str] = []

    def read(self, instructions: Instructions) -> IntegerGraph:
        operators: dict[int, IntegerOperator] = {}
        conversions: dict[int, QuantizeOperator] = {}
        for index, node in enumerate(self._nodes.nodes):
            if node.op_type != "QuantizeLinear":
                continue
            try:
                result = self._nodes.result(node)
            except NotIntegerError as error:
                self._reasons.append(f"{node.name}: {error}")
                continue
            try:
                operators[index] = self._nodes.operator(node, result)
            except NotIntegerError as error:
                if self._nodes.reads_only_quantized(node.input[0]):
                    self._reasons.append(f"{self._nodes.name_of(node.input[0])}: {error}")
                conversions[index] = QuantizeOperator(float_name=node.input[0], output=result)
        self._fuse(operators, instructions)
        return IntegerGraph(
            model=self._nodes.model, steps=self._ordered(operators, conversions), reasons=tuple(self._reasons)
        )

    def _fuse(self, operators: dict[int, IntegerOperator], instructions: Instructions) -> None:
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
