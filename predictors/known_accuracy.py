"""Accuracy predictions that include earlier evaluations.

A supernet's sub-network is evaluated with inherited weights at a fraction of what
exporting, compiling and timing it costs, and its accuracy is the same on every device:
so a search may know many accuracies. What is known is not predicted any more. Quantized
forms of an architecture that is known in float start from what that reaches, and the
base predictor says only what the policy changes (APQ, Wang et al., CVPR 2020).
"""

from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import numpy as np

from predictors.intervals import conformal_quantile
from predictors.prediction import FloatArray, Prediction
from search_spaces.space import IntArray, SearchSpace

_MIN_PAIRS: Final = 5
"""Quantized networks of architectures known in float from which on their own errors give the interval."""


class BasePredictor(Protocol):
    """Predicts every candidate of the space."""

    def predict(self, genotypes: IntArray) -> Prediction:
        """Fractions with 90 % intervals, each of shape ``(n,)``."""
        ...


@runtime_checkable
class CrossValidatedPredictor(BasePredictor, Protocol):
    """A base predictor with out-of-fold predictions of its training samples."""

    def cross_validated_change(self, genotypes: IntArray) -> FloatArray:
        """Predicted effect of policies on accuracy, shape ``(n,)``, by models that had not seen the candidates."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KnownAccuracies:
    """Distinct canonical genotypes, shape ``(k, genes)``, and their accuracies (fractions), shape ``(k,)``."""

    space: SearchSpace
    genotypes: IntArray
    accuracy: FloatArray

    def joined(self, other: "KnownAccuracies") -> "KnownAccuracies":
        """Both; where a genotype is in both, what this one says."""
        new = ~np.isfinite(self.of(other.genotypes))
        return KnownAccuracies(
            space=self.space,
            genotypes=np.concatenate([self.genotypes, other.genotypes[new]]),
            accuracy=np.concatenate([self.accuracy, other.accuracy[new]]),
        )

    def of(self, genotypes: IntArray) -> FloatArray:
        """Accuracies of these very candidates, shape ``(n,)``; NaN where not known."""
        known = {row.tobytes(): float(value) for row, value in zip(self.genotypes, self.accuracy, strict=True)}
        return np.array([known.get(row.tobytes(), np.nan) for row in genotypes], dtype=np.float64)

    def of_architecture(self, genotypes: IntArray) -> FloatArray:
        """Accuracies of the candidates' unquantized forms, shape ``(n,)``; NaN where not known."""
        return self.of(self.space.unquantized(genotypes))


class KnownAccuracyPredictor:
    """A base predictor, overridden by known accuracies of a candidate or of its architecture."""

    def __init__(self, base: BasePredictor, known: KnownAccuracies) -> None:
        self._base = base
        self._known = known
        self._half_width: float | None = None
        rows = known.genotypes[(known.genotypes[:, known.space.policy_columns] > 0).any(axis=1)]
        rows = rows[np.isfinite(known.of_architecture(rows))]
        if len(rows) >= _MIN_PAIRS and isinstance(base, CrossValidatedPredictor):
            # The base was fitted to these rows: its own errors on them would be too small.
            change = base.cross_validated_change(rows)
            self._half_width = conformal_quantile(known.of(rows) - known.of_architecture(rows) - change)

    def predict(self, genotypes: IntArray) -> Prediction:
        """Fractions with 90 % intervals for canonical genotypes of shape ``(n, genes)``."""
        base = self._base.predict(genotypes)
        value, low, high = base.value.copy(), base.low.copy(), base.high.copy()
        exact = self._known.of(genotypes)
        transferred = np.flatnonzero(np.isnan(exact) & np.isfinite(self._known.of_architecture(genotypes)))
        if len(transferred):
            value[transferred] = self._from_architecture(genotypes[transferred])
            half_width = (base.high - base.low)[transferred] / 2 if self._half_width is None else self._half_width
            low[transferred] = np.clip(value[transferred] - half_width, 0.0, 1.0)
            high[transferred] = np.clip(value[transferred] + half_width, 0.0, 1.0)
        sure = np.isfinite(exact)
        for column in (value, low, high):
            column[sure] = exact[sure]
        return Prediction(value=value, low=low, high=high)

    def _from_architecture(self, genotypes: IntArray) -> FloatArray:
        """What the float form is known to reach, and what the base says the policy changes, shape ``(n,)``."""
        plain = self._known.space.unquantized(genotypes)
        change = self._base.predict(genotypes).value - self._base.predict(plain).value
        return np.clip(self._known.of(plain) + change, 0.0, 1.0)
