"""Schedules for channels-last CPU kernels, in place of TVM's untuned scalar loops.

One rule serves convolutions, depthwise convolutions, matrix products and means: what sums
over an axis computes a tile of neighbouring pixels times channels in registers, channels
vectorized, and the functions fused behind it run on the tile while it is there. Everything
else is inlined into its last stage and vectorized over channels.
"""

# ruff: noqa: ANN401 - TVM has no type annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import tvm
from tvm import s_tir, tirx

_MAX_PIXELS: Final = 8
_MAX_CHANNEL_VECTORS: Final = 4
_MAX_VECTORS: Final = 8
"""Of the channels of a single pixel."""
_DEPTHWISE_SUMS: Final = 2
"""Axes that a depthwise convolution sums over; its pixels share no weights worth a wider tile."""
_COPY_BYTES: Final = 128 * 1024
"""Of the rows of a depthwise convolution's input that are padded at once."""
_SPATIAL: Final = 0
"""TVM's number of an axis that is not summed over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterFile:
    """A processor's vector registers, as far as a tile of sums must fit them."""

    lanes: int
    """float32 values that one holds."""
    accumulators: int
    """How many may hold sums; inputs and weights need the others."""


def schedule_kernels(module: "tvm.IRModule", registers: RegisterFile) -> tuple["tvm.IRModule", tuple[str, ...]]:
    """Schedules every kernel of a lowered module.

    Args:
        module: After ``FuseTIR``, before the virtual machine's lowering.
        registers: Of the processor that the code is for.

    Returns:
        The module, and the names of the kernels that fit no rule: they stay plain scalar loops.
    """
    kernels = {
        name: function for name, function in module.functions.items() if isinstance(function, tirx.PrimFunc)
    }  # fmt: skip
    module = module.clone()
    scalar: list[str] = []
    for name, function in kernels.items():
        scheduled = _scheduled(function, registers)
        if scheduled is None:
            scalar.append(str(name.name_hint))
        else:
            module.update_func(name, scheduled)
    return module, tuple(sorted(scalar))


def _scheduled(function: Any, registers: RegisterFile) -> Any | None:
    if function.attrs is not None and "tirx.is_scheduled" in function.attrs:
        return function
    for rule in (_tile_reduction, _vectorize_elementwise):
        schedule = s_tir.Schedule(function)
        try:
            if rule(schedule, registers):
                return schedule.mod["main"].with_attrs(function.attrs)
        except s_tir.ScheduleError:
            continue  # not this rule's form
    return None


def _tile_reduction(schedule: Any, registers: RegisterFile) -> bool:
    blocks = schedule.get_child_blocks(schedule.get_sblock("root"))
    sums = [block for block in blocks if _is_reduction(schedule, block)]
    if len(sums) != 1:
        return False
    (total,) = sums
    before, after = blocks[: blocks.index(total)], blocks[blocks.index(total) + 1 :]
    loops = schedule.get_loops(total)
    kinds = [variable.iter_type for variable in schedule.get(total).iter_vars]
    spatial = [loop for loop, kind in zip(loops, kinds, strict=True) if kind == _SPATIAL]
    summed = [loop for loop, kind in zip(loops, kinds, strict=True) if kind != _SPATIAL]
    # A padded copy stays: a condition in the innermost loop would cost more. A 1x1 kernel's pads nothing.
    window = math.prod(_extent(schedule, loop) for loop in summed[:-1])
    for block in before[:-1] if window > 1 else before:
        schedule.compute_inline(block)
    padded = before[-1] if window > 1 and before else None
    for block in after[:-1]:
        schedule.compute_inline(block)

    all_pixels = math.prod(_extent(schedule, loop) for loop in spatial[:-1])
    width, vectors = _channel_vectors(_extent(schedule, spatial[-1]), registers.lanes, pixels=all_pixels)
    channel_tiles, vector, channel = schedule.split(spatial[-1], [None, vectors, width])
    outer, tile = [*spatial[:-1], channel_tiles], [vector]
    if len(spatial) > 1:
        most_pixels = min(registers.accumulators // vectors, _MAX_PIXELS)
        side = _extent(schedule, spatial[-2])
        pixels = _largest_divisor(side, most_pixels)
        if pixels == 1 and len(summed) != _DEPTHWISE_SUMS:
            # A prime side: equal tiles and a shorter one, in a copy of the loop so that no other is guarded.
            pixels = -(-side // -(-side // most_pixels))
        pixel_tiles, pixel = schedule.split(spatial[-2], [None, pixels])
        if side % pixels:
            schedule.annotate(pixel_tiles, "pragma_loop_partition_hint", 1)
        outer, tile = [*spatial[:-2], pixel_tiles, channel_tiles], [pixel, vector]
    by_rows = padded is not None and len(summed) == _DEPTHWISE_SUMS and len(spatial) > len(tile)
    if by_rows:
        rows = _rows_of_copy(schedule, padded, _extent(schedule, spatial[-3]), vectors * width)
        row_tiles, row = schedule.split(spatial[-3], [None, rows])
        outer = [*spatial[:-3], row_tiles, channel_tiles, row, pixel_tiles]
    elif _read_elements(schedule, total, 1) > _read_elements(schedule, total, 0):
        # The larger of the two is read once: each tile's weights serve all pixels before the next ones come.
        outer = [channel_tiles, *outer[:-1]]
    schedule.reorder(*outer, *summed, *tile, channel)
    if by_rows:
        # The copy of a few rows and of one tile's channels stays in a near cache.
        schedule.compute_at(padded, channel_tiles)
    if padded is not None:
        _vectorize_last(schedule, padded, registers.lanes)
    last = after[-1] if after else schedule.cache_write(total, 0, "global")
    schedule.reverse_compute_at(last, outer[-1])
    _vectorize_last(schedule, last, registers.lanes)
    schedule.vectorize(channel)
    for loop in tile:
        schedule.unroll(loop)
    schedule.decompose_reduction(total, summed[0])
    return True


def _rows_of_copy(schedule: Any, padded: Any, height: int, channels: int) -> int:
    """Output rows whose padded inputs, of so many channels, are a small copy: a divisor of the height."""
    high, wide = (int(side) for side in schedule.get(padded).writes[0].source.shape[-3:-1])
    return _largest_divisor(height, _COPY_BYTES // (-(-high // height) * wide * channels * 4))


def _vectorize_elementwise(schedule: Any, registers: RegisterFile) -> bool:
    blocks = schedule.get_child_blocks(schedule.get_sblock("root"))
    if any(_is_reduction(schedule, block) for block in blocks):
        return False
    for block in blocks[:-1]:
        schedule.compute_inline(block)
    _vectorize_last(schedule, blocks[-1], registers.lanes)
    return True


def _vectorize_last(schedule: Any, block: Any, lanes: int) -> None:
    last = schedule.get_loops(block)[-1]
    width = _vector_width(_extent(schedule, last), lanes)
    if width > 1:
        schedule.vectorize(schedule.split(last, [None, width])[1])


def _is_reduction(schedule: Any, block: Any) -> bool:
    return any(variable.iter_type != _SPATIAL for variable in schedule.get(block).iter_vars)


def _read_elements(schedule: Any, block: Any, number: int) -> int:
    """Elements of the tensor that a block reads first (0: the images) or second (1: the weights), 0 for none."""
    reads = schedule.get(block).reads
    return math.prod(int(side) for side in reads[number].source.shape) if number < len(reads) else 0


def _extent(schedule: Any, loop: Any) -> int:
    return int(schedule.get(loop).extent)


def channel_tile(channels: int, lanes: int, *, pixels: int) -> int:
    """How many neighbouring output channels a kernel works on at once: a divisor of their number.

    Args:
        channels: Of the output.
        lanes: float32 values that a vector register holds.
        pixels: Of the output.
    """
    return math.prod(_channel_vectors(channels, lanes, pixels=pixels))


def _channel_vectors(channels: int, lanes: int, *, pixels: int) -> tuple[int, int]:
    """Channels per vector, and vectors per tile; a single pixel has more of them, whose sums do not wait for others."""
    width = _vector_width(channels, lanes)
    return width, _largest_divisor(channels // width, _MAX_CHANNEL_VECTORS if pixels > 1 else _MAX_VECTORS)


def _vector_width(channels: int, lanes: int) -> int:
    """A power of two where one of at least 4 divides the channels: others become several odd instructions."""
    width = math.gcd(channels, lanes)
    return width if width >= min(4, channels) else _largest_divisor(channels, lanes)


def _largest_divisor(number: int, most: int) -> int:
    return max(divisor for divisor in range(1, min(number, max(most, 1)) + 1) if number % divisor == 0)
