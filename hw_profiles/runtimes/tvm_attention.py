"""Self-attention as one kernel: products, softmax and weighted sums while they are in registers or cache.

It replaces the batched products, the softmax between them and all that only reorders queries,
keys, values and results (compare FlashAttention, Dao et al., NeurIPS 2022, whose tiles are for
longer sequences). What it reads and writes is found by applying the same reorderings to
the positions of a tensor's elements.
"""

# ruff: noqa: ANN401 - TVM has no type annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import tvm
from numpy.typing import NDArray
from tvm import relax, tirx
from tvm.ir import GenericConst
from tvm.relax.expr_functor import PyExprMutator, mutator

from hw_profiles.runtimes.tvm_integer.emission import Emitter, Expr, Registers, View, constant, shuffle
from hw_profiles.runtimes.tvm_rows import LOWEST, across, broadcast, exponential
from hw_profiles.runtimes.tvm_schedules import RegisterFile

_MOST_ROWS: Final = 4
"""Queries per tile: more of them share each vector of keys, and need more registers."""
_MOST_TOKENS: Final = 1024
_LEAST_LANES: Final = 4
_Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TokenView:
    """Where a tensor's elements by head, token and channel are; neighbouring channels are neighbours."""

    start: int
    head: int
    token: int

    def at(self, head: Expr, token: Expr, channel: Expr) -> Expr:
        """The position of an element."""
        return self.start + head * self.head + token * self.token + channel


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionShape:
    """Sizes of attention over one image, and where its inputs lie; the output is ``(tokens, heads, head_dim)``."""

    heads: int
    tokens: int
    head_dim: int
    scale: float
    views: tuple[TokenView, TokenView, TokenView]
    """Of queries, keys and values."""


def emit_attention(
    emitter: Emitter, shape: AttentionShape, inputs: tuple[View, View, View], output: View, registers: RegisterFile
) -> None:
    """Writes the kernel; its outermost loop is over heads."""
    _AttentionEmitter(emitter, shape, inputs, output, registers).emit()


class _AttentionEmitter:
    def __init__(
        self,
        emitter: Emitter,
        shape: AttentionShape,
        inputs: tuple[View, View, View],
        output: View,
        registers: RegisterFile,
    ) -> None:
        self._emitter, self._shape, self._output = emitter, shape, output
        self._queries, self._keys, self._values = inputs
        self._lanes = registers.lanes
        self._accumulators = registers.accumulators
        self._vectors = -(-shape.tokens // registers.lanes)
        self._held = self._vectors * registers.lanes
        """Tokens of a row of weights in memory."""
        self._channel_lanes = math.gcd(shape.head_dim, registers.lanes)

    def emit(self) -> None:
        emitter, shape = self._emitter, self._shape
        with emitter.loop(shape.heads) as head:
            keys = emitter.scratch("float32", shape.head_dim * self._held)
            weights = emitter.scratch("float32", _MOST_ROWS * self._held)
            self._transpose_keys(head, keys)
            tiles, left = divmod(shape.tokens, _MOST_ROWS)
            if tiles:
                with emitter.loop(tiles) as tile:
                    self._tile(head, tile * _MOST_ROWS, _MOST_ROWS, keys, weights)
            if left:
                self._tile(head, tiles * _MOST_ROWS, left, keys, weights)

    def _transpose_keys(self, head: Expr, keys: View) -> None:
        """Copies a head's keys to ``(head_dim, tokens)``, zeros behind them."""
        emitter, lanes, held = self._emitter, self._channel_lanes, self._held
        with emitter.loop(self._shape.tokens) as token:
            for channel in range(0, self._shape.head_dim, lanes):
                value = emitter.load(self._keys, self._shape.views[1].at(head, token, channel), lanes)
                emitter.store(keys, token + channel * held, value, lanes, held)
        for token in range(self._shape.tokens, held):
            for channel in range(0, self._shape.head_dim, lanes):
                zeros = constant(0.0, "float32", lanes)
                emitter.store(keys, token + channel * held, zeros, lanes, held)

    def _tile(self, head: Expr, first: Expr, rows: int, keys: View, weights: View) -> None:
        emitter, lanes = self._emitter, self._lanes
        tops = emitter.registers("float32", rows, lanes)
        for row in range(rows):
            tops[row] = constant(LOWEST, "float32", lanes)
        step = max(self._accumulators // rows, 1)
        for start in range(0, self._vectors, step):
            count = min(step, self._vectors - start)
            self._scores((head, first, rows), (start, count), keys, weights, tops)
        shares = [self._exponentials(row, tops[row], weights) for row in range(rows)]
        self._weighted_sums(head, first, weights, shares)

    def _scores(
        self, place: tuple[Expr, Expr, int], block: tuple[int, int], keys: View, weights: View, tops: Registers
    ) -> None:
        """Scaled products of some queries with some vectors of keys, and the largest of each row so far."""
        emitter, lanes, held = self._emitter, self._lanes, self._held
        (head, first, rows), (start, count) = place, block
        sums = emitter.registers("float32", rows * count, lanes)
        for number in range(rows * count):
            sums[number] = constant(0.0, "float32", lanes)
        kind = f"float32x{lanes}"
        with emitter.loop(self._shape.head_dim) as channel:
            loaded = [
                emitter.let(emitter.load(keys, channel * held + (start + number) * lanes, lanes), kind)
                for number in range(count)
            ]
            for row in range(rows):
                at = self._shape.views[0].at(head, first + row, channel)
                query = emitter.let(emitter.load(self._queries, at, 1), "float32")
                for number, vector in enumerate(loaded):
                    place_of = row * count + number
                    sums[place_of] = sums[place_of] + broadcast(query, lanes) * vector
        for row in range(rows):
            for number in range(count):
                value = sums[row * count + number] * constant(self._shape.scale, "float32", lanes)
                value = emitter.let(self._without_padding(value, start + number), kind)
                emitter.store(weights, row * held + (start + number) * lanes, value, lanes)
                tops[row] = tirx.Max(tops[row], value)

    def _without_padding(self, value: Expr, number: int) -> Expr:
        """Padded elements become the lowest: their weight is 0 as far as floats tell."""
        real = min(self._shape.tokens - number * self._lanes, self._lanes)
        if real == self._lanes:
            return value
        order = np.arange(self._lanes) + np.where(np.arange(self._lanes) < real, 0, self._lanes)
        return shuffle([value, constant(LOWEST, "float32", self._lanes)], order)

    def _exponentials(self, row: int, top: Expr, weights: View) -> Expr:
        """Replaces a row of scores by exponentials; one over their sum."""
        emitter, lanes = self._emitter, self._lanes
        largest = broadcast(across(emitter, top, lanes, tirx.Max), lanes)
        total = emitter.registers("float32", 1, lanes)
        total[0] = constant(0.0, "float32", lanes)
        with emitter.loop(self._vectors) as number:
            at = row * self._held + number * lanes
            value = exponential(emitter, emitter.load(weights, at, lanes) - largest, lanes)
            emitter.store(weights, at, value, lanes)
            total[0] = total[0] + value
        whole = across(emitter, total[0], lanes, lambda first, second: first + second)
        return emitter.let(tirx.const(1.0, "float32") / whole, "float32")

    def _weighted_sums(self, head: Expr, first: Expr, weights: View, shares: list[Expr]) -> None:
        emitter, lanes, shape = self._emitter, self._channel_lanes, self._shape
        vectors, rows = shape.head_dim // lanes, len(shares)
        step = max(self._accumulators // rows, 1)
        for start in range(0, vectors, step):
            count = min(step, vectors - start)
            sums = emitter.registers("float32", rows * count, lanes)
            for number in range(rows * count):
                sums[number] = constant(0.0, "float32", lanes)
            with emitter.loop(shape.tokens) as token:
                loaded = [
                    emitter.let(
                        emitter.load(self._values, shape.views[2].at(head, token, (start + number) * lanes), lanes),
                        f"float32x{lanes}",
                    )
                    for number in range(count)
                ]
                for row in range(rows):
                    weight = emitter.let(emitter.load(weights, row * self._held + token, 1), "float32")
                    for number, vector in enumerate(loaded):
                        place = row * count + number
                        sums[place] = sums[place] + broadcast(weight, lanes) * vector
            for row in range(rows):
                for number in range(count):
                    at = (first + row) * shape.heads * shape.head_dim + head * shape.head_dim
                    value = sums[row * count + number] * broadcast(shares[row], lanes)
                    emitter.store(self._output, at + (start + number) * lanes, value, lanes)


# --- finding it in a network ----------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Reordered:
    """A tensor whose elements are those of another in other places, all times one factor."""

    base: Any
    places: _Places
    factor: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class _Scores:
    """Softmax over products of queries and keys."""

    queries: _Reordered
    keys: _Reordered


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """Attention whose result, by head, is a tensor of the network."""

    shape: AttentionShape
    arguments: tuple[Any, Any, Any]
    by_token: _Places
    """The places of the result's elements in the order that the kernel writes."""


def fuse_attention(module: "tvm.IRModule", registers: RegisterFile, *, parallel: bool) -> "tvm.IRModule":
    """The module with each attention over one image as one kernel.

    Args:
        module: As imported; attention of another form stays as it is.
        registers: Of the processor that the code is for.
        parallel: Whether heads are spread over threads.
    """
    return relax.transform.DeadCodeElimination()(_Fusing(module, registers, parallel).fused())


@mutator
class _Fusing(PyExprMutator):  # type: ignore[misc]  # TVM has no type annotations
    def __init__(self, module: "tvm.IRModule", registers: RegisterFile, parallel: bool) -> None:
        super().__init__(module)
        self._module, self._registers, self._parallel = module, registers, parallel
        self._views: dict[Any, _Reordered] = {}
        self._parts: dict[Any, tuple[_Reordered, ...]] = {}
        self._products: dict[Any, tuple[_Reordered, _Reordered]] = {}
        self._weights: dict[Any, _Scores] = {}
        self._found: dict[Any, _Found] = {}

    def fused(self) -> "tvm.IRModule":
        for name, function in self._module.functions_items():
            if isinstance(function, relax.Function):
                self.builder_.update_func(name, self.visit_expr(function))
        return self.builder_.get()

    def visit_var_binding_(self, binding: Any) -> None:
        value = self.visit_expr(binding.value)
        view = self._view_of(value)
        if view is not None and view.base in self._found and view.factor == 1.0:
            found = self._found[view.base]
            if np.array_equal(view.places.ravel(), found.by_token):
                value = self._call(found, [int(side) for side in value.ty.shape])
                view = None
        variable = self.visit_var_def(binding.var)
        self.builder_.emit_normalized(relax.VarBinding(variable, self.builder_.normalize(value)))
        if view is not None:
            self._views[variable] = view
        elif isinstance(value, relax.Call):
            self._note(variable, value)

    def _view_of(self, value: Any) -> _Reordered | None:
        """The value as elements of another tensor, if it is nothing else."""
        if isinstance(value, relax.TupleGetItem):
            parts = self._parts.get(value.tuple_value)
            return None if parts is None else parts[value.index]
        if not isinstance(value, relax.Call):
            return None
        name = getattr(value.op, "name", "")
        if name == "relax.multiply":
            return self._scaled(*value.args)
        if name not in {"relax.reshape", "relax.permute_dims", "relax.broadcast_to"}:
            return None
        source = self._reordered(value.args[0])
        if source is None:
            return None
        sides = [int(side) for side in value.ty.shape]
        if math.prod(sides) != source.places.size:
            return None
        if name != "relax.permute_dims":
            return _Reordered(source.base, source.places.reshape(sides), source.factor)
        axes = None if value.attrs.axes is None else [int(axis) for axis in value.attrs.axes]
        return _Reordered(source.base, source.places.transpose(axes), source.factor)

    def _scaled(self, first: Any, second: Any) -> _Reordered | None:
        """A tensor times a constant number, in either order."""
        for tensor, number in ((first, _scalar(second)), (second, _scalar(first))):
            source = None if number is None else self._reordered(tensor)
            if source is not None and number is not None:
                return _Reordered(source.base, source.places, source.factor * number)
        return None

    def _reordered(self, value: Any) -> _Reordered | None:
        """A variable as elements of another tensor, or of itself."""
        if value in self._views:
            return self._views[value]
        shape = getattr(getattr(value, "ty", None), "shape", None)
        if not isinstance(value, relax.Var) or shape is None or value.ty.dtype != "float32":
            return None
        sides = [int(side) for side in shape]
        return _Reordered(value, np.arange(math.prod(sides), dtype=np.int64).reshape(sides))

    def _note(self, variable: Any, call: Any) -> None:
        match getattr(call.op, "name", ""):
            case "relax.split":
                self._note_split(variable, call)
            case "relax.matmul":
                self._note_product(variable, call)
            case "relax.nn.softmax":
                view = self._views.get(call.args[0])
                base = call.args[0] if view is None else view.base
                whole = view is None or np.array_equal(view.places.ravel(), np.arange(view.places.size))
                last = int(call.attrs.axis) in (-1, len(call.args[0].ty.shape) - 1)
                if base in self._products and whole and last and (view is None or view.factor == 1.0):
                    self._weights[variable] = _Scores(*self._products[base])

    def _note_split(self, variable: Any, call: Any) -> None:
        source = self._reordered(call.args[0])
        if source is None:
            return
        axis, sections = int(call.attrs.axis), call.attrs.indices_or_sections
        if isinstance(sections, int | tirx.IntImm):
            parts = np.split(source.places, int(sections), axis)
        else:
            parts = np.split(source.places, [int(at) for at in sections], axis)
        self._parts[variable] = tuple(_Reordered(source.base, part, source.factor) for part in parts)

    def _note_product(self, variable: Any, call: Any) -> None:
        first, second = (self._reordered(argument) for argument in call.args)
        if first is None or second is None or first.places.ndim < 3:
            return
        weights = self._weights.get(first.base)
        whole = np.array_equal(first.places.ravel(), np.arange(first.places.size))
        if weights is None or not whole or first.factor != 1.0:
            self._products[variable] = (first, second)
            return
        found = _attention(weights, second)
        if found is not None and found.shape.tokens <= _MOST_TOKENS:
            self._found[variable] = found

    def _call(self, found: _Found, sides: list[int]) -> Any:
        shape = found.shape
        emitter = Emitter(parallel=self._parallel)
        names = ("queries", "keys", "values")
        inputs = [
            emitter.parameter(name, "float32", *(int(side) for side in argument.ty.shape))
            for name, argument in zip(names, found.arguments, strict=True)
        ]
        output = emitter.parameter("output", "float32", *sides)
        emit_attention(emitter, shape, (inputs[0], inputs[1], inputs[2]), output, self._registers)
        called = self.builder_.add_func(emitter.function(), "attention")
        return relax.call_tir(called, list(found.arguments), relax.TensorType(sides, "float32"))


def _attention(weights: _Scores, values: _Reordered) -> _Found | None:
    """Attention by its three inputs, if the kernel can read them."""
    views = []
    for part, order in ((weights.queries, (0, 1, 2)), (weights.keys, (0, 2, 1)), (values, (0, 1, 2))):
        places = part.places.reshape(-1, *part.places.shape[-2:]).transpose(order)
        view = _token_view(places)
        if view is None:
            return None
        views.append((view, places.shape))
    (_, (heads, tokens, head_dim)) = views[0]
    if any(shape != (heads, tokens, head_dim) for _, shape in views) or values.factor != 1.0:
        return None
    if math.gcd(head_dim, _LEAST_LANES) < _LEAST_LANES:
        return None
    by_head = np.arange(heads * tokens * head_dim, dtype=np.int64).reshape(heads, tokens, head_dim)
    shape = AttentionShape(
        heads=heads,
        tokens=tokens,
        head_dim=head_dim,
        scale=weights.queries.factor * weights.keys.factor,
        views=(views[0][0], views[1][0], views[2][0]),
    )
    arguments = (weights.queries.base, weights.keys.base, values.base)
    return _Found(shape, arguments, by_head.transpose(1, 0, 2).ravel())


def _token_view(places: _Places) -> TokenView | None:
    """Places by head, token and channel as strides, if they are regular."""
    start = int(places[0, 0, 0])
    head = int(places[1, 0, 0]) - start if places.shape[0] > 1 else 0
    token = int(places[0, 1, 0]) - start if places.shape[1] > 1 else 0
    heads, tokens, channels = (np.arange(side) for side in places.shape)
    regular = start + head * heads[:, None, None] + token * tokens[:, None] + channels
    return TokenView(start, head, token) if np.array_equal(places, regular) else None


def _scalar(argument: Any) -> float | None:
    if isinstance(argument, GenericConst):
        array = argument.value.numpy()
        if array.size == 1 and array.dtype == np.float32:
            return float(array.reshape(()))
    return None
