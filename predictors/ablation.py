"""Ablation of calibration: the same targets with one part left out at a time."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Final, TypedDict

import numpy as np

from hw_profiles.measurement_table import MeasurementTable
from predictors.benchmark_tables import RecordedSpace, split_rows
from predictors.calibration import choose_samples
from predictors.calibration_benchmark import CalibrationPlan, Source, fit_sources, joined_records, measured_rows
from predictors.features import FeatureExtractor
from predictors.latency import latency_estimators
from predictors.metrics import mape_pct, spearman, within_pct
from predictors.regression import Readings
from predictors.samples import MIN_SAMPLES
from predictors.threads import single_threaded
from search_spaces.errors import UsageError
from search_spaces.space import IntArray


class _Parts(TypedDict, total=False):
    base: bool
    residual: bool
    physical: bool


VARIANTS: Final[dict[str, _Parts]] = {
    "all": {},
    "without base": {"base": False},
    "without residual process": {"residual": False},
    "without physical features": {"physical": False},
    "without sources": {},
    "without active choice": {},
}
"""Name to the parts of the model that are left out; sources and choice are left out of the data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationRow:
    """One variant on one target with one number of samples under one seed."""

    variant: str
    space: str
    target: str
    samples: int
    seed: int
    spearman: float
    mape_pct: float
    within_10_pct: float

    def as_json(self) -> dict[str, object]:
        """The fields as a JSON object."""
        return asdict(self)


def run_ablation(
    tables: Sequence[MeasurementTable],
    plan: CalibrationPlan,
    on_row: Callable[[AblationRow], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> list[AblationRow]:
    """All variants over a plan; splits and sources as in the calibration benchmark, and what is said of them.

    Raises:
        UnknownNameError: for a device that no table has.
        UsageError: for tables or columns that cannot be used.
    """
    rows = []
    for record in joined_records(tables, plan, say):
        targets = [name for name in plan.targets if name in record.table.latency_ms]
        for seed in plan.seeds if targets else ():
            learn, held_out = split_rows(len(record.genotypes), seed)
            sources = fit_sources(record, learn, plan.sources, seed)
            for target in targets:
                used = [source for name, source in sources.items() if name != target]
                split = measured_rows(record, target, learn), measured_rows(record, target, held_out)
                for row in _ablate(record, target, used, split, plan.samples, seed):
                    rows.append(row)
                    on_row(row)
    return rows


@single_threaded
def _ablate(
    record: RecordedSpace,
    target: str,
    sources: Sequence[Source],
    split: tuple[IntArray, IntArray],
    counts: Sequence[int],
    seed: int,
) -> list[AblationRow]:
    pool, test = split
    if len(pool) < MIN_SAMPLES or not len(test):
        raise UsageError(f"device {target!r} has {len(pool)} rows to learn from and {len(test)} held out; too few.")
    column = record.table.latencies(target)
    rows = []
    for variant, parts in VARIANTS.items():
        known = () if variant == "without sources" else sources
        extractor = FeatureExtractor(record.space, known, record.genotypes[pool])
        form, _ = latency_estimators(bool(known), **parts)
        features, held_out = extractor.encode(record.genotypes[pool]), extractor.encode(record.genotypes[test])
        for count in counts:
            wanted = min(count, len(pool))
            if variant == "without active choice":
                chosen = np.random.default_rng((seed, count)).permutation(len(pool))[:wanted]
            else:
                chosen = choose_samples(features, wanted, seed=seed)
            fitted = form.fit(features.take(chosen), Readings.exact(np.log(column[pool[chosen]])), seed)
            predicted = np.exp(fitted.predict(held_out))
            rows.append(
                AblationRow(
                    variant=variant,
                    space=record.table.space,
                    target=target,
                    samples=count,
                    seed=seed,
                    spearman=spearman(column[test], predicted),
                    mape_pct=mape_pct(column[test], predicted),
                    within_10_pct=within_pct(column[test], predicted, 10),
                )
            )
    return rows
