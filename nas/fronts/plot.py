"""Plots of a front and its baselines, as PNG and as interactive HTML."""

# ruff: noqa: PLC0415 - matplotlib and plotly take half a second, for plots alone

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from nas.fronts.color_scale import ColorScale
from nas.fronts.front import Front, Member
from nas.home import write_atomically

if TYPE_CHECKING:
    import plotly.graph_objects

_FRONT_COLOR: Final = "#0b6e4f"
_INTERVAL: Final[dict[str, Any]] = {"color": _FRONT_COLOR, "alpha": 0.35}
_STYLES: Final = {
    "largest, fp32": ("#c1440e", "s", "square"),
    "largest, all int8": ("#8f2d56", "D", "diamond"),
    "best of random": ("#6c757d", "o", "circle"),
}


_TICKS_MS: Final = [digit * 10.0**power for power in range(-4, 5) for digit in (1, 1.5, 2, 3, 5, 7)]
"""Plotly labels a log axis within a decade with single digits."""


def plot_png(front: Front, path: Path) -> None:
    """Draws expected accuracy with its 90 % interval against measured p50 latency (log), with the baselines.

    A third objective is the color of the points.
    """
    # matplotlib takes half a second to import and belongs to this function alone.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter

    figure = Figure(figsize=(8, 5), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    times, values = _points(front.members)
    colored = ColorScale.of(front.objectives, front.members)
    if colored is None:
        axes.step(times, values, where="post", color=_FRONT_COLOR, alpha=0.5, linewidth=1.5)
    for member in front.members:
        time_ms = member.latency_p50_ms.best_known
        if member.latency_p50_ms.interval_90:
            axes.plot(member.latency_p50_ms.interval_90, (member.expected_accuracy,) * 2, **_INTERVAL, linewidth=3)
        if member.accuracy is not None:
            axes.plot((time_ms,) * 2, member.accuracy.interval_90, **_INTERVAL, linewidth=1.5)
    if colored is None:
        for precision, face in (("fp32", "white"), ("mixed or int8", _FRONT_COLOR)):
            shown = [member for member in front.members if (member.precision == "fp32") == (precision == "fp32")]
            axes.plot(
                *_points(shown),
                "o",
                color=_FRONT_COLOR,
                markersize=8,
                markerfacecolor=face,
                label=f"hwnas front, {precision}",
            )
    else:
        points = axes.scatter(times, values, c=colored.values, cmap="viridis", s=64, zorder=3, label="hwnas front")
        figure.colorbar(points, ax=axes, label=colored.label)
    axes.plot([], [], **_INTERVAL, linewidth=3, label="90 % intervals: predicted latency, expected accuracy")
    for label, (color, marker, _) in _STYLES.items():
        beside = _baseline(front, label)
        if beside:
            axes.plot(*_points(beside), marker, color=color, label=label, markersize=7, alpha=0.9)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1, 1.5, 2, 3, 5, 7)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _position: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
    axes.set_xlabel("latency p50, ms (one image, measured on the exported file)")
    axes.set_ylabel("expected accuracy on new images")
    axes.set_title(f"{front.space} on {front.device}, {front.data}: {front.evaluations} real evaluations")
    axes.grid(visible=True, alpha=0.2)
    axes.legend(loc="lower right", fontsize=8)
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png"))


def plot_html(front: Front, path: Path) -> None:
    """Writes one self-contained page of the same plot; hovering tells what a point is."""
    import plotly.graph_objects as go

    figure = go.Figure()
    colored = ColorScale.of(front.objectives, front.members)
    mode: Literal["markers", "lines+markers"] = "lines+markers" if colored is None else "markers"
    figure.add_trace(_trace(front.members, "hwnas front", _FRONT_COLOR, "circle", mode))
    if colored is not None:
        figure.data[0].marker.update(plotly_colors(colored))
        figure.update_layout(legend={"orientation": "h", "y": 1.05})
    for label, (color, _, symbol) in _STYLES.items():
        if beside := _baseline(front, label):
            figure.add_trace(_trace(beside, label, color, symbol, "markers"))
    figure.update_layout(
        title=f"{front.space} on {front.device}, {front.data}: {front.evaluations} real evaluations",
        xaxis={"title": "latency p50, ms", "type": "log", "tickvals": _TICKS_MS, "tickformat": "~r"},
        yaxis={"title": "expected accuracy on new images", "tickformat": ".0%"},
        template="plotly_white",
        hovermode="closest",
    )
    page = figure.to_html(include_plotlyjs=True, full_html=True)

    def fill(temporary: Path) -> None:
        temporary.write_text(page, encoding="utf-8")

    write_atomically(path, fill)


def plotly_colors(colored: ColorScale) -> dict[str, Any]:
    """The settings of a Plotly trace's markers that show a metric as color."""
    return {
        "color": colored.values,
        "colorscale": "Viridis",
        "showscale": True,
        "colorbar": {"title": {"text": colored.label, "side": "right"}},
    }


def _trace(
    members: Sequence[Member], name: str, color: str, symbol: str, mode: Literal["markers", "lines+markers"]
) -> "plotly.graph_objects.Scatter":
    import plotly.graph_objects as go

    times, values = _points(members)
    return go.Scatter(
        x=times,
        y=values,
        mode=mode,
        name=name,
        line={"shape": "hv", "color": color},
        marker={"color": color, "symbol": symbol, "size": 10},
        text=[
            f"{m.summary}<br>{m.precision}, {m.size_bytes / 1024:.0f} KiB<br>candidate {m.candidate[:12]}"
            for m in members
        ],
        hovertemplate="%{text}<br>p50 %{x:.3f} ms, expected accuracy %{y:.1%}",
    )


def _baseline(front: Front, label: str) -> tuple[Member, ...]:
    if front.baselines is None:
        return ()
    return {
        "largest, fp32": (front.baselines.largest_fp32,),
        "largest, all int8": (front.baselines.largest_int8,),
        "best of random": front.baselines.random,
    }[label]


def _points(members: Sequence[Member]) -> tuple[list[float], list[float]]:
    return [m.latency_p50_ms.best_known for m in members], [m.expected_accuracy for m in members]
