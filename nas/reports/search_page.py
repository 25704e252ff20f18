"""A search report as one self-contained HTML page."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final

from nas.fronts.front import Front, Member
from nas.fronts.member_text import accuracy_text, precision_text, share_text
from nas.home import write_bytes
from nas.reports.search_plots import figure_html, front_figure, genes_figure, progress_figure
from nas.reports.search_report import SearchReport

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1f23; max-width: 1100px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin-bottom: .3rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
p.note { color: #57606a; margin: .3rem 0 .8rem; max-width: 46rem }
table { border-collapse: collapse; font-size: 13.5px; width: 100% }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #d8dee4; vertical-align: top }
th { color: #57606a; font-weight: 600 } td.number, th.number { text-align: right; white-space: nowrap }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: .4rem 1.5rem }
.facts span { color: #57606a; display: block; font-size: 12.5px } code { font-size: 12.5px }
"""
_MORE_COLUMNS: Final = (("peak_memory_bytes", "peak MiB", 2**20), ("load_time_ms", "load ms", 1))


def write_report(report: SearchReport, path: Path) -> None:
    """Writes the page atomically.

    Raises:
        DiskFullError: if the disk has no space.
    """
    write_bytes(path, report_page(report).encode())


def report_page(report: SearchReport) -> str:
    """The page."""
    search = report.search
    title = f"Search {search.id[:12]} on {search.profile_id}"
    sections = [
        f"<h1>{escape(title)}</h1>",
        _facts(report),
        *_front_sections(report),
        "<h2>Progress</h2>",
        _note(
            "Hypervolume of everything evaluated so far, as a fraction of that of all the searches shown together. "
            "Accuracy is the validation reading; latency and size are on a log scale."
        ),
        figure_html(progress_figure(report), "progress") if report.runs else _note("No generation has finished yet."),
        _runs_table(report),
        "<h2>Genes that the front's members share</h2>",
        _note(
            "The most frequent choice of each gene among the members in which it is active. If the grey bar "
            "(all evaluated candidates) is much shorter, the choice matters for the front."
        )
        if report.genes
        else _note("At least two members are needed."),
        figure_html(genes_figure(report.genes), "genes") if report.genes else "",
        "<h2>Failures</h2>",
        _failures(report),
    ]
    body = "\n".join(sections)
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style>{_plotly_script()}</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _plotly_script() -> str:
    from plotly.offline import get_plotlyjs  # noqa: PLC0415 - 5 MB that only this page needs

    return f"<script>{get_plotlyjs()}</script>"


def _facts(report: SearchReport) -> str:
    search, front = report.search, report.front
    settings = search.settings
    limits = dict(front.limits) if front is not None else {}
    budget = f"{search.evaluations} of {settings.get('evaluations', '?')} real evaluations"
    lookups = front.budget.lookups if front is not None and front.budget is not None else None
    facts = {
        "State": search.state,
        "Device": search.profile_id,
        "Search space": search.space,
        "Data": report.data,
        "Supernet": search.supernet_id[:12],
        "Method": str(settings.get("method", "hwnas")),
        "Objectives": ", ".join(report.objectives.names),
        "Limits": ", ".join(f"{name} {limit:g}" for name, limit in limits.items()) or "none",
        "Budget": budget + ("" if lookups is None else f", {lookups} float look-ups"),
        "Seed": str(search.seed),
        "Started": f"{search.created_at:%Y-%m-%d %H:%M} UTC",
        "Last change": f"{search.updated_at:%Y-%m-%d %H:%M} UTC",
    }
    cells = "".join(f"<div><span>{escape(name)}</span>{escape(value)}</div>" for name, value in facts.items())
    return f'<div class="facts">{cells}</div>'


def _front_sections(report: SearchReport) -> list[str]:
    if report.front is None:
        return ["<h2>Front</h2>", _note("This search has no front yet.")]
    front = report.front
    sections = [
        "<h2>Front</h2>",
        _note(
            "Vertical bars: 90 % interval of the expected accuracy on new images. Horizontal bars: predicted 90 % "
            "interval of the latency; the point is what was measured. Hover over a point for details."
        ),
        figure_html(front_figure(report), "front"),
        _members_table([(member.candidate[:12], member) for member in front.members]),
    ]
    if front.baselines is not None:
        beside = front.baselines
        rows = [
            ("largest, fp32", beside.largest_fp32),
            ("largest, int8", beside.largest_int8),
            *(("random", member) for member in beside.random),
        ]
        sections += [
            "<h2>Baselines</h2>",
            _note(f"Same data, device and measurement.{_random_budget(front)}"),
            _members_table(rows),
        ]
    return sections


def _random_budget(front: Front) -> str:
    if front.random_budget is None:
        return ""
    spent = front.random_budget
    return f" Random candidates: {spent.evaluations} real evaluations and {spent.lookups} float look-ups."


def _members_table(rows: Sequence[tuple[str, Member]]) -> str:
    measured = {name for _, member in rows for name in member.metrics}
    more = [(name, title, scale) for name, title, scale in _MORE_COLUMNS if name in measured]
    header = ("", "network", "precision", "p50 ms", "p95 ms", "KiB", *(title for _, title, _ in more))
    return _table(
        (*header, "inherited", "validation", "expected [90 %]", "test"),
        [
            (
                label,
                member.summary,
                precision_text(member),
                f"{member.latency_p50_ms.best_known:.3f}{' (noisy)' if member.quality == 'noisy' else ''}",
                f"{member.latency_p95_ms.best_known:.3f}",
                f"{member.size_bytes / 1024:.0f}",
                *(f"{member.metrics[name] / scale:.3g}" if name in member.metrics else "-" for name, _, scale in more),
                share_text(member.accuracy_inherited_val),
                share_text(member.accuracy_val),
                "-" if member.accuracy is None else accuracy_text(member),
                share_text(member.accuracy_test),
            )
            for label, member in rows
        ],
        numbers=range(3, 10 + len(more)),
    )


def _runs_table(report: SearchReport) -> str:
    return _table(
        ("search", "method", "seed", "state", "real evaluations", "float look-ups", "hypervolume"),
        [
            (
                run.search.id[:12] + (" (this one)" if run.search.id == report.search.id else ""),
                run.method,
                str(run.search.seed),
                run.search.state,
                str(run.evaluations[-1]),
                "-" if run.lookups is None else str(run.lookups),
                f"{run.hypervolume[-1]:.1%}",
            )
            for run in report.runs
        ],
        numbers=range(4, 7),
    )


def _failures(report: SearchReport) -> str:
    if not report.failures:
        return _note("Every evaluation succeeded.")
    return _table(
        ("count", "reason", "candidates"),
        [
            (
                str(len(failure.candidates)),
                failure.reason,
                ", ".join(candidate[:12] for candidate in failure.candidates[:5])
                + (", …" if len(failure.candidates) > 5 else ""),
            )
            for failure in report.failures
        ],
        numbers=range(1),
    )


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: range) -> str:
    def cells(tag: str, row: Sequence[str]) -> str:
        opened = [f'<{tag} class="number">' if column in numbers else f"<{tag}>" for column in range(len(row))]
        return "".join(f"{start}{escape(cell)}</{tag}>" for start, cell in zip(opened, row, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><thead><tr>{cells('th', header)}</tr></thead><tbody>{body}</tbody></table>"
