"""Calibration to a new device: active choice of networks, and a stopping rule.

Networks are chosen for what measuring them tells about all the others: the one that
lowers the mean predictive variance over the population most (active learning Cohn;
Seo et al. 2000), under the kernel that the predictor starts from. The smallest and the
largest come first, so that nothing that is searched lies beyond what was measured.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from predictors.errors import UnfitDataError
from predictors.features import FeatureExtractor, Features, LatencySource
from predictors.intervals import evaluation_rows
from predictors.latency import LatencyPredictor, check_sources
from predictors.samples import MIN_SAMPLES
from predictors.threads import single_threaded
from search_spaces.space import IntArray, SearchSpace

FloatArray = NDArray[np.float64]
Measure = Callable[[IntArray], FloatArray]
"""Genotypes ``(n, genes)`` to milliseconds ``(n,)``, NaN where a measurement failed."""

_CANDIDATES: Final = 1000
_PRIOR: Final = {"sources": 0.7, "facts": 0.3, "encoding": 0.05}
_CONSTANT: Final = 1.0
_NOISE: Final = 0.2
_FIRST: Final = 10
_STEP: Final = 5


def network_size(features: Features) -> FloatArray:
    """What smallest and largest mean: mean log latency on known devices, or mean log cost fact."""
    block = features.sources if features.sources.shape[1] else features.facts
    return np.asarray(block.mean(axis=1))


@single_threaded
def choose_samples(features: Features, count: int, *, seed: int, measured: Sequence[int] = ()) -> IntArray:
    """Row numbers of the ``count`` networks to measure next, in order.

    ``measured`` rows are known already; if there are none, the smallest and the largest
    come first. Fewer rows are returned if fewer are left.
    """
    size = network_size(features)
    ends = [int(np.argmin(size)), int(np.argmax(size))]
    sampled = evaluation_rows(len(features), _CANDIDATES, seed)
    rows = np.unique(np.concatenate([sampled, ends, np.asarray(measured, dtype=np.int64)]))
    candidates = features.take(rows)
    covariance = np.full((len(rows), len(rows)), _CONSTANT)
    for name, variance in _PRIOR.items():
        block = candidates.block(name)
        covariance += variance * (block @ block.T)

    position = {int(row): at for at, row in enumerate(rows)}
    taken = np.zeros(len(rows), dtype=np.bool_)
    chosen: list[int] = []

    def condition(at: int) -> None:
        column = covariance[:, at].copy()
        covariance[:] -= np.outer(column, column) / (column[at] + _NOISE)
        taken[at] = True

    for row in measured:
        condition(position[int(row)])
    first = [] if len(measured) else ends
    while len(chosen) < count and not taken.all():
        if first:
            best = position[first.pop(0)]
            if taken[best]:
                continue
        else:
            gain = (covariance**2).mean(axis=0) / (np.diag(covariance) + _NOISE)
            best = int(np.argmax(np.where(taken, -1.0, gain)))
        condition(best)
        chosen.append(int(rows[best]))
    return np.array(chosen, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationStep:
    """The predictor's expected and held-out error after so many samples."""

    samples: int
    expected_mape_pct: float
    held_out_mape_pct: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calibration:
    """A calibrated predictor, its measurements, and why calibration stopped.

    ``stopped``: the expected error met the ``target``, the ``budget`` was spent, or the
    population was ``exhausted``.
    """

    predictor: LatencyPredictor
    genotypes: IntArray
    latency_ms: FloatArray
    history: tuple[CalibrationStep, ...]
    stopped: Literal["target", "budget", "exhausted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationSettings:
    """When to stop, and the seed."""

    budget: int
    """Maximum number of measurements, failed ones included."""
    seed: int
    target_mape_pct: float | None = None
    """Expected error, in percent, at which to stop early; None spends the budget."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TargetDevice:
    """The device to calibrate to."""

    measure: Measure
    known: tuple[IntArray, FloatArray] | None = None
    """Genotypes ``(n, genes)`` and milliseconds ``(n,)`` that were measured earlier.

    They join every fit at no cost. They do not change which networks are chosen, so that a
    calibration that was interrupted chooses the same networks again.
    """
    repeatability: Callable[[], float] = lambda: 0.0
    """Relative standard deviation of one measurement; called before each fit."""
    weights: Callable[[IntArray], FloatArray] | None = None
    """How many good measurements each genotype's latency is worth, shape ``(n,)``; called before each fit."""


def calibrate(
    space: SearchSpace,
    population: IntArray,
    target: TargetDevice,
    settings: CalibrationSettings,
    *,
    sources: Sequence[LatencySource] = (),
    on_step: Callable[[CalibrationStep], None] = lambda _: None,
) -> Calibration:
    """Measures chosen networks of a population until the expected error meets the target or the budget is spent.

    A failed measurement (NaN) counts towards the budget and is left out of the fit.

    Args:
        space: the networks' space.
        population: genotypes to choose from, shape ``(n, genes)``.
        target: the device.
        settings: budget, target error and seed.
        sources: models of known devices.
        on_step: called after each fit.

    Raises:
        UnfitDataError: if the budget is too small, a source is of another space, or too
            few measurements succeed for a fit.
    """
    budget, seed, target_mape_pct = settings.budget, settings.seed, settings.target_mape_pct
    if budget < MIN_SAMPLES:
        raise UnfitDataError(f"a budget of {budget} measurements is too small; at least {MIN_SAMPLES} are needed.")
    check_sources(space, sources)
    pool = np.unique(space.canonicalize(space.validate(population)), axis=0)
    extractor = FeatureExtractor(space, sources, pool)
    features = extractor.encode(pool)
    known_rows, known_ms = target.known or (pool[:0], np.zeros(0))
    known_rows = space.canonicalize(space.validate(known_rows))
    tried: list[int] = []
    values: list[float] = []
    history: list[CalibrationStep] = []
    while True:
        wanted = min(_STEP if tried else _FIRST, budget - len(tried))
        rows = choose_samples(features, wanted, seed=seed, measured=tried)
        if len(rows):
            tried.extend(rows.tolist())
            values.extend(np.asarray(target.measure(pool[rows]), dtype=np.float64).tolist())
        latency_ms = np.array(values)
        succeeded = np.isfinite(latency_ms)
        spent, exhausted = len(tried) >= budget, len(tried) == len(pool) or not len(rows)
        genotypes, latency_ms = _with_known(pool[tried][succeeded], latency_ms[succeeded], known_rows, known_ms)
        if len(genotypes) < MIN_SAMPLES and not (spent or exhausted):
            continue
        predictor = LatencyPredictor.fit_with(
            extractor,
            genotypes,
            latency_ms,
            seed=seed,
            repeatability=target.repeatability(),
            weights=None if target.weights is None else target.weights(genotypes),
        )
        step = CalibrationStep(
            samples=len(genotypes),
            expected_mape_pct=predictor.expected_mape_pct,
            held_out_mape_pct=predictor.held_out.mape_pct,
        )
        history.append(step)
        on_step(step)
        met = target_mape_pct is not None and predictor.expected_mape_pct <= target_mape_pct
        if met or spent or exhausted:
            return Calibration(
                predictor=predictor,
                genotypes=genotypes,
                latency_ms=latency_ms,
                history=tuple(history),
                stopped="target" if met else "budget" if spent else "exhausted",
            )


def _with_known(
    measured: IntArray, measured_ms: FloatArray, known: IntArray, known_ms: FloatArray
) -> tuple[IntArray, FloatArray]:
    """The measured networks, then those known ones that are not among them."""
    seen = {row.tobytes() for row in measured}
    new = np.array([row.tobytes() not in seen for row in known], dtype=np.bool_)
    return np.concatenate([measured, known[new]]), np.concatenate([measured_ms, known_ms[new]])
