"""Accuracy that networks have once they are finished, predicted from a few that were.

After a short training, inherited accuracy ranks networks of similar size poorly: those that share most with the
smallest and the largest network, which every step trains, look better than they are (docs/supernets.md, "Finishing").
So a search whose networks are finished begins by finishing a few *pilots*, and learns from them how accurate networks
become, given their inherited accuracy and their MACs.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import optimize

from nas.search.metric_predictors import MetricPredictor
from predictors.prediction import Prediction
from search_spaces.facts import CostFacts, FloatArray
from search_spaces.space import IntArray, SearchSpace

PILOTS: Final = 8
"""Networks that are finished before a search."""
_SEED: Final = 20_261_130
_FEWEST: Final = 4
"""Pilots that a fit needs."""
LEAST_SHARE: Final = 0.1
"""Of the supernet's steps: a shorter finishing changes accuracies too little for pilots to pay."""
_PENALTY: Final = 0.3
"""Of squared slopes of gains over standardized columns, beside squared errors. Chosen on two supernets."""
_Z90: Final = 1.645


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FinishedAccuracy:
    """Finished accuracy as a linear function of inherited accuracy and log MACs, rising in both."""

    facts: CostFacts
    pilots: IntArray
    """The networks that it was fitted to, shape ``(n, genes)``."""
    center: FloatArray
    """Means of inherited accuracy (a fraction) and of log MACs over the pilots, shape ``(2,)``."""
    slopes: FloatArray
    """Finished accuracy per inherited accuracy, and per unit of log MACs; none is negative. Few or noisy pilots leave
    them near 1 and 0: all networks gain alike."""
    mean: float
    """Of the pilots' finished accuracies."""
    std: float
    """Of finished accuracy around the function, from pilots left out of the fit."""

    @classmethod
    def fit(
        cls, space: SearchSpace, genotypes: IntArray, inherited: FloatArray, finished: FloatArray
    ) -> "FinishedAccuracy | None":
        """Fits gains by ridge regression, with slopes that are not negative; None for fewer than four pilots.

        Args:
            space: of the genotypes.
            genotypes: canonical and distinct, shape ``(n, genes)``.
            inherited: accuracies before, as fractions, shape ``(n,)``.
            finished: accuracies afterwards.
        """
        count = len(genotypes)
        if count < _FEWEST:
            return None
        facts = CostFacts(space)
        columns = _columns(facts, genotypes, inherited)
        missed = []
        for row in range(count):
            others = np.arange(count) != row
            center, slopes, mean = _line(columns[others], finished[others])
            missed.append(finished[row] - mean - float((columns[row] - center) @ slopes))
        center, slopes, mean = _line(columns, finished)
        return cls(
            facts=facts,
            pilots=genotypes,
            center=center,
            slopes=slopes,
            mean=mean,
            std=float(np.sqrt(np.mean(np.square(missed)))),
        )

    def of(self, genotypes: IntArray, inherited: FloatArray) -> FloatArray:
        """Expected finished accuracies of networks with these inherited ones, fractions of shape ``(n,)``."""
        columns = _columns(self.facts, genotypes, inherited) - self.center
        return np.clip(self.mean + columns @ self.slopes, 0.0, 1.0)

    def predict(self, genotypes: IntArray, inherited: Prediction) -> Prediction:
        """Finished accuracies from predicted inherited ones, with 90 % intervals."""
        value = self.of(genotypes, inherited.value)
        below, above = inherited.value - inherited.low, inherited.high - inherited.value
        own = _Z90 * self.std
        return Prediction(
            value=value,
            low=value - np.hypot(self.slopes[0] * below, own),
            high=value + np.hypot(self.slopes[0] * above, own),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FinishedAccuracyPredictor:
    """Predicts accuracies after finishing by a predictor of inherited ones."""

    inherited: MetricPredictor
    finished: FinishedAccuracy

    def predict(self, genotypes: IntArray) -> Prediction:
        """Fractions with 90 % intervals, each of shape ``(n,)``."""
        return self.finished.predict(genotypes, self.inherited.predict(genotypes))


def pilot_networks(space: SearchSpace) -> IntArray:
    """Distinct float networks of all sizes, at most :data:`PILOTS`, the same for every search of a space."""
    return np.unique(space.unquantized(space.sample_spread(PILOTS, np.random.default_rng(_SEED))), axis=0)


def _columns(facts: CostFacts, genotypes: IntArray, inherited: FloatArray) -> FloatArray:
    return np.column_stack([inherited, np.log(facts.column("macs", genotypes))])


def _line(columns: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray, float]:
    """Center of the columns, slopes and mean of the values; what is penalized are slopes of gains over inherited."""
    center, mean = columns.mean(axis=0), float(values.mean())
    scale = columns.std(axis=0)
    scale[scale == 0] = 1.0
    stacked = np.vstack([(columns - center) / scale, np.sqrt(_PENALTY) * np.eye(columns.shape[1])])
    gains = values - columns[:, 0]
    target = np.r_[gains - gains.mean(), np.zeros(columns.shape[1])]
    found = optimize.lsq_linear(stacked, target, bounds=([-scale[0], 0.0], np.inf)).x / scale
    return center, np.maximum(found + np.array([1.0, 0.0]), 0.0), mean
