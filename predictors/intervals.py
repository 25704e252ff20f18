"""Calibration of interval widths.

A device's own left-out errors say how far predictions are off, but a dozen of them,
from samples chosen to differ, say it badly. Known devices tell how left-out errors
relate to true ones: each plays the new device in turn, with the others as its sources
and the same samples, and its true errors are known (cross-fitted, as in Vovk 2015).
Without some known devices, and from few samples, left-out errors are shrunk towards a cautious
guess: a model may explain six samples by chance. With many samples the conformal
quantile of left-out errors speaks for itself (Lei et al. 2018).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from predictors.features import Features
from predictors.metrics import SMALLEST, typical_error
from predictors.regression import Estimator, LooResiduals, Readings
from predictors.samples import MIN_SAMPLES
from predictors.selection import HeldOutFold
from search_spaces.space import IntArray

FloatArray = NDArray[np.float64]

LEVEL: Final = 0.9
Z90: Final = 1.645
"""Standard deviations of a normal distribution from its middle to the ends of its 90 % interval."""
MANY_SAMPLES: Final = 64
"""From here on the conformal quantile is trusted alone."""

_PRIOR_WEIGHT: Final = 8.0
"""Known devices that the prior ratios count for."""
_PRIOR_QUANTILE: Final = 2.0
_PRIOR_ERROR: Final = 0.95
_MAX_PSEUDO_TARGETS: Final = 24
_MIN_PSEUDO_TARGETS: Final = 4
"""Minimum number of pseudo-targets for scaling left-out errors."""
_TRUSTED_SAMPLES: Final = 20
"""Minimum number of samples for using left-out errors without pseudo-targets."""
_GUESS_ERROR: Final = 0.1
"""Prior error in log milliseconds."""
_GUESS_SAMPLES: Final = 5.0
"""Samples that it counts for at the fewest samples, falling to none at the trusted ones."""
_CAUTION: Final = 0.25
"""Standard deviations of the known devices' ratios by which intervals are wider than the mean asks."""
_SOURCES_PER_RELATIVE: Final = 8
"""Sources for each that is hidden with a pseudo-target as its relative."""


def conformal_quantile(scores: FloatArray, level: float = LEVEL) -> float:
    """The finite-sample quantile of absolute normalized residuals, shape ``(n,)``.

    With too few scores for the level the largest is widened by what is missing.
    """
    count = len(scores)
    ordered = np.sort(np.abs(scores))
    rank = math.ceil((count + 1) * level)
    if rank <= count:
        return float(ordered[rank - 1])
    return float(ordered[-1] * (1.0 + 2.0 / count))


def true_value_quantile(residuals: FloatArray, std: FloatArray, noise: FloatArray, level: float = LEVEL) -> float:
    """Number of ``std`` that cover a share of the true values, if residuals are of readings with known noise.

    Noise is taken off the residuals' size: what remains is the model's own error. It is never taken
    for less than one standard error of the noise itself, since so few residuals cannot tell.
    Without noise this is :func:`conformal_quantile` of the normalized residuals.

    Args:
        residuals: Readings minus predictions by models that had not seen them, shape ``(n,)``.
        std: Relative standard deviations of the predictions, positive, shape ``(n,)``.
        noise: Variances of the readings, shape ``(n,)``.
        level: The share.
    """
    most = conformal_quantile(residuals / std, level) / Z90
    if not noise.any():
        return most * Z90
    floor = math.sqrt(float(noise.mean()) * math.sqrt(2.0 / len(noise)) / float((std**2).mean()))

    def excess(factor: float) -> float:
        return conformal_quantile(residuals / np.sqrt((factor * std) ** 2 + noise), level) - Z90

    if most <= floor or excess(floor) <= 0:
        return floor * Z90
    return float(optimize.brentq(excess, floor, most)) * Z90


def held_out_coverage_pct(
    folds: Sequence[HeldOutFold], quantile: Callable[[LooResiduals], float], least: float = 0.0
) -> float:
    """Percentage of samples inside intervals that were drawn as if their fold had never been measured.

    Model, choice and quantile come from the other folds alone: nested cross-validation (Varma and
    Simon 2006). Comparing each score with the quantile of all other scores would not do: the share
    inside is then the same for every data set.

    Args:
        folds: All samples, in folds.
        quantile: Left-out residuals of the samples outside a fold to a half-width in standard deviations.
        least: Half-width below which no interval is drawn.
    """
    inside = [np.abs(fold.residuals) <= np.maximum(quantile(fold.others) * fold.std, least) for fold in folds]
    return float(np.mean(np.concatenate(inside)) * 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorScale:
    """The expected scale of true errors.

    ``quantile`` holds 90 % of them, in standard deviations of a prediction; ``mean`` is their mean size in log
    milliseconds; ``pseudo_targets`` are the known devices that both were learned from.
    """

    quantile: float
    mean: float
    pseudo_targets: int

    def quantile_from(self, left_out: LooResiduals, others: LooResiduals) -> float:
        """What ``quantile`` would be, had it been learned from ``others`` in place of ``left_out``."""
        scores = others.residuals / others.std
        if len(left_out.residuals) >= MANY_SAMPLES:
            return conformal_quantile(scores)
        return self.quantile * typical_error(scores) / typical_error(left_out.residuals / left_out.std)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SampleErrors:
    """An estimator's errors on a device's own samples, with each sample left out of the fit."""

    estimator: Estimator
    """Fitted to the device, and to each pseudo-target."""
    features: Features
    left_out: LooResiduals
    """In log milliseconds, one per sample."""
    out_of_fold: FloatArray
    """Residuals of models that were refitted without the samples, log milliseconds, shape ``(n,)``."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PredictedPopulation:
    """Networks of the kind that will be predicted."""

    features: Features
    std: FloatArray
    """Standard deviations of the device's predictions, shape ``(p,)``."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KnownSources:
    """The known devices' predictions of the samples and the population."""

    residuals: tuple[FloatArray, ...]
    """Each device's log errors on networks that its model was not fitted to; empty if they are not known."""
    sample_logs: FloatArray
    """Log milliseconds of the samples, shape ``(n, sources)``."""
    population_logs: FloatArray
    """Log milliseconds of the population, shape ``(p, sources)``."""


def error_scale(
    samples: SampleErrors, population: PredictedPopulation, sources: KnownSources, *, seed: int
) -> ErrorScale:
    """Scales left-out errors by how they related to true errors on known devices.

    Errors are measured in standard deviations of the prediction. Samples are chosen to differ, so that one
    of them is harder to predict when it is left out than a similar network is once all of them are known;
    the standard deviations account for that.

    Args:
        samples: errors on the device's own samples.
        population: the networks for which errors are expected.
        sources: the known devices; with fewer than two nothing is learned from them.
        seed: of the pseudo-targets' measurement noise.
    """
    left_out = samples.left_out
    scores = left_out.residuals / left_out.std
    scale = typical_error(scores) * float(population.std.mean())
    if len(scores) >= MANY_SAMPLES:
        return ErrorScale(
            quantile=conformal_quantile(scores), mean=float(np.mean(np.abs(left_out.residuals))), pseudo_targets=0
        )
    rng = np.random.default_rng(seed)
    usable = [number for number, residuals in enumerate(sources.residuals) if len(residuals)]
    if len(usable) > _MAX_PSEUDO_TARGETS:
        usable = sorted(rng.choice(usable, _MAX_PSEUDO_TARGETS, replace=False).tolist())
    quantiles, means = [], []
    if len(sources.residuals) > 1:
        for number in usable:
            noise = sources.residuals[number]
            measured = sources.sample_logs[:, number] + rng.choice(noise, len(samples.features))
            true = sources.population_logs[:, number] + rng.choice(noise, len(population.features))
            hidden = _family(sources.population_logs, number)
            fitted = samples.estimator.fit(samples.features.without_sources(hidden), Readings.exact(measured), seed)
            seen = population.features.without_sources(hidden)
            predicted, std = fitted.predict_with_std(seen)
            errors = np.abs(true - predicted)
            typical = typical_error(fitted.loo.residuals / fitted.loo.std)
            quantiles.append(math.log((float(np.quantile(errors / std, LEVEL)) + SMALLEST) / typical))
            means.append(math.log((float(errors.mean() / std.mean()) + SMALLEST) / typical))
    if len(quantiles) < _MIN_PSEUDO_TARGETS:
        scale = _shrink_scale(scale, samples.out_of_fold)
    widened = _shrunk_ratio(quantiles, _PRIOR_QUANTILE) * math.exp(_CAUTION * _deviation(quantiles))
    return ErrorScale(
        quantile=scale * widened / float(population.std.mean()),
        mean=scale * _shrunk_ratio(means, _PRIOR_ERROR),
        pseudo_targets=len(quantiles),
    )


def _shrink_scale(scale: float, out_of_fold: FloatArray) -> float:
    """A typical error that too few known devices confirm, shrunk towards a guess: the more, the fewer the samples.

    Fits that saw fewer samples replace the closed form, and both give way to a cautious guess.
    """
    count = len(out_of_fold)
    trust = float(np.clip((count - MIN_SAMPLES) / (_TRUSTED_SAMPLES - MIN_SAMPLES), 0.0, 1.0))
    seen = trust * math.log(scale) + (1.0 - trust) * math.log(typical_error(out_of_fold))
    guesses = _GUESS_SAMPLES * (1.0 - trust)
    return math.exp((count * seen + guesses * math.log(_GUESS_ERROR)) / (count + guesses))


def _family(logs: FloatArray, number: int) -> IntArray:
    """A source and those most like it: a new device seldom has its like among the known."""
    count = logs.shape[1]
    likeness = np.nan_to_num(np.atleast_2d(np.corrcoef(logs.T))[number], nan=-1.0)
    likeness[number] = np.inf
    return np.argsort(-likeness, kind="stable")[: 1 + round(count / _SOURCES_PER_RELATIVE)].astype(np.int64)


def _deviation(log_ratios: Sequence[float]) -> float:
    return float(np.std(log_ratios)) if len(log_ratios) > 1 else 0.0


def _shrunk_ratio(log_ratios: Sequence[float], prior: float) -> float:
    """The geometric mean of ratios, the prior counted among them."""
    total = sum(log_ratios) + _PRIOR_WEIGHT * math.log(prior)
    return math.exp(total / (len(log_ratios) + _PRIOR_WEIGHT))


def evaluation_rows(count: int, most: int, seed: int) -> IntArray:
    """Seeded row numbers; all rows if there are at most ``most``."""
    rows = np.arange(count) if count <= most else np.random.default_rng(seed).choice(count, most, replace=False)
    return np.sort(rows).astype(np.int64)
