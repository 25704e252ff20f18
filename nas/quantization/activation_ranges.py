"""Ranges of activations, seen on calibration images, that integers are scaled to.

The float graph runs image by image, and every activation that an operator reads or writes is
looked at. A range is the smallest that holds all values (``minmax``), one that leaves out a
share of them at either end (``percentile``), or the one whose rounding and clipping together
have the least squared error (``mse``; compare Nagel et al., arXiv:2106.08295, section 3.1).
"""

import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

import numpy as np
import onnx
from numpy.typing import NDArray

from hw_profiles.quantized_units import unit_of
from nas.quantization.onnx_export import ExportError
from search_spaces.errors import UsageError

FloatImages = NDArray[np.float32]
RangeRule = Literal["minmax", "percentile", "mse"]
RANGE_RULES: Final[tuple[RangeRule, ...]] = get_args(RangeRule)
_BINS: Final = 2048
_SHRINKAGES: Final = np.linspace(0.3, 1.0, 36)
"""Shares of the whole range that are tried by ``mse``, at either end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeSettings:
    """Settings of activation ranges.

    Raises:
        UsageError: for an unknown rule, or a percentile outside of 50 to 100.
    """

    rule: RangeRule = "minmax"
    percentile: float = 99.99
    """Of ``percentile``: values below it, and above its opposite, keep their size."""
    levels: int = 256
    """Integers of a range; ``mse`` weighs rounding by it."""

    def __post_init__(self) -> None:
        if self.rule not in RANGE_RULES:
            raise UsageError(f"{self.rule!r} is no rule for ranges; there are {', '.join(RANGE_RULES)}.")
        if not 50.0 < self.percentile <= 100.0:
            raise UsageError(f"a percentile of {self.percentile} leaves no range; give more than 50, at most 100.")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ActivationRanges:
    """Lowest and highest value of each activation, by the tensor's name; finite."""

    values: Mapping[str, tuple[float, float]]
    means: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """Mean of each channel (the second axis) over the calibration images and pixels, by the tensor's name."""

    @classmethod
    def observe(
        cls,
        model: onnx.ModelProto,
        operators: Collection[str],
        images: FloatImages,
        settings: RangeSettings | None = None,
    ) -> "ActivationRanges":
        """Ranges of what operators of some types read and write.

        Args:
            model: a float graph with the shapes of all tensors.
            operators: ONNX operator types.
            images: normalized, shape (n, C, H, W), n at least 1.
            settings: how ranges are chosen; all values are kept by default.

        Raises:
            ExportError: if there are no images, or an activation is not finite on one.
        """
        chosen = settings or RangeSettings()
        if not len(images):
            raise ExportError("activation ranges need at least one calibration image; there is none.")
        names = _activations(model, operators)
        extremes, means = _statistics(_runs(model, names, images), names)
        _refuse_unbounded(model, extremes)
        if chosen.rule == "minmax":
            return cls(values=extremes, means=means)
        counts = {name: np.zeros(_BINS, dtype=np.int64) for name in names}
        for tensors in _runs(model, names, images):
            for name, values in tensors.items():
                low, high = extremes[name]
                if high > low:
                    bins = ((values.ravel() - np.float64(low)) * (_BINS / (high - low))).astype(np.int64)
                    counts[name] += np.bincount(np.clip(bins, 0, _BINS - 1), minlength=_BINS)
        return cls(values={name: narrowed_range(extremes[name], counts[name], chosen) for name in names}, means=means)


def narrowed_range(
    whole: tuple[float, float], counts: NDArray[np.int64], settings: RangeSettings
) -> tuple[float, float]:
    """The range for values that were counted in equal bins of ``whole``; the whole one if that is a point.

    Zero is always inside, since integers must be able to say it exactly.
    """
    low, high = whole
    total = int(counts.sum())
    if not high > low or not total or settings.rule == "minmax":
        return whole
    width = (high - low) / len(counts)
    if settings.rule == "percentile":
        share = 1.0 - settings.percentile / 100.0
        below = np.cumsum(counts) / total
        first = int(np.searchsorted(below, share, side="right"))
        last = int(np.searchsorted(below, 1.0 - share, side="left"))
        return min(low + first * width, 0.0), max(low + (last + 1) * width, 0.0)
    centres = low + (np.arange(len(counts)) + 0.5) * width
    lows = low * _SHRINKAGES if low < 0 else np.zeros(1)
    highs = high * _SHRINKAGES if high > 0 else np.zeros(1)
    too_low, too_high = _clipped(lows[:, None] - centres, counts), _clipped(centres - highs[:, None], counts)
    inside = total - too_low.values[:, None] - too_high.values
    # Inside, values are rounded by a twelfth of a squared step on average.
    steps = (highs - lows[:, None]) / (settings.levels - 1)
    errors = too_low.squared_error[:, None] + too_high.squared_error + inside * steps**2 / 12.0
    # Of equals the widest: it is the last.
    row, column = divmod(errors.size - 1 - int(np.argmin(errors.ravel()[::-1])), len(highs))
    return float(lows[row]), float(highs[column])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Clipped:
    """Values beyond each of several ends of a range, shape ``(ends,)``."""

    values: NDArray[np.int64]
    squared_error: NDArray[np.float64]


def _clipped(beyond: NDArray[np.float64], counts: NDArray[np.int64]) -> _Clipped:
    """Of values that lie ``beyond`` ends, shape ``(ends, bins)``; negative distances are inside."""
    distances = np.maximum(beyond, 0.0)
    return _Clipped(values=(distances > 0) @ counts, squared_error=distances**2 @ counts)


def _activations(model: onnx.ModelProto, operators: Collection[str]) -> tuple[str, ...]:
    """Float tensors that operators of these types read or write, weights excluded, in a fixed order."""
    graph = model.graph
    floats = {
        value.name
        for value in (*graph.value_info, *graph.output, *graph.input)
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }
    floats -= {tensor.name for tensor in graph.initializer}
    named = (
        name for node in graph.node if node.op_type in operators for name in itertools.chain(node.input, node.output)
    )
    return tuple(dict.fromkeys(name for name in named if name in floats))


def _runs(
    model: onnx.ModelProto, names: tuple[str, ...], images: FloatImages
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """The tensors' values, one image after another."""
    import onnxruntime as ort  # noqa: PLC0415 - takes a second, and the command line starts without it

    observed = onnx.ModelProto()
    observed.CopyFrom(model)
    known = {value.name for value in observed.graph.output}
    inputs = {value.name for value in observed.graph.input}
    made = [name for name in names if name not in known and name not in inputs]
    observed.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in made
    )
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(observed.SerializeToString(), options, providers=["CPUExecutionProvider"])
    asked = [name for name in names if name not in inputs]
    fed = session.get_inputs()[0].name
    for image in images:
        values = dict(zip(asked, session.run(asked, {fed: image[None]}), strict=True))
        yield {name: values.get(name, image) for name in names}


def _statistics(
    runs: Iterator[dict[str, NDArray[np.float32]]], names: tuple[str, ...]
) -> tuple[dict[str, tuple[float, float]], dict[str, NDArray[np.float64]]]:
    """Lowest and highest values, and channels' means."""
    lowest, highest = dict.fromkeys(names, np.inf), dict.fromkeys(names, -np.inf)
    sums: dict[str, NDArray[np.float64]] = {}
    count = 0
    for tensors in runs:
        count += 1
        for name, values in tensors.items():
            batched = values if values.ndim > 1 and len(values) == 1 else values[None]
            with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is refused by its range
                each = batched.mean(axis=(0, *range(2, batched.ndim)), dtype=np.float64)
            sums[name] = sums.get(name, np.zeros_like(each)) + each
            # NaN must stay: Python's min and max would lose it.
            lowest[name] = float(np.minimum(lowest[name], values.min()))
            highest[name] = float(np.maximum(highest[name], values.max()))
    return {name: (lowest[name], highest[name]) for name in names}, {name: sums[name] / count for name in sums}


def _refuse_unbounded(model: onnx.ModelProto, extremes: Mapping[str, tuple[float, float]]) -> None:
    made_by = {name: node.name for node in model.graph.node for name in node.output}
    for name, ends in extremes.items():
        if not np.isfinite(ends).all():
            unit = unit_of(made_by.get(name, name))
            raise ExportError(
                f"an activation of unit {unit} lies between {ends[0]} and {ends[1]} on the calibration images, so no"
                " integer scale fits it; check the images and the network's weights."
            )
