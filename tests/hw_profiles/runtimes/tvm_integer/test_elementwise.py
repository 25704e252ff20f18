"""Conversions, means, gates, sums, tables and padding give exactly what numpy gives."""

import numpy as np
import pytest

from hw_profiles.runtimes.tvm_integer import elementwise
from hw_profiles.runtimes.tvm_integer.requantization import Residual
from hw_profiles.runtimes.tvm_integer.schemes import Activation, Clip, Quantization, multiply_add
from hw_profiles.runtimes.tvm_integer.shapes import ActivationShape
from tests.hw_profiles.runtimes.tvm_integer.kernels import every_vector_width, held, run

SHAPES = [(1, 1, 10), (4, 5, 24), (7, 7, 80)]
every_shape = pytest.mark.parametrize("sides", SHAPES, ids=str)
BEFORE, AFTER = Quantization(scale=0.041, zero_point=117), Quantization(scale=0.0257, zero_point=31)


def _image(sides, seed=0):
    return np.random.default_rng(seed).integers(0, 256, sides).astype(np.uint8)


def _shape(sides):
    return ActivationShape(height=sides[0], width=sides[1], channels=sides[2])


def _clip(values, clip):
    return np.clip(np.rint(values) + clip.zero_point, clip.low, clip.high).astype(np.uint8)


def _channels(output, sides):
    return output.reshape(*sides[:2], -1)[..., : sides[2]]


@every_vector_width
@every_shape
@pytest.mark.parametrize("channels_first", [False, True])
def test_quantize(instructions, sides, channels_first):
    values = np.random.default_rng(1).standard_normal(sides).astype(np.float32) * 6
    expected = _clip(values / np.float32(BEFORE.scale), Clip(zero_point=BEFORE.zero_point))
    given = values.transpose(2, 0, 1) if channels_first else values
    shape = _shape(sides)
    output = run(
        lambda emitter: elementwise.emit_quantize(
            emitter, shape, BEFORE, instructions, channels_first=channels_first
        ),
        [given], shape.held,
    )  # fmt: skip
    np.testing.assert_array_equal(_channels(output, sides), expected)


def test_quantize_clips_what_no_integer_holds():
    values = np.array([[[np.inf, -np.inf, 1e30, -1e30]]], np.float32)
    shape = ActivationShape(height=1, width=1, channels=4)
    output = run(lambda emitter: elementwise.emit_quantize_padded(emitter, shape, (0, 0, 0, 0), BEFORE), [values], 4)
    np.testing.assert_array_equal(output, [255, 0, 255, 0])


@pytest.mark.parametrize("sides", [(5, 6, 3), (8, 16, 1), (3, 7, 4)])
def test_quantize_into_padding(sides):
    values = np.random.default_rng(1).standard_normal(sides).astype(np.float32) * 6
    pads, shape = (1, 2, 3, 0), _shape(sides)
    expected = _clip(values / np.float32(BEFORE.scale), Clip(zero_point=BEFORE.zero_point))
    expected = np.pad(expected, ((1, 3), (2, 0), (0, 0)), constant_values=BEFORE.zero_point)
    output = run(
        lambda emitter: elementwise.emit_quantize_padded(emitter, shape, pads, BEFORE),
        [values.transpose(2, 0, 1)], expected.shape[0] * expected.shape[1] * 4,
    )  # fmt: skip
    np.testing.assert_array_equal(output.reshape(*expected.shape[:2], 4)[..., : sides[2]], expected)


@every_vector_width
@every_shape
def test_dequantize(instructions, sides):
    image, shape = _image(sides), _shape(sides)
    output = run(
        lambda emitter: elementwise.emit_dequantize(emitter, shape, BEFORE, instructions),
        [held(image)], image.size, "float32",
    )  # fmt: skip
    expected = (image.astype(np.float32) - BEFORE.zero_point) * np.float32(BEFORE.scale)
    np.testing.assert_array_equal(output.reshape(sides), expected)


@every_shape
def test_table_and_padding(sides):
    image, shape = _image(sides), _shape(sides)
    table = np.random.default_rng(3).permutation(256).astype(np.uint8)
    output = run(lambda emitter: elementwise.emit_table(emitter, shape), [held(image), table], shape.held)
    np.testing.assert_array_equal(_channels(output, sides), table[image])
    padded = np.pad(image, ((2, 1), (0, 3), (0, 0)), constant_values=9)
    size = padded.shape[0] * padded.shape[1] * shape.held // shape.pixels
    output = run(lambda emitter: elementwise.emit_pad(emitter, shape, (2, 0, 1, 3), 9), [held(image)], size)
    np.testing.assert_array_equal(_channels(output, padded.shape), padded)


@every_vector_width
@every_shape
def test_add(instructions, sides):
    first, second, shape = _image(sides), _image(sides, 1), _shape(sides)
    residual = Residual(ratio=0.731, other_ratio=0.619, other_zero_point=140)
    before, after = Clip(zero_point=97), Clip(zero_point=120, low=120)
    output = run(
        lambda emitter: elementwise.emit_add(emitter, shape, before, residual, after, instructions),
        [held(first), held(second)], shape.held,
    )  # fmt: skip
    other = (second.astype(np.float32) - 140) * np.float32(0.619)
    total = multiply_add(first.astype(np.float32) - 97, np.float32(0.731), other, fused=instructions.fuses)
    np.testing.assert_array_equal(_channels(output, sides), _clip(total, after))


@every_vector_width
@every_shape
def test_gate(instructions, sides):
    image, gate, shape = _image(sides), _image((1, 1, sides[2]), 1), _shape(sides)
    gated, clip = Quantization(scale=0.0022, zero_point=3), Clip(zero_point=AFTER.zero_point)
    output = run(
        lambda emitter: elementwise.emit_gate(emitter, shape, BEFORE, gated, (AFTER, clip), instructions),
        [held(image), held(gate)], shape.held,
    )  # fmt: skip
    ratio = np.float32(BEFORE.scale) * np.float32(gated.scale) / np.float32(AFTER.scale)
    factors = (gate.astype(np.float32) - gated.zero_point) * ratio
    expected = _clip((image.astype(np.float32) - BEFORE.zero_point) * factors, clip)
    np.testing.assert_array_equal(_channels(output, sides), expected)


@every_vector_width
@every_shape
def test_mean(instructions, sides):
    image, shape, clip = _image(sides), _shape(sides), Clip(zero_point=AFTER.zero_point)
    output = run(
        lambda emitter: elementwise.emit_mean(emitter, shape, BEFORE, (AFTER, clip), instructions),
        [held(image)], shape.held // shape.pixels,
    )  # fmt: skip
    sums = (image.astype(np.int64) - BEFORE.zero_point).sum(axis=(0, 1))
    scale = np.float32(elementwise.mean_scale(shape, BEFORE, AFTER, None))
    np.testing.assert_array_equal(output[: sides[2]], _clip(sums.astype(np.float32) * scale, clip))


@every_vector_width
@every_shape
@pytest.mark.parametrize("kind", ["hard_swish", "hard_sigmoid"])
def test_mean_of_activated_values_is_within_one_step(instructions, sides, kind):
    image, shape, clip = _image(sides), _shape(sides), Clip(zero_point=AFTER.zero_point)
    activation = Activation(kind=kind, alpha=1 / 6, beta=0.5, before=BEFORE, after=AFTER)
    summed = elementwise.summed_activation(activation, shape.pixels)
    output = run(
        lambda emitter: elementwise.emit_mean(emitter, shape, BEFORE, (AFTER, clip), instructions, summed),
        [held(image)], shape.held // shape.pixels,
    )  # fmt: skip
    x = (image.astype(np.float64) - BEFORE.zero_point) * BEFORE.scale
    gate = np.clip(x / 6 + 0.5, 0, 1)
    means = (x * gate if kind == "hard_swish" else gate).mean(axis=(0, 1)) / AFTER.scale
    assert np.abs(np.clip(means + clip.zero_point, 0, 255) - output[: sides[2]]).max() <= 0.5 + 1e-3
