"""Benchmark: predicting a new device from few of its measurements, on recorded tables."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw_profiles.measurement_table import MeasurementTable
from predictors.benchmark_tables import RecordedSpace, join_tables, split_rows
from predictors.calibration import choose_samples
from predictors.errors import UnfitDataError
from predictors.features import FeatureExtractor
from predictors.latency import LatencyPredictor
from predictors.metrics import LatencyMetrics, LimitAnswers, oracle_width_pct
from predictors.samples import MIN_SAMPLES
from predictors.sources import MIN_ROWS, SourceFeatures, SourceModel
from search_spaces.errors import UnknownNameError, UsageError
from search_spaces.space import IntArray

FloatArray = NDArray[np.float64]
Source = LatencyPredictor | SourceModel

_MIN_HELD_OUT = 2
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationRow:
    """One target calibrated with one number of samples under one seed.

    ``samples`` is what was asked for, ``samples_used`` what the table had; ``seconds`` is
    the time from choosing the samples to the fitted predictor, sources given.
    """

    space: str
    target: str
    samples: int
    samples_used: int
    seed: int
    sources: int
    form: str
    metrics: LatencyMetrics
    oracle_width_pct: float
    limits: LimitAnswers
    expected_mape_pct: float
    seconds: float

    def as_json(self) -> dict[str, object]:
        """One flat JSON object."""
        metrics = self.metrics.as_json()
        return {
            "space": self.space,
            "target": self.target,
            "samples": self.samples,
            "seed": self.seed,
            **{name: value for name, value in metrics.items() if name != "n"},
            "seconds": self.seconds,
            "samples_used": self.samples_used,
            "sources": self.sources,
            "held_out_rows": metrics["n"],
            "form": self.form,
            "expected_mape_pct": self.expected_mape_pct,
            "oracle_width_pct": self.oracle_width_pct,
            "limits_held_pct": self.limits.held_pct,
            "limits_unused_pct": self.limits.unused_pct,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationPlan:
    """What to run; ``sources`` may be empty, and a target is never its own source."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    samples: tuple[int, ...]
    seeds: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.targets or not self.samples or not self.seeds:
            raise UsageError("name at least one target, one number of samples and one seed.")
        small = [count for count in self.samples if count < MIN_SAMPLES]
        if small:
            raise UsageError(f"{small[0]} samples are too few to calibrate with; give at least {MIN_SAMPLES}.")


def run_calibrations(
    tables: Sequence[MeasurementTable],
    plan: CalibrationPlan,
    on_row: Callable[[CalibrationRow], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> list[CalibrationRow]:
    """All rows of a plan, over every space that has a target.

    A seeded split holds out 40 % of the rows; sources are fitted to and samples chosen
    from the others alone. ``say`` is called with a sentence for each space whose targets have no source.

    Raises:
        UnknownNameError: for a device that no table has.
        UsageError: for tables or columns that cannot be used.
    """
    records = joined_records(tables, plan, say)
    rows = []
    for record in records:
        targets = [name for name in plan.targets if name in record.table.latency_ms]
        for seed in plan.seeds if targets else ():
            for row in _calibrate_record(record, targets, plan, seed):
                rows.append(row)
                on_row(row)
    return rows


def joined_records(
    tables: Sequence[MeasurementTable], plan: CalibrationPlan, say: Callable[[str], None] = lambda _: None
) -> tuple[RecordedSpace, ...]:
    """The tables by space, once every device of the plan is seen to be in them.

    ``say`` is called with a sentence for each space that has targets but none of the sources.

    Raises:
        UnknownNameError: for a device that no table has.
        UsageError: for tables that cannot be used.
    """
    records = join_tables(tables)
    known = tuple(dict.fromkeys(name for record in records for name in record.table.latency_ms))
    for name in (*plan.sources, *plan.targets):
        if name not in known:
            raise UnknownNameError("device", name, known)
    for record in records:
        targets = [name for name in plan.targets if name in record.table.latency_ms]
        if targets and plan.sources and record.table.latency_ms.keys().isdisjoint(plan.sources):
            say(_sourceless_sentence(records, record, targets, plan.sources))
    return records


def _sourceless_sentence(
    records: Sequence[RecordedSpace], lacking: RecordedSpace, targets: Sequence[str], sources: Sequence[str]
) -> str:
    """That the sources are of other spaces, so that a space's targets are calibrated without."""
    homes = {name: next(r.table.space for r in records if name in r.table.latency_ms) for name in sources}
    shown = [f"{homes[name]}'s {name}" for name in sources[:_SHOWN]]
    more = [f"{len(sources) - _SHOWN} more"] if len(sources) > _SHOWN else []
    words = "is no source" if len(sources) == 1 else "are no sources"
    return (
        f"{_enumerated([*shown, *more])} {words} for {lacking.table.space}:"
        f" its targets ({', '.join(targets)}) are calibrated without sources."
    )


def _enumerated(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _calibrate_record(
    record: RecordedSpace, targets: Sequence[str], plan: CalibrationPlan, seed: int
) -> Iterator[CalibrationRow]:
    learn, held_out = split_rows(len(record.genotypes), seed)
    sources = fit_sources(record, learn, plan.sources, seed)
    for target in targets:
        used = [source for name, source in sources.items() if name != target]
        pool, test = measured_rows(record, target, learn), measured_rows(record, target, held_out)
        if len(pool) < MIN_SAMPLES or len(test) < _MIN_HELD_OUT:
            raise UsageError(
                f"device {target!r} has {len(pool)} rows to learn from and {len(test)} held out;"
                f" at least {MIN_SAMPLES} and {_MIN_HELD_OUT} are needed."
            )
        extractor = FeatureExtractor(record.space, used, record.genotypes[pool])
        for count in plan.samples:
            yield _calibrate(record, target, extractor, (pool, test), count, seed)


def measured_rows(record: RecordedSpace, device: str, rows: IntArray) -> IntArray:
    """Those of some rows that a device has measurements of."""
    measured: IntArray = rows[~np.isnan(record.table.latencies(device)[rows])]
    return measured


def fit_sources(
    record: RecordedSpace, rows: IntArray, names: Sequence[str], seed: int
) -> dict[str, LatencyPredictor | SourceModel]:
    """A model of each named device that the record has, fitted to some rows.

    Raises:
        UsageError: if a device has too few or unusable measurements.
    """
    shared = SourceFeatures(record.space)
    models: dict[str, Source] = {}
    for name in dict.fromkeys(names):
        if name not in record.table.latency_ms:
            continue
        column = record.table.latencies(name)
        measured = rows[~np.isnan(column[rows])]
        try:
            if len(measured) >= MIN_ROWS:
                models[name] = SourceModel.fit(
                    record.space, record.genotypes[measured], column[measured], seed=seed, features=shared
                )
            else:
                models[name] = LatencyPredictor.fit(
                    record.space, record.genotypes[measured], column[measured], seed=seed
                )
        except UnfitDataError as error:
            raise UsageError(f"source {name!r}: {error}") from error
    return models


def _calibrate(
    record: RecordedSpace,
    target: str,
    extractor: FeatureExtractor,
    split: tuple[IntArray, IntArray],
    count: int,
    seed: int,
) -> CalibrationRow:
    pool, test = split
    column = record.table.latencies(target)
    started_s = time.perf_counter()
    chosen = pool[choose_samples(extractor.encode(record.genotypes[pool]), min(count, len(pool)), seed=seed)]
    try:
        predictor = LatencyPredictor.fit_with(extractor, record.genotypes[chosen], column[chosen], seed=seed)
    except UnfitDataError as error:
        raise UsageError(f"target {target!r} with {count} samples: {error}") from error
    seconds = time.perf_counter() - started_s
    truth, prediction = column[test], predictor.predict(record.genotypes[test])
    return CalibrationRow(
        space=record.table.space,
        target=target,
        samples=count,
        samples_used=len(chosen),
        seed=seed,
        sources=len(extractor.sources),
        form=predictor.choice.form,
        metrics=LatencyMetrics.of(truth, prediction),
        oracle_width_pct=oracle_width_pct(truth, prediction.value),
        limits=LimitAnswers.compute(truth, prediction),
        expected_mape_pct=predictor.expected_mape_pct,
        seconds=seconds,
    )
