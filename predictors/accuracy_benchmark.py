"""Benchmark: predicting accuracy from some of a recorded table's rows."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from hw_profiles.measurement_table import MeasurementTable
from predictors.accuracy import AccuracyPredictor
from predictors.benchmark_tables import RecordedSpace, join_tables, split_rows
from predictors.errors import UnfitDataError
from predictors.metrics import AccuracyMetrics
from predictors.samples import MIN_SAMPLES
from search_spaces.errors import UnknownNameError, UsageError

FloatArray = NDArray[np.float64]

_MIN_HELD_OUT = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyRow:
    """One predictor fitted to one number of rows under one seed; ``rmse`` is a fraction.

    ``train_size`` is what was asked for, ``train_rows`` what the table had.
    """

    space: str
    task: str
    train_size: int
    train_rows: int
    seed: int
    form: str
    scale: str
    metrics: AccuracyMetrics
    seconds: float

    def as_json(self) -> dict[str, object]:
        """One flat JSON object."""
        metrics = self.metrics.as_json()
        return {
            "space": self.space,
            "task": self.task,
            "train_size": self.train_size,
            "seed": self.seed,
            **{name: value for name, value in metrics.items() if name != "n"},
            "seconds": self.seconds,
            "train_rows": self.train_rows,
            "held_out_rows": metrics["n"],
            "form": self.form,
            "scale": self.scale,
        }


def run_accuracies(
    tables: Sequence[MeasurementTable],
    task: str,
    train_sizes: Sequence[int],
    seeds: Sequence[int],
    on_row: Callable[[AccuracyRow, int], None] = lambda *_: None,
) -> list[AccuracyRow]:
    """All rows, over every space that has the task.

    A seeded split holds out rows: 40 %, or fewer where a training size asks for more than
    the other 60 % (never fewer than a tenth), so that a size near the whole table can be tried.

    Args:
        tables: recorded tasks.
        task: an accuracy column.
        train_sizes: numbers of rows to train on.
        seeds: of the splits.
        on_row: called with each row as soon as it is there, and with the number of rows in all.

    Raises:
        UnknownNameError: for a task that no table has.
        UsageError: for tables or columns that cannot be used.
    """
    if not train_sizes or not seeds:
        raise UsageError("give at least one training size and one seed.")
    if min(train_sizes) < MIN_SAMPLES:
        raise UsageError(f"{min(train_sizes)} rows are too few to train on; give at least {MIN_SAMPLES}.")
    records = join_tables(tables)
    known = tuple(dict.fromkeys(name for record in records for name in record.table.accuracy))
    if task not in known:
        raise UnknownNameError("task", task, known)
    fits = list(product([one for one in records if task in one.table.accuracy], seeds, train_sizes))
    rows = []
    for record, seed, size in fits:
        row = _fit(record, task, size, seed)
        rows.append(row)
        on_row(row, len(fits))
    return rows


def _fit(record: RecordedSpace, task: str, size: int, seed: int) -> AccuracyRow:
    accuracy = record.table.accuracy_fractions(task)
    learn, held_out = _split(np.flatnonzero(~np.isnan(accuracy)), size, seed)
    if len(held_out) < _MIN_HELD_OUT or len(learn) < MIN_SAMPLES:
        raise UsageError(
            f"task {task!r} has {len(learn)} rows to learn from and {len(held_out)} held out;"
            f" at least {MIN_SAMPLES} and {_MIN_HELD_OUT} are needed."
        )
    chosen = np.random.default_rng((seed, size)).permutation(learn)[:size]
    started_s = time.perf_counter()
    try:
        predictor = AccuracyPredictor.fit(record.space, record.genotypes[chosen], accuracy[chosen], seed=seed)
    except UnfitDataError as error:
        raise UsageError(f"task {task!r} with {size} rows: {error}") from error
    return AccuracyRow(
        space=record.table.space,
        task=task,
        train_size=size,
        train_rows=len(chosen),
        seed=seed,
        form=predictor.choice.form,
        scale=predictor.scale,
        metrics=AccuracyMetrics.of(accuracy[held_out], predictor.predict(record.genotypes[held_out])),
        seconds=time.perf_counter() - started_s,
    )


def _split(measured: NDArray[np.int64], size: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to learn from and held-out rows; the held-out ones of a larger size are among those of a smaller."""
    learn, held_out = split_rows(len(measured), seed)
    if size > len(learn):
        order = np.random.default_rng(seed).permutation(held_out)
        kept = max(len(measured) - size, -(-len(measured) // 10))
        learn, held_out = np.concatenate([learn, order[kept:]]), order[:kept]
    return measured[learn], measured[held_out]
