"""Dense and pointwise convolutions and linear layers: four input channels per product instruction.

A tile holds the sums of several pixels times several vectors of output channels; each step
reads one word of four input channels per pixel and the weights of the tile's channels. Of
4-bit weights, those of two words lie in the halves of the same bytes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tvm import tirx

from hw_profiles.runtimes.tvm_integer import four_bits
from hw_profiles.runtimes.tvm_integer.emission import Emitter, Expr, Registers
from hw_profiles.runtimes.tvm_integer.instructions import VECTORS_PER_GROUP, Instructions
from hw_profiles.runtimes.tvm_integer.requantization import Epilogue, widened
from hw_profiles.runtimes.tvm_integer.schemes import FOUR_BITS_FACTOR
from hw_profiles.runtimes.tvm_integer.shapes import padded

_MAX_ROWS: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvolutionShape:
    """Sizes of a convolution whose input is padded already; a linear layer has one pixel.

    With several groups, channels are those of one group, and its outputs fill whole vectors
    (:mod:`hw_profiles.runtimes.tvm_integer.grouping`).
    """

    height: int
    width: int
    """Of the padded input."""
    in_stride: int
    """Bytes per input pixel: at least the input channels rounded up to four."""
    in_channels: int
    out_channels: int
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def held_outputs(self) -> int:
        """Output channels of all groups as held in memory."""
        return self.groups * padded(self.out_channels)

    @property
    def out_size(self) -> tuple[int, int]:
        """Height and width of the output."""
        height = (self.height - self.kernel[0]) // self.stride[0] + 1
        return height, (self.width - self.kernel[1]) // self.stride[1] + 1

    @property
    def words(self) -> int:
        """Words of four input channels."""
        return -(-self.in_channels // 4)

    @property
    def is_flat(self) -> bool:
        """Whether output pixels are input pixels, so that rows need no loop of their own."""
        return self.kernel == (1, 1) and self.stride == (1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelConstants:
    """Weights, biases and scales in the order in which a kernel reads them."""

    weights: NDArray[np.int8]
    biases: NDArray[np.int32]
    scales: NDArray[np.float32]

    @property
    def arrays(self) -> tuple[NDArray[np.int8], NDArray[np.int32], NDArray[np.float32]]:
        """Weights, biases, scales: a kernel's operands after its input."""
        return self.weights, self.biases, self.scales

    @classmethod
    def joined(cls, groups: Sequence["ChannelConstants"]) -> "ChannelConstants":
        """Those of several groups, one after the other."""
        weights, biases, scales = (np.concatenate(part) for part in zip(*(one.arrays for one in groups), strict=True))
        return cls(weights=weights, biases=biases, scales=scales)


def channel_groups(channels: int, instructions: Instructions) -> list[tuple[int, int, int]]:
    """``(first channel, vectors, repeats)``: whole groups of four vectors, then what is left.

    Args:
        channels: as held in memory.
        instructions: of the processor.
    """
    whole = channels // (VECTORS_PER_GROUP * instructions.lanes)
    left = (channels - whole * VECTORS_PER_GROUP * instructions.lanes) // instructions.lanes
    groups = [(0, VECTORS_PER_GROUP, whole)] if whole else []
    return groups + ([(whole * VECTORS_PER_GROUP * instructions.lanes, left, 1)] if left else [])


def channel_order(channels: int, instructions: Instructions) -> NDArray[np.int_]:
    """Channel at each position of a kernel's sums, shape ``(channels,)``."""
    parts = []
    for first, vectors, repeats in channel_groups(channels, instructions):
        order = instructions.channel_order(vectors).ravel()
        parts += [first + repeat * len(order) + order for repeat in range(repeats)]
    return np.concatenate(parts)


def pack_constants(
    weights: NDArray[np.int8],
    biases: NDArray[np.int32],
    scales: NDArray[np.float32],
    in_zero_point: int,
    instructions: Instructions,
    weight_bits: int = 8,
) -> ChannelConstants:
    """Constants of one group of a convolution, channels and words padded with zeros.

    Args:
        weights: (outputs, inputs, height, width).
        biases: (outputs,), in steps of input scale times weight scale.
        scales: (outputs,): input scale times weight scale, by output scale.
        in_zero_point: subtracted from every input; becomes part of the bias.
        instructions: of the processor.
        weight_bits: 8, or 4 for weights from -8 to 7.
    """
    outputs, inputs, high, wide = weights.shape
    held, words = padded(outputs), -(-inputs // 4)
    full = np.zeros((held, words * 4, high, wide), np.int8)
    full[:outputs, :inputs] = weights
    sums = full.astype(np.int64).sum(axis=(1, 2, 3))
    bias = np.zeros(held, np.int64)
    bias[:outputs] = biases
    bias += (instructions.activation_offset - in_zero_point) * sums
    scale = np.zeros(held, np.float32)
    scale[:outputs] = scales
    order = channel_order(held, instructions)
    ordered = full[order].reshape(held, words, 4, high, wide)
    parts = []
    for first, vectors, repeats in channel_groups(held, instructions):
        count = vectors * instructions.lanes
        for repeat in range(repeats):
            part = ordered[first + repeat * count : first + (repeat + 1) * count].transpose(3, 4, 1, 0, 2)
            parts.append((part if weight_bits == 8 else _in_halves(part)).ravel())
    if weight_bits == 4:
        bias, scale = bias * FOUR_BITS_FACTOR, scale / np.float32(FOUR_BITS_FACTOR)
    return ChannelConstants(weights=np.concatenate(parts), biases=bias[order].astype(np.int32), scales=scale[order])


def _in_halves(words: NDArray[np.int8]) -> NDArray[np.int8]:
    """Neighbouring words, along the third axis, in the halves of the same bytes; the last of an odd number above."""
    if words.shape[2] % 2:
        words = np.insert(words, words.shape[2] - 1, 0, axis=2)
    return four_bits.pack_halves(words[:, :, ::2], words[:, :, 1::2])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tile:
    """One tile: pixels by their place in the input and output, channels by their group."""

    inputs: list[Expr]
    outputs: list[Expr]
    channel: Expr
    vectors: int


class ConvolutionKernel:
    """Writes the kernel of one convolution."""

    def __init__(
        self, shape: ConvolutionShape, epilogue: Epilogue, instructions: Instructions, weight_bits: int = 8
    ) -> None:
        """A kernel with arguments input, weights, biases, scales, the residual's other tensor if any, output."""
        self._shape = shape
        self._epilogue = epilogue
        self._instructions = instructions
        self._weight_bits = weight_bits

    @property
    def _steps(self) -> int:
        """Vectors of weights per output vector and tap: a word's, or two words' in 4 bits."""
        return self._shape.words if self._weight_bits == 8 else -(-self._shape.words // 2)

    def emit(self, emitter: Emitter) -> None:
        """Adds the kernel's statements."""
        shape, lanes, held = self._shape, self._instructions.lanes, self._shape.held_outputs
        height, width = shape.out_size
        self._input = emitter.operand("input", "uint8", shape.height * shape.width * shape.in_stride)
        size = held * shape.kernel[0] * shape.kernel[1] * self._steps * 4
        self._weights = emitter.operand("weights", "int8", size)
        self._biases = emitter.operand("biases", "int32", held)
        self._scales = emitter.operand("scales", "float32", held)
        residual = self._epilogue.residual is not None
        self._other = emitter.operand("other", "uint8", height * width * held) if residual else None
        self._output = emitter.operand("output", "uint8", height * width * held)
        with emitter.loop(shape.groups) as group:
            for first, vectors, repeats in channel_groups(padded(shape.out_channels), self._instructions):
                rows = max(1, min(self._instructions.accumulators // vectors, _MAX_ROWS))
                with emitter.loop(repeats) as number:
                    channel = group * shape.out_channels + first + number * (vectors * lanes)
                    for tile in self._tiles(emitter, rows, (group, channel), vectors):
                        self._emit_tile(emitter, tile)

    def _tiles(self, emitter: Emitter, rows: int, at: tuple[Expr, Expr], vectors: int) -> Iterator[_Tile]:
        shape, (group, channel) = self._shape, at
        height, width = shape.out_size
        lines, line = (1, height * width) if shape.is_flat else (height, width)
        in_line, step = shape.stride[0] * shape.width * shape.in_stride, shape.stride[1] * shape.in_stride
        rows = even_tile(line, rows)
        first = group * shape.in_channels
        with emitter.loop(lines) as y:
            for start, repeats, count in ((0, line // rows, rows), (line // rows * rows, 1, line % rows)):
                if not repeats * count:
                    continue
                with emitter.loop(repeats) as tile:
                    x = start + tile * count
                    yield _Tile(
                        inputs=[y * in_line + (x + row) * step + first for row in range(count)],
                        outputs=[y * width + x + row for row in range(count)],
                        channel=channel,
                        vectors=vectors,
                    )

    def _emit_tile(self, emitter: Emitter, tile: _Tile) -> None:
        shape, lanes = self._shape, self._instructions.lanes
        vectors, rows = tile.vectors, range(len(tile.inputs))
        sums = emitter.registers("int32", len(rows) * vectors, lanes)
        for vector in range(vectors):
            start = emitter.let(emitter.load(self._biases, tile.channel + vector * lanes, lanes), f"int32x{lanes}")
            for row in rows:
                sums[row * vectors + vector] = start
        taps = shape.kernel[0] * shape.kernel[1]
        with emitter.loop(shape.kernel[0]) as down, emitter.loop(shape.kernel[1]) as right:
            place = (down * shape.width + right) * shape.in_stride
            at = tile.channel * (taps * self._steps * 4) + (down * shape.kernel[1] + right) * (
                self._steps * vectors * lanes * 4
            )
            self._emit_tap(emitter, tile, sums, place, at)
        scales = [
            emitter.let(emitter.load(self._scales, tile.channel + vector * lanes, lanes), f"float32x{lanes}")
            for vector in range(vectors)
        ]
        for row in rows:
            self._emit_outputs(emitter, tile, row, [
                tirx.Cast(f"float32x{lanes}", sums[row * vectors + vector]) * scales[vector]
                for vector in range(vectors)
            ])  # fmt: skip

    def _emit_tap(self, emitter: Emitter, tile: _Tile, sums: Registers, place: Expr, at: Expr) -> None:
        """Adds the products of one place of the window: inputs from ``place``, weights from ``at`` on."""
        words, vectors, lanes = self._shape.words, tile.vectors, self._instructions.lanes

        def load(step: Expr) -> list[Expr]:
            start = at + step * (vectors * lanes * 4)
            return [emitter.load(self._weights, start + vector * lanes * 4, lanes * 4) for vector in range(vectors)]

        if self._weight_bits == 8:
            with emitter.loop(words) as word:
                self._emit_products(emitter, tile, sums, place + word * 4, load(word))
            return
        if words > 1:
            with emitter.loop(words // 2) as pair:
                halves = [four_bits.unpack_halves(emitter, value, lanes) for value in load(pair)]
                for number, weights in enumerate(zip(*halves, strict=True)):
                    self._emit_products(emitter, tile, sums, place + pair * 8 + number * 4, weights)
        if words % 2:
            last = [four_bits.unpack_halves(emitter, value, lanes)[1] for value in load(words // 2)]
            self._emit_products(emitter, tile, sums, place + (words - 1) * 4, last)

    def _emit_products(
        self, emitter: Emitter, tile: _Tile, sums: Registers, place: Expr, weights: Sequence[Expr]
    ) -> None:
        """Adds those of one word of input channels."""
        lanes, instructions = self._instructions.lanes, self._instructions
        weights = [emitter.let(value, f"int8x{lanes * 4}") for value in weights]
        for row, inputs in enumerate(tile.inputs):
            four = tirx.reinterpret("int32", emitter.load(self._input, inputs + place, 4))
            activations = instructions.activations(tirx.Broadcast(four, lanes))
            activations = emitter.let(activations, f"uint8x{lanes * 4}")
            for vector in range(tile.vectors):
                number = row * tile.vectors + vector
                sums[number] = instructions.dot(sums[number], activations, weights[vector])

    def _emit_outputs(self, emitter: Emitter, tile: _Tile, row: int, scaled: list[Expr]) -> None:
        at = tile.outputs[row] * self._shape.held_outputs + tile.channel

        def others() -> list[Expr]:
            return widened(self._instructions, emitter, self._other, at, tile.vectors)

        outputs = self._epilogue.emit(emitter, self._instructions, scaled, others)
        lanes = tile.vectors * self._instructions.lanes // len(outputs)
        for number, output in enumerate(outputs):
            emitter.store(self._output, at + number * lanes, output, lanes)


def even_tile(line: int, most: int) -> int:
    """How many of ``line`` to work on at once: a divisor near ``most`` where there is one, else nearly equal parts.

    A divisor leaves no smaller last tile, which would be code of its own.
    """
    divisor = max(size for size in range(1, min(most, line) + 1) if line % size == 0)
    return divisor if 3 * divisor >= 2 * most or divisor == line else -(-line // -(-line // most))
