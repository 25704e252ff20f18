"""Pooling gives exactly what numpy gives."""

import numpy as np
import pytest

from hw_profiles.runtimes.tvm_integer.pooling import average_scale, emit_average_pool, emit_max_pool
from hw_profiles.runtimes.tvm_integer.schemes import Clip, Quantization
from hw_profiles.runtimes.tvm_integer.shapes import ActivationShape, Windows
from tests.hw_profiles.runtimes.tvm_integer.kernels import every_vector_width, held, run

BEFORE, AFTER = Quantization(scale=0.041, zero_point=117), Quantization(scale=0.0357, zero_point=31)
every_shape = pytest.mark.parametrize(
    ("sides", "kernel", "stride"),
    [
        ((9, 11, 24), (3, 3), (2, 2)),
        ((4, 6, 80), (2, 2), (2, 2)),
        ((5, 4, 10), (2, 3), (1, 1)),
        ((2, 2, 64), (2, 2), (2, 2)),
    ],
    ids=str,
)


def _windows(sides, kernel, stride):
    image = ActivationShape(height=sides[0], width=sides[1], channels=sides[2])
    return Windows(image=image, kernel=kernel, stride=stride)


def _views(image, windows):
    """Every window, shape ``(height, width, channels, taps)``."""
    (high, wide), (down, right) = windows.kernel, windows.stride
    views = np.lib.stride_tricks.sliding_window_view(image, windows.kernel, axis=(0, 1))[::down, ::right]
    return views.reshape(*views.shape[:3], high * wide)


def _image(sides):
    return np.random.default_rng(0).integers(0, 256, sides).astype(np.uint8)


def _checked(output, expected):
    height, width, channels = expected.shape
    np.testing.assert_array_equal(output.reshape(height, width, -1)[..., :channels], expected)


@every_vector_width
@every_shape
def test_maximum(instructions, sides, kernel, stride):
    windows, image = _windows(sides, kernel, stride), _image(sides)
    expected = _views(image, windows).max(axis=-1)
    assert windows.out_size == expected.shape[:2]
    size = held(expected).size
    _checked(run(lambda emitter: emit_max_pool(emitter, windows, instructions), [held(image)], size), expected)


@every_vector_width
@every_shape
def test_average(instructions, sides, kernel, stride):
    windows, image, clip = _windows(sides, kernel, stride), _image(sides), Clip(zero_point=AFTER.zero_point)
    sums = (_views(image, windows).astype(np.int64) - BEFORE.zero_point).sum(axis=-1)
    scaled = sums.astype(np.float32) * np.float32(average_scale(windows, BEFORE, AFTER))
    expected = np.clip(np.rint(scaled) + clip.zero_point, 0, 255).astype(np.uint8)
    output = run(
        lambda emitter: emit_average_pool(emitter, windows, BEFORE, (AFTER, clip), instructions),
        [held(image)], held(expected).size,
    )  # fmt: skip
    _checked(output, expected)
