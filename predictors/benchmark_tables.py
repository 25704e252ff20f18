"""Recorded tables as benchmarks see them: joined by space, their rows split by a seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hw_profiles.measurement_table import MeasurementTable
from search_spaces.errors import UsageError, quoted
from search_spaces.registry import canonical_name, get_space
from search_spaces.space import IntArray, SearchSpace

FloatArray = NDArray[np.float64]

HELD_OUT_SHARE: Final = 0.4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordedSpace:
    """All tables of one space as one: ``(rows, genes)`` genotypes and ``(rows,)`` columns."""

    space: SearchSpace
    genotypes: IntArray
    table: MeasurementTable


def join_tables(tables: Sequence[MeasurementTable]) -> tuple[RecordedSpace, ...]:
    """One record per space; a string's n-th rows in each table are one row.

    Raises:
        UsageError: if two tables hold different measurements of one device or task for the same row.
        TableError: if a string does not parse; names the row.
        UnknownNameError: if a table is of an unknown space.
    """
    by_space: dict[str, list[MeasurementTable]] = {}
    for table in tables:
        by_space.setdefault(canonical_name(table.space), []).append(table)
    records = []
    for name, group in by_space.items():
        space = get_space(name)
        joined = group[0] if len(group) == 1 else join_rows(group)
        if len(group) > 1:
            for table in group:
                table.genotypes(space)  # an error names the row of its own table
        records.append(RecordedSpace(space=space, genotypes=joined.genotypes(space), table=joined))
    return tuple(records)


def join_rows(tables: Sequence[MeasurementTable]) -> MeasurementTable:
    """Tables of one space as one, under the first one's name of the space; rows in the order met.

    Raises:
        UsageError: if two tables hold different measurements of one device or task for the same row.
    """
    keys = [_row_keys(table.archs) for table in tables]
    row_of = {key: row for row, key in enumerate(dict.fromkeys(key for group in keys for key in group))}
    latency_ms: dict[str, FloatArray] = {}
    accuracy: dict[str, FloatArray] = {}
    for table, group in zip(tables, keys, strict=True):
        rows = np.array([row_of[key] for key in group])
        for columns, joined in ((table.latency_ms, latency_ms), (table.accuracy, accuracy)):
            for name, column in columns.items():
                target = joined.setdefault(name, np.full(len(row_of), np.nan))
                measured = ~np.isnan(column)
                known = target[rows[measured]]
                different = np.flatnonzero(~np.isnan(known) & (known != column[measured]))
                if len(different):
                    row = np.flatnonzero(measured)[different[0]]
                    raise UsageError(
                        f"two tables hold different values of {name!r} for the same row, {quoted(table.archs[row])}:"
                        f" {known[different[0]]} and {column[row]}; give each measurement once, or give one of the"
                        " devices another name."
                    )
                target[rows[measured]] = column[measured]
    archs = tuple(arch for arch, _ in row_of)
    return MeasurementTable(space=tables[0].space, archs=archs, latency_ms=latency_ms, accuracy=accuracy)


def _row_keys(archs: Sequence[str]) -> list[tuple[str, int]]:
    """Each row's string and how often it was there before: tables may measure a network twice."""
    seen: dict[str, int] = {}
    keys = []
    for arch in archs:
        keys.append((arch, seen.get(arch, 0)))
        seen[arch] = keys[-1][1] + 1
    return keys


def split_rows(count: int, seed: int) -> tuple[IntArray, IntArray]:
    """Row numbers to learn from, and the 40 % held out; the same for every target of a table."""
    order = np.random.default_rng(seed).permutation(count).astype(np.int64)
    held_out = round(HELD_OUT_SHARE * count)
    return np.sort(order[held_out:]), np.sort(order[:held_out])
