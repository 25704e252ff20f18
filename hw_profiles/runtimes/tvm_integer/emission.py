"""Writes kernels as TIR statements: loops, vector loads and stores, values that are used more than once.

Kernels for tiny tiles of registers are written directly, not scheduled: what is unrolled,
held in registers and shuffled is then exactly what is written.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import tirx

Expr = Any
"""A TIR expression; TVM has no type annotations."""

_OPAQUE = 8
"""TVM's number for functions that it must not fuse with others."""


@dataclass(frozen=True, slots=True)
class View:
    """A part of a buffer, from an element on."""

    buffer: Any
    offset: int = 0


class Emitter:
    """Collects statements over flat buffers: of one kernel, or of several that run one after the other."""

    def __init__(self, *, parallel: bool = False) -> None:
        """A function without statements; ``parallel`` spreads outermost loops over threads."""
        self.parallel = parallel
        self._bound: deque[View] = deque()
        self._parameters: list[Any] = []
        self._blocks: list[list[Any]] = [[]]
        self._names = 0
        self._registers_in_use = False

    def parameter(self, name: str, dtype: str, *shape: int) -> View:
        """An argument of the function, a compact buffer that is indexed as a flat one."""
        buffer = tirx.decl_buffer(shape, dtype, name)
        self._parameters.append(buffer)
        return View(buffer)

    def bind(self, operands: Sequence[View]) -> None:
        """What the next kernel's operands are; without, each becomes a parameter."""
        self._bound = deque(operands)

    def operand(self, name: str, dtype: str, *shape: int) -> View:
        """The next operand of a kernel."""
        return self._bound.popleft() if self._bound else self.parameter(name, dtype, *shape)

    def scratch(self, dtype: str, size: int) -> View:
        """A buffer that lives in the current block."""
        buffer = tirx.decl_buffer((size,), dtype, self._unique("scratch"))
        self._blocks[-1].append(tirx.AllocBuffer(buffer))
        return View(buffer)

    def registers(self, dtype: str, count: int, lanes: int) -> "Registers":
        """Vectors of the current block that stay in registers; loops over them are not spread over threads."""
        self._registers_in_use |= len(self._blocks) == 1
        views = []
        for _ in range(count):
            buffer = tirx.decl_buffer((lanes,), dtype, self._unique("register"))
            self._blocks[-1].append(tirx.AllocBuffer(buffer))
            views.append(View(buffer))
        return Registers(self, views, lanes)

    @contextmanager
    def loop(self, extent: int) -> Iterator[Expr]:
        """A loop over ``range(extent)``; a single iteration becomes none."""
        if extent == 1:
            before = self._registers_in_use
            yield 0
            self._registers_in_use = before
            return
        index = tirx.Var(self._unique("i"), "int32")
        shared = len(self._blocks) == 1 and not self._registers_in_use
        self._blocks.append([])
        yield index
        body = tirx.stmt_seq(*self._blocks.pop())
        kind = tirx.ForKind.PARALLEL if self.parallel and shared else tirx.ForKind.SERIAL
        self._blocks[-1].append(tirx.For(index, 0, extent, kind, body))

    @contextmanager
    def when(self, condition: Expr) -> Iterator[None]:
        """Statements that run only where the condition holds."""
        self._blocks.append([])
        yield
        body = tirx.stmt_seq(*self._blocks.pop())
        self._blocks[-1].append(tirx.IfThenElse(condition, body, None))

    def let(self, value: Expr, dtype: str) -> Expr:
        """The value, computed once."""
        name = tirx.Var(self._unique("v"), dtype)
        self._blocks[-1].append(tirx.Bind(name, value))
        return name

    def load(self, view: View, index: Expr, lanes: int) -> Expr:
        """``lanes`` neighbouring elements from ``index`` on."""
        return tirx.BufferLoad(view.buffer, _flat(view, index, lanes, 1))

    def store(self, view: View, index: Expr, value: Expr, lanes: int, stride: int = 1) -> None:
        """Writes ``lanes`` elements from ``index`` on, ``stride`` apart."""
        self._blocks[-1].append(tirx.BufferStore(view.buffer, value, _flat(view, index, lanes, stride)))

    def function(self) -> Any:  # noqa: ANN401 - TVM has no type annotations
        """The function; schedules and fusion leave it as it is."""
        (block,) = self._blocks
        function = tirx.PrimFunc(self._parameters, tirx.stmt_seq(*block))
        return function.with_attrs({"tirx.noalias": True, "tirx.is_scheduled": True, "op_pattern": _OPAQUE})

    def _unique(self, stem: str) -> str:
        self._names += 1
        return f"{stem}{self._names}"


class Registers:
    """Numbered vectors, a small buffer each: TVM takes larger ones, and those of scope ``local``, from the heap."""

    def __init__(self, emitter: Emitter, views: Sequence[View], lanes: int) -> None:
        self._emitter = emitter
        self._views = views
        self._lanes = lanes

    def __getitem__(self, number: int) -> Expr:
        return self._emitter.load(self._views[number], 0, self._lanes)

    def __setitem__(self, number: int, value: Expr) -> None:
        self._emitter.store(self._views[number], 0, value, self._lanes)


def _flat(view: View, index: Expr, lanes: int, stride: int) -> list[Expr]:
    """Indices of a compact buffer that reach its elements as those of a flat one."""
    start = index + view.offset if view.offset else index
    last = tirx.Ramp(start, stride, lanes) if lanes > 1 else start
    return [*([0] * (len(view.buffer.shape) - 1)), last]


def constant(value: float, dtype: str, lanes: int) -> Expr:
    """A vector of one constant."""
    scalar = tirx.const(value, dtype)
    return tirx.Broadcast(scalar, lanes) if lanes > 1 else scalar


def shuffle(vectors: Sequence[Expr], order: Sequence[int] | NDArray[np.int_]) -> Expr:
    """Elements of the concatenated vectors in another order."""
    return tirx.Shuffle(list(vectors), [tirx.const(int(index), "int32") for index in order])
