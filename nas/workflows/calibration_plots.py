"""Two plots of a calibration: predicted against measured, and error against the number of samples."""

# ruff: noqa: PLC0415 - matplotlib takes half a second, for plots alone

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from nas.home import write_atomically
from predictors.calibration import Calibration

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOR: Final = "#0b6e4f"
_OTHER: Final = "#c1440e"


def plot_predictions(calibration: Calibration, title: str, path: Path) -> None:
    """Each measured network against its prediction by a model that had not seen it, with 90 % intervals."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    measured_ms = calibration.latency_ms
    prediction = calibration.predictor.cross_validated(measured_ms)
    predicted_ms, low, high = prediction.value, prediction.low, prediction.high
    inside = (low <= measured_ms) & (measured_ms <= high)
    figure, axes = _axes()
    ends = np.array([min(measured_ms.min(), low.min()), max(measured_ms.max(), high.max())])
    axes.plot(ends, ends, color="#6c757d", linewidth=1, label="equal")
    for rows, color, label in ((inside, _COLOR, "inside the interval"), (~inside, _OTHER, "outside")):
        if rows.any():
            errors = np.stack([predicted_ms - low, high - predicted_ms])[:, rows]
            axes.errorbar(
                measured_ms[rows],
                predicted_ms[rows],
                errors,
                fmt="o",
                color=color,
                alpha=0.8,
                markersize=4,
                label=label,
            )
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _position: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("measured p50, ms")
    axes.set_ylabel("predicted without it (cross-validation), ms, 90 % interval")
    axes.set_title(title)
    _finish(figure, axes, path)


def plot_history(calibration: Calibration, title: str, path: Path) -> None:
    """The expected and the cross-validated error after each batch of samples, and the device's repeatability."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = _axes()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    samples = [step.samples for step in calibration.history]
    expected = [step.expected_mape_pct for step in calibration.history]
    cross_validated = [step.held_out_mape_pct for step in calibration.history]
    axes.plot(samples, expected, "o-", color=_COLOR, label="expected on new networks")
    label = "cross-validated on the samples, which are more diverse than new networks"
    axes.plot(samples, cross_validated, "s--", color=_OTHER, label=label)
    axes.axhline(calibration.predictor.repeatability * 100, color="#6c757d", linewidth=1, label="repeatability")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("measurements")
    axes.set_ylabel("mean relative error, %")
    axes.set_title(title)
    _finish(figure, axes, path)


def _axes() -> "tuple[Figure, Axes]":
    # matplotlib takes half a second to import and belongs to plotting alone.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _finish(figure: "Figure", axes: "Axes", path: Path) -> None:
    axes.grid(visible=True, alpha=0.2)
    axes.legend(fontsize=8)
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png"))
