"""Recorded tables as benchmarks see them: joined by space, their rows split by a seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hw_profiles.measurement_table import MeasurementTable
from search_spaces.errors import UsageError
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
    """One record a space; rows of one string are one row.

    Raises:
        UsageError: where two tables measured one device or task for the same row.
        TableError: where a string does not parse; names the row.
        UnknownNameError: where a table is of an unknown space.
    """
    by_space: dict[str, list[MeasurementTable]] = {}
    for table in tables:
        by_space.setdefault(canonical_name(table.space), []).append(table)
    records = []
    for name, group in by_space.items():
        space = get_space(name)
        parsed = [table.genotypes(space) for table in group]
        joined = group[0] if len(group) == 1 else _joined(group)
        first = {
            arch: row for t, rows in zip(group, parsed, strict=True) for arch, row in zip(t.archs, rows, strict=True)
        }
        genotypes = parsed[0] if len(group) == 1 else np.array([first[arch] for arch in joined.archs])
        records.append(RecordedSpace(space=space, genotypes=genotypes, table=joined))
    return tuple(records)


def _joined(tables: Sequence[MeasurementTable]) -> MeasurementTable:
    row_of = {arch: row for row, arch in enumerate(dict.fromkeys(arch for table in tables for arch in table.archs))}
    latency_ms: dict[str, FloatArray] = {}
    accuracy: dict[str, FloatArray] = {}
    for table in tables:
        rows = np.array([row_of[arch] for arch in table.archs])
        for columns, joined in ((table.latency_ms, latency_ms), (table.accuracy, accuracy)):
            for name, column in columns.items():
                target = joined.setdefault(name, np.full(len(row_of), np.nan))
                measured = ~np.isnan(column)
                if (~np.isnan(target[rows[measured]])).any():
                    raise UsageError(f"two tables hold {name!r} for the same row; give each measurement once.")
                target[rows[measured]] = column[measured]
    return MeasurementTable(space=tables[0].space, archs=tuple(row_of), latency_ms=latency_ms, accuracy=accuracy)


def split_rows(count: int, seed: int) -> tuple[IntArray, IntArray]:
    """Row numbers to learn from, and the 40 % held out; the same for every target of a table."""
    order = np.random.default_rng(seed).permutation(count).astype(np.int64)
    held_out = round(HELD_OUT_SHARE * count)
    return np.sort(order[held_out:]), np.sort(order[:held_out])
