"""The sensitivity of each unit as a bar chart, as PNG and as interactive HTML."""

# ruff: noqa: PLC0415 - matplotlib and plotly take half a second, for plots alone

from pathlib import Path
from typing import TYPE_CHECKING, Final

from nas.home import write_atomically
from nas.quantization.sensitivity import NetworkSensitivity, UnitSensitivity
from search_spaces.errors import UsageError

if TYPE_CHECKING:
    import plotly.graph_objects

_COLORS: Final = ("#0b6e4f", "#c1440e", "#1f6feb", "#8f2d56", "#6c757d")
_DIVERGENCE: Final = "divergence of the class probabilities, nats"
_LOSS: Final = "rise of the cross-entropy, nats"
FORMATS: Final = (".png", ".html")


def check_plot_path(path: Path) -> None:
    """Refuses a file of another kind.

    Raises:
        UsageError: names the kinds.
    """
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"--plot {path} is neither a PNG nor an HTML file; give a name that ends in .png or .html.")


def plot_sensitivity(found: NetworkSensitivity, title: str, path: Path) -> None:
    """Draws divergences, and loss increases if labels were known, into a PNG or HTML file.

    Raises:
        UsageError: for another kind of file.
    """
    check_plot_path(path)
    if path.suffix.lower() == ".png":
        _png(found, title, path)
        return
    figure = _figure(found, title)
    write_atomically(path, lambda temporary: figure.write_html(temporary, include_plotlyjs=True))


def _panels(found: NetworkSensitivity) -> list[tuple[str, str]]:
    return [(_DIVERGENCE, "divergence"), *([(_LOSS, "loss_increase")] if found.float_loss is not None else [])]


def _by_precision(found: NetworkSensitivity) -> dict[str, list[UnitSensitivity]]:
    groups: dict[str, list[UnitSensitivity]] = {}
    for entry in found.units:
        groups.setdefault(entry.precision, []).append(entry)
    return groups


def _value(entry: UnitSensitivity, name: str) -> float:
    value = getattr(entry, name)
    return float("nan") if value is None else float(value)


def _png(found: NetworkSensitivity, title: str, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    groups, panels = _by_precision(found), _panels(found)
    names = [entry.unit for entry in next(iter(groups.values()))]
    height = 1.6 + 0.24 * len(names) * max(len(groups), 1)
    figure = Figure(figsize=(5.5 * len(panels), height), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    bar = 0.8 / len(groups)
    for number, (label, field) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), number + 1)
        for group, (precision, entries) in enumerate(groups.items()):
            places = [row + (group - (len(groups) - 1) / 2) * bar for row in range(len(entries))]
            axes.barh(
                places, [_value(entry, field) for entry in entries], bar, color=_COLORS[group % 5], label=precision
            )
            for place, entry in zip(places, entries, strict=True):
                if entry.reason is not None:
                    axes.annotate("stays in float", (0, place), fontsize=7, va="center", color="#6c757d")
        axes.set_yticks(range(len(names)), names if number == 0 else [""] * len(names))
        axes.invert_yaxis()
        axes.set_xlabel(label)
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.ticklabel_format(axis="x", style="sci", scilimits=(-3, 3))
        if number == 0:
            axes.set_ylabel("unit quantized alone")
        if len(groups) > 1 and number == 0:
            axes.legend()
    figure.suptitle(title, fontsize=10)
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png"))


def _figure(found: NetworkSensitivity, title: str) -> "plotly.graph_objects.Figure":
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    panels = _panels(found)
    figure = make_subplots(rows=1, cols=len(panels), shared_yaxes=True)
    for number, (label, field) in enumerate(panels, start=1):
        for group, (precision, entries) in enumerate(_by_precision(found).items()):
            figure.add_trace(
                go.Bar(
                    x=[_value(entry, field) for entry in entries],
                    y=[entry.unit for entry in entries],
                    orientation="h",
                    name=precision,
                    legendgroup=precision,
                    showlegend=number == 1,
                    marker={"color": _COLORS[group % 5]},
                    hovertext=[entry.reason or f"{entry.agreement:.1%} same class" for entry in entries],
                ),
                row=1,
                col=number,
            )
        figure.update_xaxes(title=label, row=1, col=number)
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(title=title, template="plotly_white", height=200 + 24 * len(found.units))
    return figure
