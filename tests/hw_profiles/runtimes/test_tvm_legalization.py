"""Weights of products lie as kernels read them, and outputs stay what they were."""

import numpy as np
import pytest
import tvm
from tvm import relax

from hw_profiles.detect import resolve_profile
from hw_profiles.runtimes.tvm_legalization import legalize
from hw_profiles.runtimes.tvm_runtime import TvmExecutable, _build

LOCAL = resolve_profile("local-cpu/tvm")
LANES = 16


def pointwise(side, inputs, outputs, stride):
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((1, 1, inputs, outputs)).astype(np.float32)
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType([1, side, side, inputs], "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            layouts = {"data_layout": "NHWC", "kernel_layout": "HWIO"}
            made = relax.op.nn.conv2d(x, relax.const(weights), strides=stride, **layouts)
            out = builder.emit_output(relax.op.nn.relu(builder.emit(made)))
        builder.emit_func_output(out)
    image = rng.standard_normal((1, side, side, inputs)).astype(np.float32)
    return builder.get(), image, np.maximum(image[:, ::stride, ::stride] @ weights[0, 0], 0)


def linear(rows, inputs, outputs):
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((inputs, outputs)).astype(np.float32)
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType([rows, inputs], "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            out = builder.emit_output(relax.op.matmul(x, relax.const(weights)))
        builder.emit_func_output(out)
    image = rng.standard_normal((rows, inputs)).astype(np.float32)
    return builder.get(), image, image @ weights


def constants(module):
    found = []
    relax.analysis.post_order_visit(module["main"], found.append)
    return [entry.value.numpy().shape for entry in found if isinstance(entry, tvm.ir.expr.GenericConst)]


@pytest.mark.parametrize(
    ("made", "packed"),
    [
        (pointwise(6, 24, 128, 1), (2, 24, 64)),
        (pointwise(7, 20, 184, 2), (23, 20, 8)),
        (linear(5, 24, 96), (2, 24, 48)),
        (linear(1, 30, 1000), (25, 30, 40)),
        (linear(1, 30, 7), (1, 30, 7)),
    ],
)
def test_weights_are_packed_by_tiles_of_outputs(made, packed):
    module, image, expected = made
    with tvm.target.Target({"kind": "llvm"}):
        assert packed in constants(legalize(LANES, parallel=False)(module))
    found = TvmExecutable(relax.VirtualMachine(_build(module, LOCAL), tvm.cpu())).run(image)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
