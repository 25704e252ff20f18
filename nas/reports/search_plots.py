"""The plots of a search's report."""

# ruff: noqa: PLC0415 - plotly is slow to import, and only reports need it

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from nas.fronts.color_scale import ColorScale
from nas.fronts.front import Front, Member
from nas.fronts.plot import plotly_colors
from nas.reports.search_report import SearchReport, SharedGene

if TYPE_CHECKING:
    import plotly.graph_objects

_FRONT_COLOR: Final = "#0b6e4f"
_COLORS: Final = {
    "hwnas": _FRONT_COLOR,
    "linas": "#1f6feb",
    "nsga2": "#c1440e",
    "tpe": "#8f2d56",
    "random": "#6c757d",
}
_TICKS_MS: Final = [digit * 10.0**power for power in range(-4, 5) for digit in (1, 1.5, 2, 3, 5, 7)]
"""Plotly labels a log axis within a decade with single digits."""
_MAX_GENES: Final = 24


def figure_html(figure: "plotly.graph_objects.Figure", name: str) -> str:
    """The figure as a part of a page that has Plotly's script already; names are unique in the page."""
    html: str = figure.to_html(include_plotlyjs=False, full_html=False, div_id=name, config={"displaylogo": False})
    return html


def front_figure(report: SearchReport) -> "plotly.graph_objects.Figure":
    """Expected accuracy against measured p50 latency, with intervals, baselines and everything evaluated."""
    import plotly.graph_objects as go

    figure = go.Figure()
    evaluated = [one for one in report.evaluated if {"latency_p50_ms", "accuracy"} <= one.keys()]
    figure.add_trace(
        go.Scatter(
            x=[one["latency_p50_ms"] for one in evaluated],
            y=[one["accuracy"] for one in evaluated],
            mode="markers",
            name="evaluated (validation accuracy)",
            marker={"color": "#ced4da", "size": 6},
            hovertemplate="p50 %{x:.3f} ms, validation %{y:.1%}<extra></extra>",
        )
    )
    if report.front is not None:
        colored = ColorScale.of(report.front.objectives, report.front.members)
        for name, members, color, symbol in _groups(report.front):
            trace = _members_trace(name, members, color, symbol, line=name == "front" and colored is None)
            if name == "front" and colored is not None:
                trace.marker.update(plotly_colors(colored))
            figure.add_trace(trace)
    figure.update_layout(
        xaxis={"title": "latency p50, ms (log)", "type": "log", "tickvals": _TICKS_MS, "tickformat": "~r"},
        yaxis={"title": "accuracy", "tickformat": ".1%"},
        **_layout(480),
    )
    return figure


def progress_figure(report: SearchReport) -> "plotly.graph_objects.Figure":
    """Hypervolume against real evaluations: a line per search, a color per method."""
    import plotly.graph_objects as go

    figure = go.Figure()
    shown: set[str] = set()
    for run in report.runs:
        this = run.search.id == report.search.id
        figure.add_trace(
            go.Scatter(
                x=run.evaluations,
                y=run.hypervolume,
                mode="lines+markers",
                name=f"{run.method} (this search)" if this else run.method,
                legendgroup="this" if this else run.method,
                showlegend=this or run.method not in shown,
                line={"color": _COLORS.get(run.method, "#343a40"), "width": 3 if this else 1.5},
                opacity=1.0 if this else 0.55,
                hovertemplate=f"{run.method}, seed {run.search.seed}: %{{y:.1%}} after %{{x}}<extra></extra>",
            )
        )
        if not this:
            shown.add(run.method)
    figure.update_layout(
        xaxis={"title": "real evaluations", "rangemode": "tozero"},
        yaxis={"title": "hypervolume (fraction of all)", "tickformat": ".0%"},
        **_layout(380),
    )
    return figure


def genes_figure(genes: Sequence[SharedGene]) -> "plotly.graph_objects.Figure":
    """The genes that members share most, at most 24, beside the same choice among all evaluated."""
    import plotly.graph_objects as go

    shown = list(genes[:_MAX_GENES])[::-1]
    labels = [f"{gene.name} = {gene.choice}" for gene in shown]
    figure = go.Figure()
    for name, shares, color in (
        ("all evaluated", [gene.share_evaluated for gene in shown], "#ced4da"),
        ("front", [gene.share for gene in shown], _FRONT_COLOR),
    ):
        figure.add_trace(
            go.Bar(
                y=labels,
                x=shares,
                orientation="h",
                name=name,
                marker={"color": color},
                customdata=[gene.members for gene in shown],
                hovertemplate="%{y}: %{x:.0%}" + (" of %{customdata} members" if name == "front" else ""),
            )
        )
    figure.update_layout(
        xaxis={"tickformat": ".0%", "range": [0, 1], "title": "share with this choice"},
        yaxis={"automargin": True, "dtick": 1, "ticksuffix": " "},
        barmode="group",
        **_layout(120 + 26 * len(shown)),
    )
    figure.update_layout(legend={"traceorder": "reversed"})
    return figure


def _groups(front: Front) -> list[tuple[str, tuple[Member, ...], str, str]]:
    groups = [("front", front.members, _FRONT_COLOR, "circle")]
    if front.baselines is not None:
        groups += [
            ("largest, fp32", (front.baselines.largest_fp32,), "#c1440e", "square"),
            ("largest, int8", (front.baselines.largest_int8,), "#8f2d56", "diamond"),
            ("random", front.baselines.random, "#495057", "x"),
        ]
    return [group for group in groups if group[1]]


def _members_trace(
    name: str, members: Sequence[Member], color: str, symbol: str, *, line: bool
) -> "plotly.graph_objects.Scatter":
    import plotly.graph_objects as go

    latencies = [member.latency_p50_ms.best_known for member in members]
    return go.Scatter(
        x=latencies,
        y=[member.expected_accuracy for member in members],
        mode="lines+markers" if line else "markers",
        name=name,
        line={"shape": "hv", "color": color, "width": 1.5},
        marker={"color": color, "symbol": symbol, "size": 9},
        error_y=_errors(
            [member.expected_accuracy for member in members],
            [None if member.accuracy is None else member.accuracy.interval_90 for member in members],
            color,
        ),
        error_x=_errors(latencies, [member.latency_p50_ms.interval_90 for member in members], color),
        text=[
            f"{member.candidate[:12]}: {member.summary}<br>{member.precision}, {member.size_bytes / 1024:.0f} KiB"
            f"<br>validation {member.accuracy_val:.1%}"
            + ("" if member.accuracy_test is None else f", test {member.accuracy_test:.1%}")
            for member in members
        ],
        hovertemplate="%{text}<br>p50 %{x:.3f} ms, expected %{y:.1%}<extra>" + name + "</extra>",
    )


def _errors(values: Sequence[float], intervals: Sequence[tuple[float, float] | None], color: str) -> dict[str, Any]:
    """Bars from the values to their intervals; a value outside of its interval has a bar on one side alone."""
    ends = [(value, value) if interval is None else interval for value, interval in zip(values, intervals, strict=True)]
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(0.0, high - value) for value, (_, high) in zip(values, ends, strict=True)],
        "arrayminus": [max(0.0, value - low) for value, (low, _) in zip(values, ends, strict=True)],
        "color": color,
        "thickness": 1,
        "width": 2,
    }


def _layout(height: int) -> dict[str, Any]:
    return {
        "template": "plotly_white",
        "height": height,
        "margin": {"l": 60, "r": 20, "t": 20, "b": 50},
        "legend": {"orientation": "h", "y": 1.08, "x": 0},
        "hovermode": "closest",
    }
