"""Posterior accuracy of a network that classifies ``k`` of ``n`` validation images correctly.

A reading is a binomial draw around the true accuracy. All candidates are read on the
same images, so its error has two parts. The *shared* part (these images are easier or
harder than others) moves all candidates alike: it changes no ranking and no reading
tells of it, so it only widens the interval. The *individual* part is what makes the best
of many readings look better than it is: a prior, what a predictor expects of the
candidate without having seen its reading, is what readings are shrunk towards.

How the binomial variance splits was measured on sub-networks of one supernet
(:data:`predictors.reading_noise.SHARED_SHARE`), which agree on most images.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from predictors.prediction import Prediction
from predictors.reading_noise import SHARED_SHARE
from search_spaces.errors import UsageError
from search_spaces.facts import FloatArray
from search_spaces.space import IntArray

_Z90: Final = 1.645
"""Standard deviations to the ends of a normal distribution's central 90 %."""
_Z90_ONE_SIDED: Final = 1.2816
_MANY_RESIDUALS: Final = 8
"""Residuals from which on their size corrects the prior's stated one."""
_CORRECTIONS: Final = (0.25, 4.0)
"""Range of that correction, of variances."""
_MIN_SHARING: Final = 2
"""Finished networks from which on they share a gain."""
_MIN_SLOPE: Final = 4
"""Finished networks from which on the gain depends on the inherited accuracy."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AccuracyPosterior:
    """Accuracies on new images (fractions), arrays of shape ``(n,)``."""

    expected: FloatArray
    individual_std: FloatArray
    """What is uncertain of each candidate beside the others: what a ranking depends on."""
    total_std: FloatArray
    """Of the accuracy on a set of new images: with the validation images' shared error and that set's own."""

    def take(self, rows: IntArray) -> "AccuracyPosterior":
        """Those of some rows."""
        return AccuracyPosterior(
            expected=self.expected[rows],
            individual_std=self.individual_std[rows],
            total_std=self.total_std[rows],
        )

    @property
    def low(self) -> FloatArray:
        """Lower ends of the 90 % intervals."""
        return np.clip(self.expected - _Z90 * self.total_std, 0.0, 1.0)

    @property
    def high(self) -> FloatArray:
        """Upper ends of the 90 % intervals."""
        return np.clip(self.expected + _Z90 * self.total_std, 0.0, 1.0)

    @property
    def guaranteed(self) -> FloatArray:
        """The one-sided 90 % lower bound of accuracy on new images, which limits are compared with."""
        return np.clip(self.expected - _Z90_ONE_SIDED * self.total_std, 0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AccuracyReadings:
    """Accuracies of candidates on the same validation images."""

    accuracy: FloatArray
    """Fractions, shape ``(n,)``."""
    images: IntArray
    """Images that each was counted on, shape ``(n,)``; 0 where a figure is exact."""


def accuracy_posterior(
    prior: Prediction,
    readings: AccuracyReadings,
    *,
    images_new: int | None = None,
    individual_share: float = 1.0 - SHARED_SHARE,
) -> AccuracyPosterior:
    """Joins priors and readings of the same candidates.

    Args:
        prior: each candidate's reading as predicted without it (cross-validated).
        readings: what was counted.
        images_new: size of the set of new images that the intervals are for; as many as
            were read by default.
        individual_share: share of the binomial variance that is each candidate's own, from 0 to 1.

    Raises:
        UsageError: if a prior or a reading is NaN.
    """
    _refuse_nan(prior, readings)
    binomial = _binomial_variance(prior.value, readings.images)
    residuals = readings.accuracy - prior.value
    predicted = np.maximum(((prior.high - prior.low) / (2 * _Z90)) ** 2, 1e-12)
    if len(residuals) >= _MANY_RESIDUALS:
        predicted = predicted * np.clip(np.mean(residuals**2 / predicted), *_CORRECTIONS)
    individual = individual_share * binomial
    weight = np.clip(1.0 - individual / predicted, 0.0, 1.0)
    expected = np.clip(prior.value + weight * residuals, 0.0, 1.0)
    new = readings.images if images_new is None else np.full(len(residuals), images_new)
    own = weight * individual + (weight == 0) * predicted
    return AccuracyPosterior(
        expected=expected,
        individual_std=np.sqrt(own),
        total_std=np.sqrt(own + np.maximum(binomial - individual, 0.0) + _binomial_variance(expected, new)),
    )


def finished_posterior(inherited: AccuracyPosterior, finished: AccuracyReadings) -> AccuracyPosterior:
    """Joins what finishing did to all networks with the reading of each finished one.

    The prior is a line from the accuracy expected before to the finished reading, fitted to the other networks;
    two or three networks share a mean gain, and a single one's reading stands for itself.

    Args:
        inherited: of networks before they were finished, shape ``(n,)``: with inherited weights, or as pilots tell
            (:mod:`nas.search.finished_accuracy`).
        finished: of the same networks, in the same order, afterwards.
    """
    count = len(finished.accuracy)
    gains = finished.accuracy - inherited.expected
    if count < _MIN_SHARING:
        missed = np.ones(count)
    else:
        centered = inherited.expected - inherited.expected.mean()
        spread = float(centered @ centered)
        sloped = count >= _MIN_SLOPE and spread > 0
        slope = float(centered @ gains) / spread if sloped else 0.0
        leverage = 1.0 / count + (centered**2 / spread if sloped else 0.0)
        # Residuals of lines fitted without the network itself.
        missed = (gains - gains.mean() - slope * centered) / (1.0 - leverage)
    value = finished.accuracy - missed if count >= _MIN_SHARING else finished.accuracy
    # At least the noise of the readings themselves, which few residuals may happen not to show.
    noise = (1.0 - SHARED_SHARE) * _binomial_variance(value, finished.images)
    half = _Z90 * np.sqrt(np.maximum(np.mean(missed**2), noise))
    return accuracy_posterior(Prediction(value=value, low=value - half, high=value + half), finished)


def _refuse_nan(prior: Prediction, readings: AccuracyReadings) -> None:
    bad = np.flatnonzero(np.isnan(np.stack([prior.value, prior.low, prior.high, readings.accuracy])).any(axis=0))
    if len(bad):
        raise UsageError(f"accuracies of {len(bad)} candidates are NaN, the first in row {int(bad[0])}.")


def _binomial_variance(accuracy: FloatArray, images: IntArray) -> FloatArray:
    """Of readings on so many images, shape ``(n,)``; at least that of half an image."""
    known = np.maximum(images, 1)
    fraction = np.clip(accuracy, 0.5 / known, 1.0 - 0.5 / known)
    return np.where(images > 0, fraction * (1.0 - fraction) / known, 0.0)
