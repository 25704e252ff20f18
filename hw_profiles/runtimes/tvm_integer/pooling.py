"""Maximum and average pooling over windows that lie wholly inside their (padded) input."""

from typing import Final

import numpy as np
from tvm import tirx

from hw_profiles.runtimes.tvm_integer.elementwise import pieces, store_rounded
from hw_profiles.runtimes.tvm_integer.emission import Emitter, constant
from hw_profiles.runtimes.tvm_integer.instructions import Instructions
from hw_profiles.runtimes.tvm_integer.requantization import widened
from hw_profiles.runtimes.tvm_integer.schemes import Clip, Quantization
from hw_profiles.runtimes.tvm_integer.shapes import Windows, padded

_BYTES: Final = (64, 32, 16)
"""Of the vectors of bytes that maxima are taken of; channels are a multiple of the last."""


def emit_max_pool(emitter: Emitter, windows: Windows, instructions: Instructions) -> None:
    """The largest byte of each window and channel; input and output have one scheme."""
    (height, width), held = windows.out_size, padded(windows.image.channels)
    source = emitter.operand("input", "uint8", windows.image.held)
    output = emitter.operand("output", "uint8", height * width * held)
    lanes = next(size for size in _BYTES if held % size == 0 and size <= max(4 * instructions.lanes, _BYTES[-1]))
    with emitter.loop(height) as y, emitter.loop(width) as x, emitter.loop(held // lanes) as block:
        first = (y * windows.stride[0] * windows.image.width + x * windows.stride[1]) * held + block * lanes
        largest = emitter.load(source, first, lanes)
        for tap in windows.taps[1:]:
            largest = tirx.Max(largest, emitter.load(source, first + tap * held, lanes))
        emitter.store(output, (y * width + x) * held + block * lanes, largest, lanes)


def emit_average_pool(
    emitter: Emitter,
    windows: Windows,
    before: Quantization,
    after: tuple[Quantization, Clip],
    instructions: Instructions,
) -> None:
    """The mean of each window and channel, in the scheme ``after``."""
    (height, width), held, lanes = windows.out_size, padded(windows.image.channels), instructions.lanes
    source = emitter.operand("input", "uint8", windows.image.held)
    output = emitter.operand("output", "uint8", height * width * held)
    taps = windows.taps
    scale = constant(average_scale(windows, before, after[0]), "float32", lanes)
    shift = constant(len(taps) * before.zero_point, "int32", lanes)
    with emitter.loop(height) as y, emitter.loop(width) as x:
        first = (y * windows.stride[0] * windows.image.width + x * windows.stride[1]) * held
        for start, vectors, repeats in pieces(held, instructions):
            with emitter.loop(repeats) as group:
                channel = start + group * (vectors * lanes)
                parts = [widened(instructions, emitter, source, first + tap * held + channel, vectors) for tap in taps]
                sums = [sum(vector[1:], start=vector[0]) for vector in zip(*parts, strict=True)]
                scaled = [tirx.Cast(f"float32x{lanes}", total - shift) * scale for total in sums]
                store_rounded(emitter, instructions, output, (y * width + x) * held + channel, scaled, after[1])


def average_scale(windows: Windows, before: Quantization, after: Quantization) -> float:
    """Steps of the output per step of a window's sum."""
    return float(np.float32(before.scale / (len(windows.taps) * after.scale)))
