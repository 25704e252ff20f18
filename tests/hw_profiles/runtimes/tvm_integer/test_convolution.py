"""Integer convolutions give exactly what numpy gives, on every instruction set of this processor."""

import numpy as np
import pytest

from hw_profiles.runtimes.tvm_integer.convolution import (
    ChannelConstants,
    ConvolutionKernel,
    ConvolutionShape,
    pack_constants,
)
from hw_profiles.runtimes.tvm_integer.requantization import Epilogue, Residual
from hw_profiles.runtimes.tvm_integer.schemes import Activation, Clip, Quantization, multiply_add
from hw_profiles.runtimes.tvm_integer.shapes import padded
from tests.hw_profiles.runtimes.tvm_integer.kernels import (
    convolve,
    every_instruction_set,
    held,
    requantize,
    run,
)


def _random(seed, shape, bits, *, extreme=False):
    """Image, weights, biases and scales of a convolution; ``extreme`` ones saturate every product and sum."""
    rng = np.random.default_rng(seed)
    outputs = shape.groups * shape.out_channels
    size = (shape.height, shape.width, shape.groups * shape.in_channels)
    taps = (outputs, shape.in_channels, *shape.kernel)
    reach = 1 << (bits - 1)
    if extreme:
        image, weights = rng.choice((0, 255), size).astype(np.uint8), rng.choice((-reach, reach - 1), taps)
    else:
        image, weights = rng.integers(0, 256, size).astype(np.uint8), rng.integers(-reach, reach, taps)
    biases = rng.integers(-3000, 3000, outputs).astype(np.int32)
    usual = 128.0 * reach * np.sqrt(shape.in_channels * np.prod(shape.kernel))
    scales = (rng.uniform(20, 200, outputs) / usual).astype(np.float32)
    return image, weights.astype(np.int8), biases, scales


def _check(shape, instructions, epilogue, zero_point, *, seed=0, extreme=False, bits=8):
    image, weights, biases, scales = _random(seed, shape, bits, extreme=extreme)
    of_groups = zip(*(np.split(array, shape.groups) for array in (weights, biases, scales)), strict=True)
    constants = ChannelConstants.joined(
        [pack_constants(*arrays, zero_point, instructions, bits) for arrays in of_groups]
    )
    memory = held(image) if shape.in_stride != 4 else np.pad(image, ((0, 0), (0, 0), (0, 4 - image.shape[2])))
    height, width = shape.out_size
    sums = convolve(image, weights, zero_point, shape.stride, shape.groups) + biases
    values = requantize(sums, scales, epilogue.first)
    arguments = [memory, constants.weights, constants.biases, constants.scales]
    if epilogue.activation is not None:
        values = epilogue.activation.table()[values].astype(np.int64)
    if epilogue.residual is not None:
        other = np.random.default_rng(seed + 1).integers(0, 256, values.shape).astype(np.uint8)
        arguments.append(held(other))
        added = epilogue.residual
        before = epilogue.after_activation or epilogue.first
        second = (other.astype(np.int64) - added.other_zero_point).astype(np.float32) * np.float32(added.other_ratio)
        first = (values - before.zero_point).astype(np.float32)
        total = multiply_add(first, np.float32(added.ratio), second, fused=instructions.fuses)
        clip = epilogue.after_residual
        values = np.clip(np.rint(total) + clip.zero_point, clip.low, clip.high)
    kernel = ConvolutionKernel(shape, epilogue, instructions, bits)
    output = run(kernel.emit, arguments, height * width * shape.held_outputs, instructions=instructions)
    found = output.reshape(height, width, -1)[..., : len(weights)]
    np.testing.assert_array_equal(found, values.astype(np.uint8))


def _pointwise(height, width, inputs, outputs):
    return ConvolutionShape(
        height=height, width=width, in_stride=padded(inputs), in_channels=inputs, out_channels=outputs
    )


@every_instruction_set
@pytest.mark.parametrize(
    ("height", "width", "inputs", "outputs"),
    [(1, 1, 64, 10), (4, 4, 24, 40), (7, 5, 80, 240), (1, 1, 3, 130), (9, 9, 17, 64), (2, 3, 16, 16)],
)
def test_pointwise(instructions, height, width, inputs, outputs):
    shape = _pointwise(height, width, inputs, outputs)
    _check(shape, instructions, Epilogue(first=Clip(zero_point=113)), 121)
    _check(shape, instructions, Epilogue(first=Clip(zero_point=30, low=30, high=200)), 3, seed=5)


@every_instruction_set
@pytest.mark.parametrize(("kernel", "stride", "channels"), [(3, 2, 3), (3, 1, 16), (5, 2, 20), (1, 2, 24)])
def test_dense(instructions, kernel, stride, channels):
    shape = ConvolutionShape(
        height=11, width=12, in_stride=4 if channels <= 4 else padded(channels), in_channels=channels,
        out_channels=24, kernel=(kernel, kernel), stride=(stride, stride),
    )  # fmt: skip
    _check(shape, instructions, Epilogue(first=Clip(zero_point=128)), 117)


@every_instruction_set
def test_saturating_extremes(instructions):
    _check(_pointwise(3, 3, 96, 80), instructions, Epilogue(first=Clip(zero_point=0)), 255, extreme=True)
    _check(_pointwise(3, 3, 96, 80), instructions, Epilogue(first=Clip(zero_point=255)), 0, extreme=True)


@every_instruction_set
@pytest.mark.parametrize("kind", ["hard_swish", "hard_sigmoid"])
@pytest.mark.parametrize("outputs", [72, 64])
def test_activation_and_residual(instructions, kind, outputs):
    before, after = Quantization(scale=0.043, zero_point=122), Quantization(scale=0.0231, zero_point=16)
    activation = Activation(kind=kind, alpha=1 / 6, beta=0.5, before=before, after=after)
    assert activation.is_exact(instructions)
    epilogue = Epilogue(
        first=Clip(zero_point=122), activation=activation, after_activation=Clip(zero_point=16),
        residual=Residual(ratio=0.61, other_ratio=0.83, other_zero_point=97), after_residual=Clip(zero_point=101),
    )  # fmt: skip
    _check(_pointwise(5, 5, 32, outputs), instructions, epilogue, 110)
    _check(_pointwise(5, 5, 32, outputs), instructions, Epilogue(
        first=Clip(zero_point=122), activation=activation, after_activation=Clip(zero_point=16)
    ), 110)  # fmt: skip


@every_instruction_set
@pytest.mark.parametrize(
    ("inputs", "outputs", "kernel", "stride"),
    [(64, 10, 1, 1), (24, 40, 1, 1), (20, 80, 3, 2), (3, 24, 3, 2), (36, 130, 1, 1), (17, 64, 5, 1)],
)
def test_4_bit_weights(instructions, inputs, outputs, kernel, stride):
    """Whole and odd numbers of words of input channels; images of three channels have one."""
    shape = ConvolutionShape(
        height=7, width=9, in_stride=4 if inputs <= 4 else padded(inputs), in_channels=inputs,
        out_channels=outputs, kernel=(kernel, kernel), stride=(stride, stride),
    )  # fmt: skip
    _check(shape, instructions, Epilogue(first=Clip(zero_point=113)), 121, bits=4)
    _check(shape, instructions, Epilogue(first=Clip(zero_point=0)), 255, bits=4, extreme=True)


@every_instruction_set
def test_4_bit_weights_take_half_the_bytes(instructions):
    weights, biases, scales = np.ones((64, 48, 1, 1), np.int8), np.zeros(64, np.int32), np.ones(64, np.float32)
    sizes = [pack_constants(weights, biases, scales, 0, instructions, bits).weights.nbytes for bits in (8, 4)]
    assert sizes == [64 * 48, 64 * 48 // 2]


@every_instruction_set
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize(
    ("groups", "inputs", "outputs", "kernel", "stride"), [(3, 8, 16, 3, 1), (2, 20, 48, 1, 2), (4, 12, 80, 1, 1)]
)
def test_groups(instructions, bits, groups, inputs, outputs, kernel, stride):
    shape = ConvolutionShape(
        height=6, width=7, in_stride=padded(groups * inputs), in_channels=inputs, out_channels=outputs,
        kernel=(kernel, kernel), stride=(stride, stride), groups=groups,
    )  # fmt: skip
    _check(shape, instructions, Epilogue(first=Clip(zero_point=128)), 117, bits=bits)
