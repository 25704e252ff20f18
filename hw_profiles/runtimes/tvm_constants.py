"""Constant folding with numpy.

TVM's own ``FoldConstant`` compiles and runs a kernel for each such call, which is most of
the time that compiling a small network takes: weights to another layout, biases to four
axes, 8-bit weights to float.
"""

# ruff: noqa: ANN401 - TVM has no type annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import tvm
from numpy.typing import NDArray
from tvm import relax
from tvm.ir import GenericConst
from tvm.relax.expr_functor import PyExprMutator, mutator

Array = NDArray[Any]


def _transpose(call: Any, arrays: Sequence[Array]) -> Array:
    axes = call.attrs.axes
    return np.transpose(arrays[0], None if axes is None else [int(axis) for axis in axes])


def _reshape(call: Any, arrays: Sequence[Array]) -> Array:
    return arrays[0].reshape([int(side) for side in call.args[1].values])


def _dequantize(call: Any, arrays: Sequence[Array]) -> Array:
    values, scale, zero_point = arrays
    along = [1] * values.ndim
    if scale.ndim:
        along[int(call.attrs.axis)] = -1
    # The order of TVM's own kernel: an integer difference, then one float product.
    difference = values.astype(np.int32) - zero_point.astype(np.int32).reshape(along if zero_point.ndim else ())
    return difference.astype(np.float32) * scale.reshape(along if scale.ndim else ())


_FOLDED: Final[dict[str, Callable[[Any, Sequence[Array]], Array]]] = {
    "relax.permute_dims": _transpose,
    "relax.reshape": _reshape,
    "relax.dequantize": _dequantize,
}


def fold_constants(module: "tvm.IRModule") -> "tvm.IRModule":
    """The module with transposed, reshaped and dequantized constants in place of their calls."""
    return relax.transform.DeadCodeElimination()(_Folding(module).folded())


@mutator
class _Folding(PyExprMutator):  # type: ignore[misc]  # TVM has no type annotations
    def __init__(self, module: "tvm.IRModule") -> None:
        super().__init__(module)
        self._module = module
        self._constants: dict[Any, Array] = {}

    def folded(self) -> "tvm.IRModule":
        for name, function in self._module.functions_items():
            if isinstance(function, relax.Function):
                self.builder_.update_func(name, self.visit_expr(function))
        return self.builder_.get()

    def visit_call_(self, call: Any) -> Any:
        call = self.visit_expr_post_order(call)
        fold = _FOLDED.get(getattr(call.op, "name", ""))
        tensors = [argument for argument in call.args if not isinstance(argument, relax.ShapeExpr)]
        arrays = [self._array(argument) for argument in tensors]
        known = [array for array in arrays if array is not None]
        if fold is None or len(known) < len(arrays):
            return call
        return relax.const(np.ascontiguousarray(fold(call, known)))

    def visit_var_binding_(self, binding: Any) -> None:
        value = self.visit_expr(binding.value)
        variable = self.visit_var_def(binding.var)
        if isinstance(value, GenericConst):
            self._constants[variable] = value.value.numpy()
        self.builder_.emit_normalized(relax.VarBinding(variable, self.builder_.normalize(value)))

    def _array(self, argument: Any) -> Array | None:
        if isinstance(argument, GenericConst):
            array: Array = argument.value.numpy()
            return array
        return self._constants.get(argument)
