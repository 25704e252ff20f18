"""Console output: results on standard output, progress and errors on standard error.

With ``--json`` standard output holds one JSON document and nothing else.
"""

import json
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.table import Table

_PLAIN_INTERVAL_S = 15.0
_NUMBER = re.compile(r"[-+]?[0-9][0-9.,]*%?( \[.*\])?")


class TerminalProgress:
    """Progress bars with the time left on a terminal; elsewhere, a line now and then.

    A context manager: bars live while it is open.
    """

    def __init__(self, *, quiet: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._console = Console(stderr=True, quiet=quiet)
        self._bars = RichProgress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=self._console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._last_plain_s: dict[str, float] = {}
        self._first_plain: dict[str, tuple[float, int]] = {}

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bars.stop()

    def update(self, task: str, done: int, total: int, figures: Mapping[str, str] | None = None) -> None:
        """Moves the task's bar."""
        text = "  ".join(f"{name} {value}" for name, value in (figures or {}).items())
        if not self._console.is_terminal:
            self._update_plain(task, done, total, text)
            return
        if task not in self._tasks:
            # With what was done before a resume, so that it does not count as done in an instant.
            self._tasks[task] = self._bars.add_task(task, total=total, completed=done, figures=text)
        self._bars.update(self._tasks[task], completed=done, total=total, figures=text)

    def _update_plain(self, task: str, done: int, total: int, text: str) -> None:
        now_s = self._clock()
        first_s, first_done = self._first_plain.setdefault(task, (now_s, done))
        if done < total and now_s - self._last_plain_s.setdefault(task, now_s) < _PLAIN_INTERVAL_S:
            return
        self._last_plain_s[task] = now_s
        left = ""
        if first_done < done < total:
            left = f"  {timedelta(seconds=round((now_s - first_s) * (total - done) / (done - first_done)))} left"
        self._console.print(f"{escape(task)}: {done}/{total}{left}  {escape(text)}", highlight=False, soft_wrap=True)

    def say(self, message: str) -> None:
        """Prints one line above the bars."""
        self._console.print(escape(message), highlight=False, soft_wrap=True)


def print_json(document: object) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def print_lines(*lines: str) -> None:
    """Plain lines on standard output."""
    sys.stdout.write("\n".join(lines) + "\n")


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on standard output, as wide as the terminal (120 columns where it is none)."""
    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
    table = Table(title=title, title_justify="left", header_style="bold")
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(_is_number(row[index]) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)


def _is_number(cell: str) -> bool:
    return cell in ("", "-") or _NUMBER.fullmatch(cell) is not None


def show(document: Mapping[str, Any] | Sequence[Any], *, as_json: bool, lines: Sequence[str]) -> None:
    """The document with ``--json``, the lines without."""
    if as_json:
        print_json(document)
    else:
        print_lines(*lines)
