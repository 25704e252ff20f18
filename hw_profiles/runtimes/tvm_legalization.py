"""Kernels of our own for operators whose kernels in TVM no schedule fits, or whose mathematics it computes one by one."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import tvm
from tvm import relax, te, tirx, topi

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
    emit_softmax(emitter, _product(shape[:-1]), shape[-1], lanes)
    return _called(builder, emitter, "softmax", call)


def _layer_norm(lanes: int, parallel: bool, builder: Any, call: Any) -> Any:  # noqa: ANN401 - as above
    shape, attributes = _sides(call.args[0]), call.attrs
    last = shape and [int(axis) for axis in attributes.axes] in ([-1], [len(shape) - 1])
    if not last or not (attributes.center and attributes.scale) or call.ty.dtype != "float32":
        return _default(builder, call)
    emitter = Emitter(parallel=parallel)
    emit_layer_norm(emitter, _product(shape[:-1]), shape[-1], float(attributes.epsilon), lanes)
    return _called(builder, emitter, "layer_norm", call)


def _called(builder: Any, emitter: Emitter, name: str, call: Any) -> Any:  # noqa: ANN401 - as above
    function = builder.add_func(emitter.function(), name)
    return relax.call_tir(function, list(call.args), call.ty)


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
    for begin, end in zip(bounds, bounds[1:], strict=False):
        def part(x: Any, begin: int = begin, end: int = end) -> Any:  # noqa: ANN401 - as above
            return topi.strided_slice(x, [begin], [end], axes=[axis % len(shape)])

        parts.append(builder.emit(builder.call_te(part, call.args[0], primfunc_name_hint="split")))
    return relax.Tuple(parts)


def _sides(argument: Any) -> list[int]:  # noqa: ANN401 - as above
    """The shape, empty where it is not known."""
    shape = getattr(argument.ty, "shape", None)
    return [] if shape is None else [int(side) for side in shape]


def _product(sides: list[int]) -> int:
    total = 1
    for side in sides:
        total *= side
    return total
