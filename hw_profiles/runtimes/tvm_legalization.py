"""Kernels of our own for operators of attention, which TVM's own kernels compute one element after the other."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import tvm
from tvm import relax, s_tir, te, tirx, topi

from hw_profiles.runtimes.tvm_integer.emission import Emitter
from hw_profiles.runtimes.tvm_rows import emit_layer_norm, emit_softmax

_HALF_ROOT: Final = 0.7071067811865476


def legalize(lanes: int, *, parallel: bool) -> "tvm.transform.Pass":
    """TVM's ``LegalizeOps`` with these operators in place of its own.

    Softmax and layer norm over the last axis are written directly; GELU's error function is a
    quotient of polynomials, which fuses with what comes before and is vectorized; a split is as many
    slices, which fuse with what reads them.

    Args:
        lanes: float32 values that a vector register holds.
        parallel: Whether rows are spread over threads.
    """
    kernels = {
        "relax.nn.softmax": partial(_softmax, lanes, parallel),
        "relax.nn.layer_norm": partial(_layer_norm, lanes, parallel),
        "relax.nn.gelu": _gelu,
        "relax.split": _split,
    }
    return relax.transform.LegalizeOps(kernels)


def _default(builder: Any, call: Any) -> Any:  # noqa: ANN401 - TVM has no type annotations
    legalized: Callable[[Any, Any], Any] = call.op.get_attr("FLegalize")
    return legalized(builder, call)


def _softmax(lanes: int, parallel: bool, builder: Any, call: Any) -> Any:  # noqa: ANN401 - as above
    shape = _sides(call.args[0])
    if not shape or int(call.attrs.axis) not in (-1, len(shape) - 1) or call.ty.dtype != "float32":
        return _default(builder, call)
    emitter = Emitter(parallel=parallel)
    emit_softmax(emitter, shape, lanes)
    return _called(builder, emitter, "softmax", call)


def _layer_norm(lanes: int, parallel: bool, builder: Any, call: Any) -> Any:  # noqa: ANN401 - as above
    shape, attributes = _sides(call.args[0]), call.attrs
    last = shape and [int(axis) for axis in attributes.axes] in ([-1], [len(shape) - 1])
    if not last or not (attributes.center and attributes.scale) or call.ty.dtype != "float32":
        return _default(builder, call)
    emitter = Emitter(parallel=parallel)
    emit_layer_norm(emitter, shape, float(attributes.epsilon), lanes)
    return _called(builder, emitter, "layer_norm", call)


def _called(builder: Any, emitter: Emitter, name: str, call: Any) -> Any:  # noqa: ANN401 - as above
    function = emitter.function()
    # TVM asks of each kernel with one input whether it only reshapes it, and takes none without a block.
    root = s_tir.SBlock([], [], [], "root", function.body)
    function = function.with_body(s_tir.SBlockRealize([], True, root))
    return relax.call_tir(builder.add_func(function, name), list(call.args), call.ty)


def _gelu(builder: Any, call: Any) -> Any:  # noqa: ANN401 - as above
    def gelu(x: Any) -> Any:  # noqa: ANN401 - as above
        error = topi.fast_erf(te.compute(x.shape, lambda *at: x(*at) * tirx.const(_HALF_ROOT, x.dtype)))
        half = tirx.const(0.5, x.dtype)
        return te.compute(x.shape, lambda *at: x(*at) * (half + half * error(*at)), name="gelu")

    return builder.call_te(gelu, call.args[0], primfunc_name_hint="gelu")


def _split(builder: Any, call: Any) -> Any:  # noqa: ANN401 - as above
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

        def part(x: Any, begin: int = begin, end: int = end) -> Any:  # noqa: ANN401 - as above
            return topi.strided_slice(x, [begin], [end], [1], [axis % len(shape)])

        parts.append(builder.emit(builder.call_te(part, call.args[0], primfunc_name_hint="split")))
    return relax.Tuple(parts)


def _sides(argument: Any) -> tuple[int, ...]:  # noqa: ANN401 - as above
    """The shape, empty where it is not known."""
    shape = getattr(argument.ty, "shape", None)
    return () if shape is None else tuple(int(side) for side in shape)
