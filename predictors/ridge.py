"""Ridge regression on scaled feature blocks, its penalty chosen by leave-one-out error."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from predictors.features import Features
from predictors.regression import FittedModel, LooResiduals, ModelState, Readings

FloatArray = NDArray[np.float64]

_PENALTIES: Final = np.geomspace(1e-4, 1e2, 25)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedRidge:
    """A linear model of all scaled columns."""

    estimator: "RidgeEstimator"
    coefficients: FloatArray
    intercept: float
    mean: FloatArray
    loo: LooResiduals

    def predict(self, features: Features) -> FloatArray:
        """The linear prediction, shape ``(n,)``."""
        values: FloatArray = self.intercept + (features.columns - self.mean) @ self.coefficients
        return values

    def std(self, features: Features) -> FloatArray:
        """Ones: a ridge's own error bars say little where it is misspecified."""
        return np.ones(len(features))

    def predict_with_std(self, features: Features) -> tuple[FloatArray, FloatArray]:
        """:meth:`predict` and :meth:`std`."""
        return self.predict(features), self.std(features)

    def state(self) -> ModelState:
        """Coefficients and centre."""
        return ModelState(
            form=self.estimator.name,
            settings={"intercept": self.intercept},
            arrays={"coefficients": self.coefficients, "mean": self.mean},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RidgeEstimator:
    """Fits a :class:`FittedRidge`."""

    name: str = "ridge"
    min_samples: int = 4

    def fit(self, features: Features, target: Readings, seed: int) -> FittedModel:  # noqa: ARG002 - the fit is exact
        """Ridge with the penalty of least leave-one-out squared error."""
        columns = features.columns
        mean, intercept = columns.mean(axis=0), float(target.values.mean())
        centred, wanted = columns - mean, target.values - intercept
        left, singular, right = np.linalg.svd(centred, full_matrices=False)
        rotated = left.T @ wanted
        squares = singular**2
        best: tuple[float, float, FloatArray] | None = None
        for penalty in _PENALTIES * max(float(squares.sum()), 1e-12) / len(target):
            shrink = squares / (squares + penalty)
            leverage = (left**2) @ shrink + 1.0 / len(target)
            residuals = (wanted - left @ (shrink * rotated)) / np.maximum(1.0 - leverage, 1e-3)
            error = float(residuals @ residuals)
            if best is None or error < best[0]:
                best = (error, float(penalty), residuals)
        assert best is not None  # the grid is not empty
        coefficients = right.T @ (singular / (squares + best[1]) * rotated)
        return FittedRidge(
            estimator=self, coefficients=coefficients, intercept=intercept, mean=mean, loo=LooResiduals.even(best[2])
        )

    def restore(self, state: ModelState) -> FittedModel:
        """The linear model of a saved state."""
        return FittedRidge(
            estimator=self,
            coefficients=state.arrays["coefficients"],
            intercept=float(state.settings["intercept"]),
            mean=state.arrays["mean"],
            loo=LooResiduals.forgotten(),
        )
