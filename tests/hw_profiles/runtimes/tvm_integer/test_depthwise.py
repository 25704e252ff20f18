"""Integer depthwise convolutions give exactly what numpy gives."""

import numpy as np
import pytest

from hw_profiles.runtimes.tvm_integer.depthwise import DepthwiseKernel, DepthwiseShape, pack_depthwise_constants
from hw_profiles.runtimes.tvm_integer.requantization import Epilogue
from hw_profiles.runtimes.tvm_integer.schemes import Clip
from hw_profiles.runtimes.tvm_integer.shapes import padded
from tests.hw_profiles.runtimes.tvm_integer.kernels import (
    RUNNABLE,
    convolve,
    every_instruction_set,
    held,
    requantize,
    run,
)


def _check(shape, instructions, zero_point, *, seed=0, extreme=False):
    rng = np.random.default_rng(seed)
    size, taps = (shape.height, shape.width, shape.channels), (shape.channels, 1, *shape.kernel)
    image = (rng.choice((0, 255), size) if extreme else rng.integers(0, 256, size)).astype(np.uint8)
    weights = (rng.choice((-128, 127), taps) if extreme else rng.integers(-128, 128, taps)).astype(np.int8)
    biases = rng.integers(-3000, 3000, shape.channels).astype(np.int32)
    scales = (rng.uniform(20, 200, shape.channels) / 128**2 / np.sqrt(np.prod(shape.kernel))).astype(np.float32)
    clip = Clip(zero_point=119)
    top, left, bottom, right = shape.pads
    whole = np.pad(image, ((top, bottom), (left, right), (0, 0)), constant_values=zero_point)
    values = requantize(convolve(whole, weights, zero_point, shape.stride, shape.channels) + biases, scales, clip)
    constants = pack_depthwise_constants(weights, biases, scales, zero_point, shape, instructions)
    kernel = DepthwiseKernel(shape, zero_point, Epilogue(first=clip), instructions)
    height, width = shape.out_size
    arguments = [held(image), constants.weights, constants.biases, constants.scales]
    output = run(kernel.emit, arguments, height * width * padded(shape.channels), instructions=instructions)
    found = output.reshape(height, width, -1)[..., : shape.channels]
    np.testing.assert_array_equal(found, values.astype(np.uint8))


def _shape(height, width, channels, kernel, stride):
    pad = kernel // 2
    return DepthwiseShape(
        height=height, width=width, channels=channels, kernel=(kernel, kernel), stride=(stride, stride),
        pads=(pad, pad, pad, pad),
    )  # fmt: skip


@every_instruction_set
@pytest.mark.parametrize(
    ("height", "width", "channels", "kernel", "stride"),
    [
        *((8, 8, 64, 3, 1), (9, 7, 24, 5, 2), (6, 6, 80, 7, 1), (5, 4, 72, 5, 1), (7, 11, 16, 7, 2)),
        *((2, 2, 13, 7, 1), (1, 1, 8, 3, 1)),
    ],
)  # fmt: skip
def test_depthwise(instructions, height, width, channels, kernel, stride):
    _check(_shape(height, width, channels, kernel, stride), instructions, 131)


@every_instruction_set
def test_saturating_extremes(instructions):
    _check(_shape(5, 6, 64, 7, 1), instructions, 255, extreme=True)
    _check(_shape(5, 6, 64, 7, 1), instructions, 0, extreme=True)


def test_wide_images_are_cut_into_strips():
    _check(_shape(4, 113, 64, 5, 1), RUNNABLE[0], 77)
    _check(_shape(5, 101, 64, 3, 2), RUNNABLE[0], 7)
