"""Softmax and layer norm rows, and exp, against numpy in double precision."""

import numpy as np
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import relax

from hw_profiles.runtimes.tvm_legalization import legalize
from hw_profiles.runtimes.tvm_rows import emit_layer_norm, emit_softmax, exponential, fitting_lanes
from tests.hw_profiles.runtimes.tvm_integer.kernels import run

LENGTHS = st.sampled_from([1, 2, 3, 7, 9, 16, 17, 25, 36, 49, 64, 100])
LANES = st.sampled_from([4, 8, 16])


def softmax(x):
    e = np.exp(x.astype(np.float64) - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@settings(max_examples=8, deadline=None)
@given(LENGTHS, LANES, st.sampled_from([0.1, 3.0, 1e4]), st.integers(0, 2**31))
def test_softmax(length, lanes, size, seed):
    x = (np.random.default_rng(seed).standard_normal((2, 3, length)) * size).astype(np.float32)
    found = run(lambda emitter: emit_softmax(emitter, x.shape, lanes), [x], x.size, "float32").reshape(x.shape)
    np.testing.assert_allclose(found, softmax(x), rtol=2e-6, atol=1e-37)


@settings(max_examples=8, deadline=None)
@given(LENGTHS, LANES, st.sampled_from([0.0, 100.0]), st.integers(0, 2**31))
def test_layer_norm(length, lanes, offset, seed):
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((5, length)) + offset).astype(np.float32)
    scale, shift = rng.standard_normal((2, length)).astype(np.float32)
    found = run(lambda emitter: emit_layer_norm(emitter, x.shape, 1e-5, lanes), [x, scale, shift], x.size, "float32")
    centred = x.astype(np.float64) - x.astype(np.float64).mean(-1, keepdims=True)
    expected = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * scale + shift
    # A sum of float32 around 100 is exact to about 1e-5.
    np.testing.assert_allclose(found.reshape(x.shape), expected, rtol=1e-5, atol=1e-5 if offset == 0 else 2e-4)


def test_exp_is_exact_to_the_last_digits():
    x = np.concatenate([-np.geomspace(1e-6, 87, 4000), [0.0] * 96]).astype(np.float32)

    def emit(emitter):
        source, output = (emitter.operand(name, "float32", x.size) for name in ("input", "output"))
        with emitter.loop(x.size // 16) as number:
            emitter.store(output, number * 16, exponential(emitter, emitter.load(source, number * 16, 16), 16), 16)

    np.testing.assert_allclose(run(emit, [x], x.size, "float32"), np.exp(x.astype(np.float64)), rtol=2e-7)


def test_a_vector_is_no_longer_than_its_row():
    assert [fitting_lanes(length, 16) for length in (1, 2, 3, 9, 16, 49)] == [1, 2, 2, 8, 16, 16]


@pytest.mark.parametrize("operator", ["softmax", "layer_norm", "split"])
def test_what_no_kernel_of_ours_takes_is_left_to_tvm(operator):
    x = relax.Var("x", relax.TensorType((4, 6, 8), "float32"))
    weights = [relax.const(np.ones((6, 8), np.float32))] * 2
    builder = relax.BlockBuilder()
    with builder.function("main", [x]):
        call = {
            "softmax": lambda: relax.op.nn.softmax(x, axis=1),
            "layer_norm": lambda: relax.op.nn.layer_norm(x, *weights, axes=[1, 2]),
            "split": lambda: relax.op.split(x, 3, 2)[1],
        }[operator]()
        builder.emit_func_output(builder.emit(call))
    module = legalize(16, parallel=False)(builder.get())
    machine = relax.VirtualMachine(tvm.compile(module, "llvm"), tvm.cpu())
    value = np.random.default_rng(0).standard_normal((4, 6, 8)).astype(np.float32)
    centred = value - value.mean((1, 2), keepdims=True)
    expected = {
        "softmax": softmax(value.transpose(0, 2, 1)).transpose(0, 2, 1),
        "layer_norm": centred / np.sqrt((centred**2).mean((1, 2), keepdims=True) + 1e-5) + 1,
        "split": value[:, :, 3:6],
    }[operator]
    np.testing.assert_allclose(machine["main"](tvm.runtime.tensor(value)).numpy(), expected, rtol=1e-4, atol=1e-5)
