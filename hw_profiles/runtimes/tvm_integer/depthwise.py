"""Depthwise convolutions: four input rows of a channel per product instruction.

Rows of the input are interleaved four at a time, so that the bytes of one lane are four
vertical neighbours in one channel. Each interleaved column then serves every tap in its
window, and two or more output rows: their weights lie shifted against each other, zeros
in the places of rows that are not theirs. Padding is written into the interleaved copy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tvm import tirx

from hw_profiles.runtimes.tvm_integer.convolution import ChannelConstants, channel_groups, channel_order, even_tile
from hw_profiles.runtimes.tvm_integer.emission import Emitter, Expr, shuffle
from hw_profiles.runtimes.tvm_integer.instructions import VECTORS_PER_GROUP, Instructions
from hw_profiles.runtimes.tvm_integer.requantization import Epilogue
from hw_profiles.runtimes.tvm_integer.shapes import padded

_SCRATCH_BYTES: Final = 24 * 1024
"""Most that interleaved rows take, so that they stay in the first-level cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthwiseShape:
    """Sizes of a depthwise convolution; the input is not padded."""

    height: int
    width: int
    channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    pads: tuple[int, int, int, int]
    """Top, left, bottom, right."""

    @property
    def out_size(self) -> tuple[int, int]:
        """Height and width of the output."""
        top, left, bottom, right = self.pads
        height = (self.height + top + bottom - self.kernel[0]) // self.stride[0] + 1
        return height, (self.width + left + right - self.kernel[1]) // self.stride[1] + 1

    @property
    def row_groups(self) -> int:
        """Groups of four input rows that an output row needs."""
        return -(-self.kernel[0] // 4)

    @property
    def rows_together(self) -> int:
        """Output rows that are computed from the same groups of input rows."""
        return min((4 * self.row_groups - self.kernel[0]) // self.stride[0] + 1, self.out_size[0])


def pack_depthwise_constants(
    weights: NDArray[np.int8],
    biases: NDArray[np.int32],
    scales: NDArray[np.float32],
    in_zero_point: int,
    shape: DepthwiseShape,
    instructions: Instructions,
) -> ChannelConstants:
    """Constants in the kernel's order; weights lie as (channel group, column, row group, row, vector, lane, 4).

    Args:
        weights: (channels, 1, height, width).
        biases: (channels,), in steps of input scale times weight scale.
        scales: (channels,): input scale times weight scale, by output scale.
        in_zero_point: subtracted from every input; becomes part of the bias.
        shape: of the convolution.
        instructions: of the processor.
    """
    held, together, groups = padded(shape.channels), shape.rows_together, shape.row_groups
    high, wide = shape.kernel
    shifted = np.zeros((held, together, 4 * groups, wide), np.int8)
    for row in range(together):
        start = row * shape.stride[0]
        shifted[: shape.channels, row, start : start + high] = weights[:, 0]
    sums = np.zeros(held, np.int64)
    sums[: shape.channels] = weights.astype(np.int64).sum(axis=(1, 2, 3))
    bias = np.zeros(held, np.int64)
    bias[: shape.channels] = biases
    bias += (instructions.activation_offset - in_zero_point) * sums
    scale = np.zeros(held, np.float32)
    scale[: shape.channels] = scales
    order = channel_order(held, instructions)
    ordered = shifted[order].reshape(held, together, groups, 4, wide)
    parts = []
    for first, vectors, repeats in channel_groups(held, instructions):
        count = vectors * instructions.lanes
        for repeat in range(repeats):
            part = ordered[first + repeat * count : first + (repeat + 1) * count]
            part = part.reshape(vectors, instructions.lanes, together, groups, 4, wide)
            parts.append(part.transpose(5, 3, 2, 0, 1, 4).ravel())
    return ChannelConstants(weights=np.concatenate(parts), biases=bias[order].astype(np.int32), scales=scale[order])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """Channels that are worked on together."""

    channel: Expr
    vectors: int
    scratch: Any


class DepthwiseKernel:
    """Writes the kernel of one depthwise convolution."""

    def __init__(self, shape: DepthwiseShape, zero_point: int, epilogue: Epilogue, instructions: Instructions) -> None:
        """A kernel with arguments input, weights, biases, scales, output; padding is the zero point."""
        self._shape = shape
        self._zero_point = zero_point
        self._epilogue = epilogue
        self._instructions = instructions
        widest = max(vectors for _, vectors, _ in channel_groups(padded(shape.channels), instructions))
        column = widest * instructions.lanes * 4 * shape.row_groups
        columns = max(_SCRATCH_BYTES // column - shape.kernel[1], 1)
        self._strip = min(shape.out_size[1], max(columns // shape.stride[1], 4))
        """Output columns between two interleavings."""

    @property
    def _columns(self) -> int:
        """Input columns of a strip, with its padding."""
        return (self._strip - 1) * self._shape.stride[1] + self._shape.kernel[1]

    def emit(self, emitter: Emitter) -> None:
        """Adds the kernel's statements."""
        shape, lanes = self._shape, self._instructions.lanes
        held = padded(shape.channels)
        height, width = shape.out_size
        self._input = emitter.operand("input", "uint8", shape.height * shape.width * held)
        taps = shape.kernel[1] * shape.row_groups * shape.rows_together * 4
        self._weights = emitter.operand("weights", "int8", held * taps)
        self._biases = emitter.operand("biases", "int32", held)
        self._scales = emitter.operand("scales", "float32", held)
        self._output = emitter.operand("output", "uint8", height * width * held)
        together = shape.rows_together
        for first, vectors, repeats in channel_groups(held, self._instructions):
            with emitter.loop(repeats) as number:
                size = self._columns * shape.row_groups * vectors * lanes * 4
                # Where there is one group of channels, rows are what threads share: each needs its own.
                shared = None if emitter.parallel else emitter.scratch("uint8", size)
                for start, blocks, rows in (
                    (0, height // together, together),
                    (height // together * together, 1, height % together),
                ):
                    if blocks * rows:
                        with emitter.loop(blocks) as block:
                            group = _Group(
                                channel=first + number * (vectors * lanes), vectors=vectors,
                                scratch=shared or emitter.scratch("uint8", size),
                            )  # fmt: skip
                            self._emit_rows(emitter, group, start + block * together, rows)

    def _emit_rows(self, emitter: Emitter, group: _Group, y: Expr, rows: int) -> None:
        width = self._shape.out_size[1]
        for start, strips, columns in (
            (0, width // self._strip, self._strip),
            (width // self._strip * self._strip, 1, width % self._strip),
        ):
            if strips * columns:
                with emitter.loop(strips) as strip:
                    x = start + strip * self._strip
                    self._emit_interleaved(emitter, group, y, x)
                    self._emit_sums(emitter, group, y, x, rows, columns)

    def _emit_interleaved(self, emitter: Emitter, group: _Group, y: Expr, x: Expr) -> None:
        """Writes the rows that output row ``y`` needs, columns from that of output column ``x`` on."""
        shape, lanes, vectors = self._shape, self._instructions.lanes, group.vectors
        top, left = shape.pads[:2]
        held, count = padded(shape.channels), vectors * lanes
        first_row, first_column = y * shape.stride[0] - top, x * shape.stride[1] - left
        padding = self._instructions.activations(
            tirx.Broadcast(
                tirx.const(self._zero_point * 0x01010101 - (1 << 32) * (self._zero_point > 127), "int32"), lanes
            )
        )
        for number in range(shape.row_groups):
            rows = [first_row + 4 * number + row for row in range(4)]
            inside = tirx.And(tirx.const(0, "int32") <= rows[0], rows[3] < tirx.const(shape.height, "int32"))

            def columns(*, checked: bool, rows: Sequence[Expr] = rows, number: int = number) -> None:
                with emitter.loop(self._columns) as column:
                    source = first_column + column
                    at = (column * shape.row_groups + number) * count * 4
                    valid = tirx.And(tirx.const(0, "int32") <= source, source < tirx.const(shape.width, "int32"))
                    with emitter.when(valid):
                        loads = [self._row(emitter, row, source * 1, group, checked=checked) for row in rows]
                        for vector, value in enumerate(self._interleave(emitter, loads, vectors)):
                            emitter.store(group.scratch, at + vector * lanes * 4, value, lanes * 4)
                    with emitter.when(tirx.Not(valid)):
                        for vector in range(vectors):
                            emitter.store(group.scratch, at + vector * lanes * 4, padding, lanes * 4)

            with emitter.when(inside):
                columns(checked=False)
            with emitter.when(tirx.Not(inside)):
                columns(checked=True)
        del held

    def _row(self, emitter: Emitter, row: Expr, column: Expr, group: _Group, *, checked: bool) -> Expr:
        shape = self._shape
        held, count = padded(shape.channels), group.vectors * self._instructions.lanes
        zero, last = tirx.const(0, "int32"), tirx.const(shape.height - 1, "int32")
        near = tirx.Max(tirx.Min(row, last), zero) if checked else row
        value = emitter.load(self._input, (near * shape.width + column) * held + group.channel, count)
        if checked:
            padding = tirx.Broadcast(tirx.const(self._zero_point, "uint8"), count)
            value = tirx.Select(tirx.And(zero <= row, row <= last), value, padding)
        return emitter.let(value, f"uint8x{count}")

    def _interleave(self, emitter: Emitter, rows: Sequence[Expr], vectors: int) -> list[Expr]:
        """Vectors of four rows' bytes per channel, in the channel order of the sums."""
        lanes, instructions = self._instructions.lanes, self._instructions
        if not (instructions.packs and vectors == VECTORS_PER_GROUP):
            order = np.arange(4 * vectors * lanes).reshape(4, vectors * lanes).T.reshape(vectors, -1)
            mixed = [shuffle(rows, part) for part in order]
        else:
            # Within each 128 bits: bytes of two rows, then pairs of bytes of two pairs of rows.
            size = 4 * lanes
            blocks = np.arange(size).reshape(-1, 16)
            low, high = blocks[:, :8].ravel(), blocks[:, 8:].ravel()
            pairs = [
                emitter.let(
                    tirx.reinterpret(f"int16x{2 * lanes}", shuffle(two, np.stack([half, half + size], 1).ravel())),
                    f"int16x{2 * lanes}",
                )
                for half in (low, high)
                for two in (rows[:2], rows[2:])
            ]
            words = np.arange(2 * lanes).reshape(-1, 8)
            mixed = []
            for two in (pairs[:2], pairs[2:]):
                for half in (words[:, :4].ravel(), words[:, 4:].ravel()):
                    mixed.append(shuffle(two, np.stack([half, half + 2 * lanes], 1).ravel()))
        return [instructions.activations(tirx.reinterpret(f"int32x{lanes}", value)) for value in mixed]

    def _emit_sums(self, emitter: Emitter, group: _Group, y: Expr, x: Expr, rows: int, columns: int) -> None:
        """Output rows ``y`` to ``y + rows`` of one strip of columns."""
        most = max(self._instructions.accumulators // (rows * group.vectors), 1)
        tile = even_tile(columns, most)
        for start, repeats, count in ((0, columns // tile, tile), (columns // tile * tile, 1, columns % tile)):
            if repeats * count:
                with emitter.loop(repeats) as number:
                    self._emit_tile(emitter, group, (y, x, start + number * tile), rows, count)

    def _emit_tile(self, emitter: Emitter, group: _Group, at: tuple[Expr, Expr, Expr], rows: int, columns: int) -> None:
        shape, lanes, instructions, vectors = self._shape, self._instructions.lanes, self._instructions, group.vectors
        y, strip, x = at
        sums = emitter.registers("int32", rows * columns * vectors, lanes)
        for vector in range(vectors):
            start = emitter.let(emitter.load(self._biases, group.channel + vector * lanes, lanes), f"int32x{lanes}")
            for pixel in range(rows * columns):
                sums[pixel * vectors + vector] = start
        together, size = shape.rows_together, vectors * lanes * 4
        with emitter.loop(shape.kernel[1]) as right, emitter.loop(shape.row_groups) as four:
            step = right * shape.row_groups + four
            weights_at = group.channel * (shape.kernel[1] * shape.row_groups * together * 4) + step * (together * size)
            for vector in range(vectors):
                weights = [
                    emitter.let(
                        emitter.load(self._weights, weights_at + row * size + vector * lanes * 4, lanes * 4),
                        f"int8x{lanes * 4}",
                    )
                    for row in range(rows)
                ]
                for column in range(columns):
                    place = ((x + column) * shape.stride[1] + right) * shape.row_groups + four
                    value = emitter.load(group.scratch, place * size + vector * lanes * 4, lanes * 4)
                    value = emitter.let(value, f"uint8x{lanes * 4}")
                    for row in range(rows):
                        number = (row * columns + column) * vectors + vector
                        sums[number] = instructions.dot(sums[number], value, weights[row])
        scales = [
            emitter.let(emitter.load(self._scales, group.channel + vector * lanes, lanes), f"float32x{lanes}")
            for vector in range(vectors)
        ]
        for row in range(rows):
            for column in range(columns):
                scaled = [
                    tirx.Cast(f"float32x{lanes}", sums[(row * columns + column) * vectors + vector]) * scales[vector]
                    for vector in range(vectors)
                ]
                pixel = (y + row) * shape.out_size[1] + strip + x + column
                outputs = self._epilogue.emit(emitter, instructions, scaled)
                wide = vectors * lanes // len(outputs)
                for number, output in enumerate(outputs):
                    emitter.store(
                        self._output, pixel * padded(shape.channels) + group.channel + number * wide, output, wide
                    )
