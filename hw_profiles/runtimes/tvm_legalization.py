"""Kernels of our own in place of TVM's.

For operators of attention, which TVM's compute one element after the other, and for pointwise convolutions and linear
layers, whose weights are packed in the order in which they are read.
"""

# ruff: noqa: ANN401 - TVM has no type annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
import tvm
from numpy.typing import NDArray
from tvm import relax, s_tir, te, tirx, topi
from tvm.ir import GenericConst

from hw_profiles.runtimes.tvm_integer.emission import Emitter
from hw_profiles.runtimes.tvm_rows import emit_layer_norm, emit_softmax
from hw_profiles.runtimes.tvm_schedules import channel_tile

_HALF_ROOT: Final = 0.7071067811865476
_MATRIX_RANK: Final = 2


def legalize(lanes: int, *, parallel: bool) -> "tvm.transform.Pass":
    """TVM's ``LegalizeOps`` with these operators in place of its own.

    Softmax and layer norm over the last axis are written directly; GELU's error function is a
    quotient of polynomials, which fuses with what comes before and is vectorized; a split is as many
    slices, which fuse with what reads them. Constant weights of pointwise convolutions and linear layers
    lie as kernels read them: one tile of output channels after the other.

    Args:
        lanes: float32 values that a vector register holds.
        parallel: Whether rows are spread over threads.
    """
    kernels = {
        "relax.nn.softmax": partial(_softmax, lanes, parallel),
        "relax.nn.layer_norm": partial(_layer_norm, lanes, parallel),
        "relax.nn.gelu": _gelu,
        "relax.split": _split,
        "relax.nn.conv2d": partial(_pointwise, lanes),
        "relax.matmul": partial(_linear, lanes),
    }
    return relax.transform.LegalizeOps(kernels)


def _default(builder: Any, call: Any) -> Any:
    legalized: Callable[[Any, Any], Any] = call.op.get_attr("FLegalize")
    return legalized(builder, call)


def _softmax(lanes: int, parallel: bool, builder: Any, call: Any) -> Any:
    shape = _sides(call.args[0])
    if not shape or int(call.attrs.axis) not in (-1, len(shape) - 1) or call.ty.dtype != "float32":
        return _default(builder, call)
    emitter = Emitter(parallel=parallel)
    emit_softmax(emitter, shape, lanes)
    return _called(builder, emitter, "softmax", call)


def _layer_norm(lanes: int, parallel: bool, builder: Any, call: Any) -> Any:
    shape, attributes = _sides(call.args[0]), call.attrs
    last = shape and [int(axis) for axis in attributes.axes] in ([-1], [len(shape) - 1])
    if not last or not (attributes.center and attributes.scale) or call.ty.dtype != "float32":
        return _default(builder, call)
    emitter = Emitter(parallel=parallel)
    emit_layer_norm(emitter, shape, float(attributes.epsilon), lanes)
    return _called(builder, emitter, "layer_norm", call)


def _called(builder: Any, emitter: Emitter, name: str, call: Any) -> Any:
    function = emitter.function()
    # TVM asks of each kernel with one input whether it only reshapes it, and takes none without a block.
    root = s_tir.SBlock([], [], [], "root", function.body)
    function = function.with_body(s_tir.SBlockRealize([], True, root))
    return relax.call_tir(builder.add_func(function, name), list(call.args), call.ty)


def _gelu(builder: Any, call: Any) -> Any:
    def gelu(x: Any) -> Any:
        error = topi.fast_erf(te.compute(x.shape, lambda *at: x(*at) * tirx.const(_HALF_ROOT, x.dtype)))
        half = tirx.const(0.5, x.dtype)
        return te.compute(x.shape, lambda *at: x(*at) * (half + half * error(*at)), name="gelu")

    return builder.call_te(gelu, call.args[0], primfunc_name_hint="gelu")


def _split(builder: Any, call: Any) -> Any:
    shape, axis, sections = _sides(call.args[0]), int(call.attrs.axis), call.attrs.indices_or_sections
    if not shape:
        return _default(builder, call)
    side = shape[axis]
    if isinstance(sections, int | tirx.IntImm):
        size = -(-side // int(sections))
        inner = list(range(size, side, size))
    else:
        inner = [int(at) for at in sections]
    bounds = [0, *inner, side]
    parts = []
    for begin, end in itertools.pairwise(bounds):

        def part(x: Any, begin: int = begin, end: int = end) -> Any:
            return topi.strided_slice(x, [begin], [end], [1], [axis % len(shape)])

        parts.append(builder.emit(builder.call_te(part, call.args[0], primfunc_name_hint="split")))
    return relax.Tuple(parts)


def _pointwise(lanes: int, builder: Any, call: Any) -> Any:
    attributes, weights = call.attrs, _constant(builder, call.args[1])
    layouts = (str(attributes.data_layout), str(attributes.kernel_layout))
    plain = int(attributes.groups) == 1 and not any(int(side) for side in attributes.padding)
    if weights is None or weights.shape[:2] != (1, 1) or layouts != ("NHWC", "HWIO") or not plain:
        return _default(builder, call)
    sides, stride = _sides(call), [int(step) for step in attributes.strides]
    tile = channel_tile(sides[-1], lanes, pixels=sides[1] * sides[2])

    def convolution(image: Any, packed: Any) -> Any:
        inner = te.reduce_axis((0, weights.shape[2]), "k")
        return te.compute(
            sides,
            lambda n, y, x, c: te.sum(
                image[n, y * stride[0], x * stride[1], inner] * packed[c // tile, inner, c % tile], axis=inner
            ),
            name="conv2d",
        )

    packed = relax.const(_in_tiles(weights[0, 0], tile))
    return builder.call_te(convolution, call.args[0], packed, primfunc_name_hint="conv2d")


def _linear(lanes: int, builder: Any, call: Any) -> Any:
    weights, sides = _constant(builder, call.args[1]), _sides(call)
    if weights is None or weights.ndim != _MATRIX_RANK or len(sides) != _MATRIX_RANK:
        return _default(builder, call)
    tile = channel_tile(sides[-1], lanes, pixels=sides[0])

    def linear(rows: Any, packed: Any) -> Any:
        inner = te.reduce_axis((0, weights.shape[0]), "k")
        return te.compute(
            sides,
            lambda row, c: te.sum(rows[row, inner] * packed[c // tile, inner, c % tile], axis=inner),
            name="matmul",
        )

    packed = relax.const(_in_tiles(weights, tile))
    return builder.call_te(linear, call.args[0], packed, primfunc_name_hint="matmul")


def _in_tiles(weights: NDArray[np.float32], tile: int) -> NDArray[np.float32]:
    """Weights (inputs, outputs) as (outputs / tile, inputs, tile)."""
    inputs, outputs = weights.shape
    return np.ascontiguousarray(weights.reshape(inputs, outputs // tile, tile).transpose(1, 0, 2))


def _constant(builder: Any, argument: Any) -> NDArray[np.float32] | None:
    """The float32 values of a constant; None for anything else."""
    value = builder.lookup_binding(argument) if isinstance(argument, relax.Var) else argument
    if not isinstance(value, GenericConst) or value.ty.dtype != "float32":
        return None
    array: NDArray[np.float32] = value.value.numpy()
    return array


def _sides(argument: Any) -> tuple[int, ...]:
    """The shape, empty where it is not known."""
    shape = getattr(argument.ty, "shape", None)
    return () if shape is None else tuple(int(side) for side in shape)
