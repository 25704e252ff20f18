"""Measurement tables: measurements by device, one row per architecture, as CSV.

Columns: ``space``, ``arch`` (the space's canonical string), one ``latency_ms:DEVICE``
column per device and one ``accuracy:TASK`` column per task. An empty cell was not measured.
A name that ends in ``.gz`` is compressed.
"""

import csv
import gzip
import io
import math
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from search_spaces.errors import InvalidGenotypeError, UnknownNameError, UsageError
from search_spaces.registry import get_space
from search_spaces.space import IntArray, SearchSpace

FloatArray = NDArray[np.float64]

_LATENCY: Final = "latency_ms:"
_ACCURACY: Final = "accuracy:"


class TableError(UsageError):
    """A measurement table that cannot be read; the message names the row."""

    code: ClassVar[str] = "measurement-table"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeasurementTable:
    """One space's recorded measurements; arrays of shape ``(rows,)`` with NaN where not measured.

    Accuracies are as recorded: fractions, or percentages where any value is above 1.

    Raises:
        TableError: if columns differ in length or hold what cannot be a measurement.
    """

    space: str
    archs: tuple[str, ...]
    latency_ms: Mapping[str, FloatArray]
    accuracy: Mapping[str, FloatArray]

    def __post_init__(self) -> None:
        for name, column in self._columns():
            if column.shape != (len(self.archs),):
                raise TableError(f"column {name} has shape {column.shape}; the table has {len(self.archs)} rows.")
            lowest = 0.0 if name.startswith(_ACCURACY) else math.nextafter(0.0, 1.0)
            bad = np.flatnonzero(np.isinf(column) | (column < lowest))
            if len(bad):
                raise TableError(
                    f"row {int(bad[0]) + 1}: {name} is {column[bad[0]]}; measurements are positive and finite."
                )

    def _columns(self) -> Iterable[tuple[str, FloatArray]]:
        yield from ((f"{_LATENCY}{name}", column) for name, column in self.latency_ms.items())
        yield from ((f"{_ACCURACY}{name}", column) for name, column in self.accuracy.items())

    def __len__(self) -> int:
        return len(self.archs)

    def genotypes(self, space: SearchSpace | None = None) -> IntArray:
        """Canonical genotypes of all rows, shape ``(rows, genes)``.

        Raises:
            TableError: names the first row whose string is not of the space.
        """
        bound = space or get_space(self.space)
        try:
            return bound.from_strings(self.archs)
        except InvalidGenotypeError as error:
            raise TableError(str(error)) from error

    def latencies(self, device: str) -> FloatArray:
        """One device's milliseconds, shape ``(rows,)``.

        Raises:
            UnknownNameError: if the table has no such device.
        """
        if device not in self.latency_ms:
            raise UnknownNameError("device", device, tuple(self.latency_ms))
        return self.latency_ms[device]

    def accuracy_fractions(self, task: str) -> FloatArray:
        """One task's accuracies as fractions, shape ``(rows,)``.

        Raises:
            UnknownNameError: if the table has no such task.
            TableError: if a value is above 100 %.
        """
        if task not in self.accuracy:
            raise UnknownNameError("task", task, tuple(self.accuracy))
        column = self.accuracy[task]
        highest = float(np.nanmax(column, initial=0.0))
        if highest > 100.0:
            row = int(np.nanargmax(column)) + 1
            raise TableError(f"row {row}: {_ACCURACY}{task} is {highest:g}; accuracies are at most 100 %.")
        return column / 100.0 if highest > 1.0 else column

    # --- files ---------------------------------------------------------------------

    @classmethod
    def load(cls, path: Path) -> "MeasurementTable":
        """Reads a ``.csv`` or ``.csv.gz`` file.

        Raises:
            TableError: if the file is missing, damaged or malformed; names the row.
        """
        try:
            content = path.read_bytes()
            text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8-sig")
        except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
            raise TableError(f"cannot read the measurement table {path}: {error}.") from error
        try:
            return cls.parse(text)
        except (TableError, csv.Error) as error:
            raise TableError(f"{path}: {error}") from error

    @classmethod
    def load_in_space(cls, path: Path) -> "MeasurementTable":
        """Reads a file as :meth:`load` does, and sees that every string is of the table's space.

        Raises:
            TableError: if the file cannot be read or a string does not parse; names the file and the row.
            UnknownNameError: if the table is of an unknown space.
        """
        table = cls.load(path)
        try:
            table.genotypes()
        except TableError as error:
            raise TableError(f"{path}: {error}") from error
        return table

    @classmethod
    def parse(cls, text: str) -> "MeasurementTable":
        """Reads CSV text.

        Raises:
            TableError: if it is malformed; names the row.
        """
        lines = csv.reader(io.StringIO(text))
        header = next(lines, [])
        _check_header(header)
        rows = []
        for number, line in enumerate(lines, start=1):
            if not line:
                continue
            if len(line) != len(header):
                raise TableError(f"row {number} has {len(line)} cells; the header has {len(header)}.")
            rows.append((number, line))
        if not rows:
            raise TableError("the table has a header and no rows.")
        space_at, arch_at = header.index("space"), header.index("arch")
        space = rows[0][1][space_at]
        for number, line in rows:
            if line[space_at] != space:
                raise TableError(
                    f"row {number} is of the space {line[space_at]!r}, the first of {space!r}; use one file per space."
                )
        values = {
            name: np.array([_number(line[at], name, number) for number, line in rows])
            for at, name in enumerate(header)
            if name.startswith((_LATENCY, _ACCURACY))
        }
        return cls(
            space=space,
            archs=tuple(line[arch_at] for _, line in rows),
            latency_ms={n.removeprefix(_LATENCY): v for n, v in values.items() if n.startswith(_LATENCY)},
            accuracy={n.removeprefix(_ACCURACY): v for n, v in values.items() if n.startswith(_ACCURACY)},
        )

    def to_csv(self) -> str:
        """The table as CSV text; what :meth:`parse` reads back equal."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        columns = dict(self._columns())
        writer.writerow(["space", "arch", *columns])
        for row, arch in enumerate(self.archs):
            cells = ("" if math.isnan(column[row]) else repr(float(column[row])) for column in columns.values())
            writer.writerow([self.space, arch, *cells])
        return out.getvalue()

    def to_bytes(self, compressed: bool) -> bytes:
        """The file's content; equal tables give equal bytes."""
        content = self.to_csv().encode()
        return gzip.compress(content, mtime=0) if compressed else content

    def save(self, path: Path) -> None:
        """Writes a ``.csv`` or ``.csv.gz`` file, whole: to a name beside it, then renamed."""
        temporary = path.with_name(f".{path.name}.part")
        temporary.write_bytes(self.to_bytes(compressed=path.suffix == ".gz"))
        temporary.replace(path)


def _check_header(header: list[str]) -> None:
    for needed in ("space", "arch"):
        if needed not in header:
            raise TableError(f"the header has no column {needed!r}; it is {','.join(header[:6]) or 'empty'}.")
    for name in header:
        known = name in ("space", "arch") or any(
            name.startswith(prefix) and len(name) > len(prefix) for prefix in (_LATENCY, _ACCURACY)
        )
        if not known:
            raise TableError(
                f"column {name!r} is unknown; columns are space, arch, {_LATENCY}DEVICE and {_ACCURACY}TASK."
            )
        if header.count(name) > 1:
            raise TableError(f"column {name!r} appears twice.")


def _number(cell: str, name: str, row: int) -> float:
    if not cell.strip():
        return math.nan
    try:
        value = float(cell)
    except ValueError as error:
        raise TableError(f"row {row}: {name} is {cell!r}, not a number; leave it empty if not measured.") from error
    if not math.isfinite(value) or value < 0 or (value == 0 and name.startswith(_LATENCY)):
        raise TableError(f"row {row}: {name} is {cell!r}; measurements are positive and finite, or left empty.")
    return value
