"""The interface of all estimators, and a fitted model as plain data."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from predictors.features import Features
from search_spaces.space import IntArray

FloatArray = NDArray[np.float64]
Setting = str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelState:
    """A fitted model as it is written to disk: JSON settings, arrays, XGBoost's UBJSON."""

    form: str
    settings: dict[str, Setting] = field(default_factory=dict)
    arrays: dict[str, FloatArray] = field(default_factory=dict)
    boosters: dict[str, bytes] = field(default_factory=dict)
    parts: dict[str, "ModelState"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Readings:
    """What a model is fitted to, in its own scale (log milliseconds, logit); arrays of shape ``(n,)``.

    ``noise`` is the known variance of each reading around the true value, zero where it is not
    known: a model that can use it predicts the true value, and a standard deviation without that noise.
    """

    values: FloatArray
    noise: FloatArray

    @classmethod
    def exact(cls, values: FloatArray) -> "Readings":
        """Values whose noise is not known."""
        return cls(values=values, noise=np.zeros(len(values)))

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: IntArray) -> "Readings":
        """Some of the readings."""
        return Readings(values=self.values[rows], noise=self.noise[rows])

    def replaced(self, values: FloatArray) -> "Readings":
        """Other values with the same noise, such as what a base model leaves over."""
        return Readings(values=values, noise=self.noise)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LooResiduals:
    """Leave-one-out residuals of a fit's training samples; arrays of shape ``(n,)``.

    ``std`` is that of :meth:`FittedModel.std`; both are empty for a restored model.
    """

    residuals: FloatArray
    std: FloatArray

    @classmethod
    def even(cls, residuals: FloatArray, std: float = 1.0) -> "LooResiduals":
        """All samples with the same standard deviation."""
        return cls(residuals=residuals, std=np.full(len(residuals), std))

    @classmethod
    def forgotten(cls) -> "LooResiduals":
        """Those of a restored model: none."""
        return cls(residuals=np.zeros(0), std=np.zeros(0))


class FittedModel(Protocol):
    """A fitted model of a target in its own scale (log milliseconds, logit)."""

    @property
    def loo(self) -> LooResiduals:
        """The training samples, each left out of the fit."""
        ...

    def predict(self, features: Features) -> FloatArray:
        """The expected target, shape ``(n,)``."""
        ...

    def std(self, features: Features) -> FloatArray:
        """Relative uncertainty of each prediction, positive, shape ``(n,)``."""
        ...

    def predict_with_std(self, features: Features) -> tuple[FloatArray, FloatArray]:
        """:meth:`predict` and :meth:`std`, at less than the cost of both where they share work."""
        ...

    def state(self) -> ModelState:
        """Everything needed to predict again."""
        ...


class Estimator(Protocol):
    """An unfitted estimator; stateless."""

    @property
    def name(self) -> str:
        """Unique within a pool."""
        ...

    @property
    def min_samples(self) -> int:
        """The fewest samples worth trying this estimator with."""
        ...

    def fit(self, features: Features, target: Readings, seed: int) -> FittedModel:
        """Fits to ``n`` readings; the same arguments give the same model."""
        ...

    def restore(self, state: ModelState) -> FittedModel:
        """The fitted model that ``state`` was taken from; its left-out samples are not kept."""
        ...


@runtime_checkable
class CompositeEstimator(Estimator, Protocol):
    """An estimator that builds on others fitted to the same samples."""

    @property
    def parts(self) -> tuple[Estimator, ...]:
        """The estimators that are fitted first."""
        ...

    def fit_on(self, parts: Sequence[FittedModel], features: Features, target: Readings, seed: int) -> FittedModel:
        """Fits on top of the fitted parts."""
        ...


def fit_reusing(
    form: Estimator, known: dict[str, FittedModel], features: Features, target: Readings, seed: int
) -> FittedModel:
    """Fits an estimator, taking its parts from ``known`` by name where they are there, and adding what it fits."""
    if form.name not in known:
        if isinstance(form, CompositeEstimator) and form.parts:
            parts = [fit_reusing(part, known, features, target, seed) for part in form.parts]
            known[form.name] = form.fit_on(parts, features, target, seed)
        else:
            known[form.name] = form.fit(features, target, seed)
    return known[form.name]
