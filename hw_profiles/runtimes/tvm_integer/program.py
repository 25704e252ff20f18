"""Kernels that run one after the other as one function: one call, one block of constants, one of memory.

A call through the virtual machine costs as much as a small kernel, so that a network's
integer operators become one function. Its tensors share one block of memory, planned by
when each is first written and last read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hw_profiles.runtimes.tvm_integer.emission import Emitter, View

_ALIGNMENT: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """A tensor of a program."""

    name: str
    dtype: str = "uint8"
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Elements."""
        return int(np.prod(self.shape))


Operand = Tensor | NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Call:
    emit: Callable[[Emitter], None]
    operands: tuple[Operand, ...]
    """What is read, then what is written."""


@dataclass
class Program:
    """A run of kernels; uint8 tensors that only it uses get memory of its own."""

    parallel: bool = False
    calls: list[_Call] = field(default_factory=list)

    def add(self, emit: Callable[[Emitter], None], *operands: Operand) -> None:
        """Appends a kernel; its last operand is written, the others are read."""
        self.calls.append(_Call(emit, operands))

    @property
    def written(self) -> dict[str, Tensor]:
        """Tensors that a kernel writes."""
        return {
            call.operands[-1].name: call.operands[-1] for call in self.calls if isinstance(call.operands[-1], Tensor)
        }

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Tensors that are read and not written."""
        read = {entry.name: entry for call in self.calls for entry in call.operands[:-1] if isinstance(entry, Tensor)}
        return tuple(entry for name, entry in read.items() if name not in self.written)

    def function(self, outputs: Sequence[str]) -> tuple[Any, list[NDArray[Any]]]:
        """The function with parameters inputs, constants, outputs; and the constants.

        Args:
            outputs: names of written tensors that others need.
        """
        emitter = Emitter(parallel=self.parallel)
        views = {
            entry.name: emitter.parameter(f"input{at}", entry.dtype, *entry.shape)
            for at, entry in enumerate(self.inputs)
        }
        blocks, places = self._constants()
        constants = {
            dtype: emitter.parameter(f"constants_{dtype}", dtype, len(block)) for dtype, block in blocks.items()
        }
        for at, name in enumerate(outputs):
            entry = self.written[name]
            views[name] = emitter.parameter(f"output{at}", entry.dtype, *entry.shape)
        offsets, size = self._memory(outputs)
        if size:
            memory = emitter.scratch("uint8", size)
            views |= {name: View(memory.buffer, offset) for name, offset in offsets.items()}
        for number, call in enumerate(self.calls):
            bound = []
            for at, operand in enumerate(call.operands):
                if isinstance(operand, Tensor):
                    bound.append(views[operand.name])
                else:
                    bound.append(View(constants[str(operand.dtype)].buffer, places[number, at]))
            emitter.bind(bound)
            call.emit(emitter)
        return emitter.function(), list(blocks.values())

    def _constants(self) -> tuple[dict[str, NDArray[Any]], dict[tuple[int, int], int]]:
        """One block per dtype, and where each call's constants begin in theirs."""
        parts: dict[str, list[NDArray[Any]]] = {}
        places: dict[tuple[int, int], int] = {}
        for number, call in enumerate(self.calls):
            for at, operand in enumerate(call.operands):
                if not isinstance(operand, Tensor):
                    mine = parts.setdefault(str(operand.dtype), [])
                    places[number, at] = sum(map(len, mine))
                    step = _ALIGNMENT // operand.itemsize
                    mine.append(np.pad(operand.ravel(), (0, -operand.size % step)))
        return {dtype: np.concatenate(mine) for dtype, mine in parts.items()}, places

    def _memory(self, outputs: Sequence[str]) -> tuple[dict[str, int], int]:
        """Offsets of the tensors that stay inside, none overlapping while both live; and the size in bytes."""
        first: dict[str, int] = {}
        last: dict[str, int] = {}
        for number, call in enumerate(self.calls):
            for operand in call.operands:
                if isinstance(operand, Tensor):
                    first.setdefault(operand.name, number)
                    last[operand.name] = number
        inside = [tensor for name, tensor in self.written.items() if name not in outputs]
        placed: list[tuple[int, int, str]] = []
        for tensor in sorted(inside, key=lambda entry: -entry.size):
            size = -(-tensor.size // _ALIGNMENT) * _ALIGNMENT
            start = 0
            for begin, end, other in sorted(placed):
                together = first[tensor.name] <= last[other] and first[other] <= last[tensor.name]
                if together and begin < start + size and start < end:
                    start = end
            placed.append((start, start + size, tensor.name))
        return {name: begin for begin, _, name in placed}, max((end for _, end, _ in placed), default=0)
