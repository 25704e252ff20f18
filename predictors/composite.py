"""Composite estimators: a model of another model's residuals, and the mean of several."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictors.features import Features
from predictors.regression import Estimator, FittedModel, LooResiduals, ModelState, Readings, fit_reusing

FloatArray = NDArray[np.float64]

_SMALLEST = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedResidual:
    """A base and a model of its left-out residuals."""

    estimator: "ResidualEstimator"
    base: FittedModel
    residual: FittedModel

    @property
    def loo(self) -> LooResiduals:
        """The residual model's, since it was fitted to the base's."""
        return self.residual.loo

    def predict(self, features: Features) -> FloatArray:
        """Both models' sum, shape ``(n,)``."""
        return self.base.predict(features) + self.residual.predict(features)

    def std(self, features: Features) -> FloatArray:
        """The residual model's."""
        return self.residual.std(features)

    def predict_with_std(self, features: Features) -> tuple[FloatArray, FloatArray]:
        """Both models' sum and the residual model's standard deviation."""
        residual, std = self.residual.predict_with_std(features)
        return self.base.predict(features) + residual, std

    def state(self) -> ModelState:
        """Both models' states."""
        return ModelState(
            form=self.estimator.name, parts={"base": self.base.state(), "residual": self.residual.state()}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualEstimator:
    """Fits a :class:`FittedResidual`."""

    name: str
    base: Estimator
    residual: Estimator
    min_samples: int = 4

    @property
    def parts(self) -> tuple[Estimator, ...]:
        """The base."""
        return (self.base,)

    def fit(self, features: Features, target: Readings, seed: int) -> FittedModel:
        """Fits the base, then the residual."""
        return self.fit_on((self.base.fit(features, target, seed),), features, target, seed)

    def fit_on(self, parts: Sequence[FittedModel], features: Features, target: Readings, seed: int) -> FittedModel:
        """Fits the residual of a base that was fitted to the same samples."""
        residual = self.residual.fit(features, target.replaced(parts[0].loo.residuals), seed)
        return FittedResidual(estimator=self, base=parts[0], residual=residual)

    def restore(self, state: ModelState) -> FittedModel:
        """Both models of a saved state."""
        return FittedResidual(
            estimator=self,
            base=self.base.restore(state.parts["base"]),
            residual=self.residual.restore(state.parts["residual"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedBlend:
    """The weighted mean of several models."""

    estimator: "BlendEstimator"
    members: tuple[FittedModel, ...]
    weights: FloatArray

    @property
    def loo(self) -> LooResiduals:
        """The members' weighted means."""
        return LooResiduals(
            residuals=self.weights @ np.stack([member.loo.residuals for member in self.members]),
            std=self.weights @ np.stack([member.loo.std for member in self.members]),
        )

    def predict(self, features: Features) -> FloatArray:
        """The members' weighted mean, shape ``(n,)``."""
        return self.weights @ np.stack([member.predict(features) for member in self.members])

    def std(self, features: Features) -> FloatArray:
        """The members' weighted mean."""
        return self.weights @ np.stack([member.std(features) for member in self.members])

    def predict_with_std(self, features: Features) -> tuple[FloatArray, FloatArray]:
        """The members' weighted means."""
        values, stds = zip(*(member.predict_with_std(features) for member in self.members), strict=True)
        return self.weights @ np.stack(values), self.weights @ np.stack(stds)

    def state(self) -> ModelState:
        """The members' states."""
        return ModelState(
            form=self.estimator.name,
            arrays={"weights": self.weights},
            parts={f"member_{n}": member.state() for n, member in enumerate(self.members)},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BlendEstimator:
    """Fits a :class:`FittedBlend`: averaging models with different errors reduces the error.

    A member weighs as a power of its mean absolute left-out residual; ``sharpness`` 0
    gives all the same weight.
    """

    name: str
    parts: tuple[Estimator, ...]
    sharpness: float = 0.0
    min_samples: int = 4

    def fit(self, features: Features, target: Readings, seed: int) -> FittedModel:
        """Fits every member."""
        return fit_reusing(self, {}, features, target, seed)

    def fit_on(self, parts: Sequence[FittedModel], features: Features, target: Readings, seed: int) -> FittedModel:  # noqa: ARG002 - nothing is left to fit
        """Joins members that were fitted to the same samples."""
        errors = np.array([float(np.mean(np.abs(part.loo.residuals))) for part in parts]) + _SMALLEST
        weights = (errors.min() / errors) ** self.sharpness
        return FittedBlend(estimator=self, members=tuple(parts), weights=weights / weights.sum())

    def restore(self, state: ModelState) -> FittedModel:
        """The members of a saved state."""
        members = (part.restore(state.parts[f"member_{number}"]) for number, part in enumerate(self.parts))
        return FittedBlend(estimator=self, members=tuple(members), weights=state.arrays["weights"])
