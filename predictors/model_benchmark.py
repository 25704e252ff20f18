"""Benchmark: error of each model by number of samples, on recorded tables.

No known devices take part: this is how models learn one device, or one data set, from nothing.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from hw_profiles.measurement_table import MeasurementTable
from predictors.accuracy import AccuracyPredictor, accuracy_models
from predictors.benchmark_tables import RecordedSpace, join_tables, split_rows
from predictors.errors import UnfitDataError
from predictors.features import FeatureExtractor
from predictors.latency import LatencyPredictor, latency_models
from predictors.metrics import kendall_tau, mape_pct, spearman
from predictors.regression import Estimator, Readings
from predictors.samples import MIN_SAMPLES
from predictors.threads import single_threaded
from search_spaces.errors import UnknownNameError, UsageError
from search_spaces.space import IntArray

FloatArray = NDArray[np.float64]
Quantity = Literal["latency", "accuracy"]

CHOSEN: Final = "chosen"
"""The name of the predictor itself among its models: whatever cross-validation chooses."""
_MAX_HELD_OUT: Final = 1000
_MIN_HELD_OUT: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """One model fitted to one number of samples of one device or task under one seed.

    ``mape_pct`` is of milliseconds, or of accuracies; ``chosen`` names the model that
    cross-validation chose, for the rows of the predictor itself.
    """

    space: str
    target: str
    quantity: Quantity
    model: str
    samples: int
    seed: int
    mape_pct: float
    spearman: float
    kendall_tau: float
    chosen: str
    seconds: float

    def as_json(self) -> dict[str, object]:
        """The fields as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPlan:
    """Devices and tasks to predict, numbers of samples, and seeds."""

    devices: tuple[str, ...]
    tasks: tuple[str, ...]
    samples: tuple[int, ...]
    seeds: tuple[int, ...]

    def __post_init__(self) -> None:
        if not (self.devices or self.tasks) or not self.samples or not self.seeds:
            raise UsageError("name at least one device or task, one number of samples and one seed.")
        if min(self.samples) < MIN_SAMPLES:
            raise UsageError(f"{min(self.samples)} samples are too few to fit to; give at least {MIN_SAMPLES}.")


def run_models(
    tables: Sequence[MeasurementTable], plan: ModelPlan, on_row: Callable[[ModelRow, int], None] = lambda *_: None
) -> list[ModelRow]:
    """All models over a plan; a seeded split holds out 40 % of the rows, and samples are drawn from the others.

    Numbers of samples that a table does not have are left out.

    Args:
        tables: recorded devices and tasks.
        plan: what to run.
        on_row: called with each row as soon as it is there, and with the number of rows in all.

    Raises:
        UnknownNameError: for a device or task that no table has.
        UsageError: for tables or columns that cannot be used.
    """
    splits = _splits(join_tables(tables), plan)
    total = sum(len(split.counts) * len(_fits(split)) for split in splits)
    rows: list[ModelRow] = []
    for split in splits:
        for count in split.counts:
            for model, fit in _fits(split):
                row = _fitted_row(split, count, model, fit)
                rows.append(row)
                on_row(row, total)
    return rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Split:
    """A column of a table under one seed: rows to learn from, in the order they are drawn, and held-out rows."""

    record: RecordedSpace
    name: str
    quantity: Quantity
    seed: int
    values: FloatArray
    """Milliseconds or fractions of all rows, shape ``(n,)``."""
    learn: IntArray
    held_out: IntArray
    counts: tuple[int, ...]
    """Numbers of samples to fit to."""


def _splits(records: Sequence[RecordedSpace], plan: ModelPlan) -> list[_Split]:
    splits = []
    wanted: tuple[tuple[Quantity, tuple[str, ...]], ...] = (("latency", plan.devices), ("accuracy", plan.tasks))
    for quantity, names in wanted:
        columns = [record.table.latency_ms if quantity == "latency" else record.table.accuracy for record in records]
        known = tuple(dict.fromkeys(name for column in columns for name in column))
        for name in names:
            if name not in known:
                raise UnknownNameError("device" if quantity == "latency" else "task", name, known)
            for record, column in zip(records, columns, strict=True):
                if name in column:
                    splits += [_split(record, name, quantity, plan.samples, seed) for seed in plan.seeds]
    return splits


def _split(record: RecordedSpace, name: str, quantity: Quantity, samples: Sequence[int], seed: int) -> _Split:
    values = record.table.latencies(name) if quantity == "latency" else record.table.accuracy_fractions(name)
    learn, held_out = (rows[~np.isnan(values[rows])] for rows in split_rows(len(values), seed))
    held_out = held_out[:_MAX_HELD_OUT]
    if len(learn) < MIN_SAMPLES or len(held_out) < _MIN_HELD_OUT:
        raise UsageError(f"{quantity} {name!r} has {len(learn)} rows to learn from and {len(held_out)} held out.")
    return _Split(
        record=record,
        name=name,
        quantity=quantity,
        seed=seed,
        values=values,
        learn=np.random.default_rng(seed).permutation(learn),
        held_out=held_out,
        counts=tuple(count for count in samples if count <= len(learn)),
    )


@single_threaded
def _fitted_row(split: _Split, count: int, model: str, fit: "Fit") -> ModelRow:
    chosen = split.learn[:count]
    truth = split.values[split.held_out]
    started_s = time.perf_counter()
    try:
        predicted, form = fit(chosen, split.values[chosen], split.held_out)
    except UnfitDataError as error:
        raise UsageError(f"{split.quantity} {split.name!r} with {count} samples: {error}") from error
    return ModelRow(
        space=split.record.table.space,
        target=split.name,
        quantity=split.quantity,
        model=model,
        samples=count,
        seed=split.seed,
        mape_pct=mape_pct(truth, predicted),
        spearman=spearman(truth, predicted),
        kendall_tau=kendall_tau(truth, predicted),
        chosen=form,
        seconds=time.perf_counter() - started_s,
    )


Fit = Callable[[IntArray, FloatArray, IntArray], tuple[FloatArray, str]]
"""Rows to fit to, their values and the held-out rows, to predictions and the model that made them."""


def _fits(split: _Split) -> list[tuple[str, Fit]]:
    """Each model by name, and the predictor as a whole."""
    space, genotypes, seed = split.record.space, split.record.genotypes, split.seed
    extractor = FeatureExtractor(space)
    latency = split.quantity == "latency"
    features = extractor.encode if latency else extractor.encode_parts

    def alone(form: Estimator) -> Fit:
        def fit(rows: IntArray, values: FloatArray, held_out: IntArray) -> tuple[FloatArray, str]:
            target = Readings.exact(np.log(values) if latency else values)
            fitted = form.fit(features(genotypes[rows]), target, seed)
            predicted = fitted.predict(features(genotypes[held_out]))
            return (np.exp(predicted) if latency else predicted), form.name

        return fit

    def predictor(rows: IntArray, values: FloatArray, held_out: IntArray) -> tuple[FloatArray, str]:
        fitted: LatencyPredictor | AccuracyPredictor
        if latency:
            fitted = LatencyPredictor.fit_with(extractor, genotypes[rows], values, seed=seed)
        else:
            fitted = AccuracyPredictor.fit(space, genotypes[rows], values, seed=seed)
        return fitted.predict(genotypes[held_out]).value, fitted.choice.form

    models = latency_models() if latency else accuracy_models()
    return [*((name, alone(form)) for name, form in models.items()), (CHOSEN, predictor)]
