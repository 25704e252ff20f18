"""The additive base of latency: milliseconds as a sum of loads times non-negative costs.

Every load (multiply-accumulates of a kind of operator, bytes moved, launched kernels, a
known device's predicted time) can only add time, so the costs are found by
non-negative least squares on relative errors, shrunk a little towards zero, with
outlying measurements weighted down. The prediction is monotone in every load.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from predictors.features import Features
from predictors.metrics import typical_error
from predictors.regression import FittedModel, LooResiduals, ModelState, Readings, Setting

FloatArray = NDArray[np.float64]

_SOURCE_SHRINKAGE: Final = 0.003
_REWEIGHTINGS: Final = 3
_DEGREES_OF_FREEDOM: Final = 4.0
"""Of the Student distribution that measurement noise is taken to follow."""
_NORMAL_MAD: Final = 1.4826


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedAdditive:
    """Costs in milliseconds of one mean load each: loads, sources' times, then the fixed cost."""

    estimator: "AdditiveEstimator"
    costs_ms: FloatArray
    deviation: float
    """Typical size of a left-out residual, log milliseconds."""
    loo: LooResiduals

    def predict(self, features: Features) -> FloatArray:
        """Log milliseconds, shape ``(n,)``."""
        return np.asarray(np.log(np.maximum(self.estimator.columns(features) @ self.costs_ms, 1e-9)))

    def std(self, features: Features) -> FloatArray:
        """The same everywhere: relative error is taken to be even."""
        return np.full(len(features), self.deviation)

    def predict_with_std(self, features: Features) -> tuple[FloatArray, FloatArray]:
        """:meth:`predict` and :meth:`std`."""
        return self.predict(features), self.std(features)

    def state(self) -> ModelState:
        """The costs and the deviation."""
        settings: dict[str, Setting] = {"deviation": self.deviation}
        return ModelState(form=self.estimator.name, settings=settings, arrays={"costs_ms": self.costs_ms})


@dataclass(frozen=True, slots=True, kw_only=True)
class AdditiveEstimator:
    """Fits a :class:`FittedAdditive`; the target is log milliseconds.

    Of several ``shrinkages`` of the loads the one with the least left-out error is taken.
    """

    name: str = "additive"
    min_samples: int = 4
    shrinkages: tuple[float, ...] = (0.003, 0.02, 0.1)
    with_loads: bool = True
    with_sources: bool = True

    def columns(self, features: Features) -> FloatArray:
        """The factors of the costs, shape ``(n, costs)``."""
        loads = features.loads if self.with_loads else features.loads[:, :0]
        sources = features.source_loads if self.with_sources else features.source_loads[:, :0]
        return np.hstack([loads, sources, np.ones((len(features), 1))])

    def fit(self, features: Features, target: Readings, seed: int) -> FittedModel:  # noqa: ARG002 - the fit is exact
        """Non-negative least squares with the shrinkage of least left-out error."""
        relative = self.columns(features) / np.exp(target.values)[:, None]
        typical_ms = float(np.exp(target.values).mean())
        fits = []
        for shrinkage in self.shrinkages:
            strengths = np.full(relative.shape[1], _SOURCE_SHRINKAGE)
            strengths[: features.loads.shape[1] if self.with_loads else 0] = shrinkage
            penalty = np.diag(np.sqrt(strengths * len(target)) / typical_ms)
            fits.append(self._robust(relative, penalty))
        costs, residuals = min(fits, key=lambda fit: float(np.abs(fit[1]).sum()))
        deviation = typical_error(residuals)
        left_out = LooResiduals.even(residuals, deviation)
        return FittedAdditive(estimator=self, costs_ms=costs, deviation=deviation, loo=left_out)

    def _robust(self, relative: FloatArray, penalty: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Costs and left-out residuals by iteratively reweighted least squares."""
        weights = np.ones(len(relative))
        for _ in range(_REWEIGHTINGS):
            roots = np.sqrt(weights)
            stacked = np.vstack([relative * roots[:, None], penalty])
            wanted = np.concatenate([roots, np.zeros(len(penalty))])
            costs, _ = optimize.nnls(stacked, wanted, maxiter=50 * stacked.shape[1])
            residuals = self._left_out(relative, weights, penalty, costs)
            scale = _NORMAL_MAD * float(np.median(np.abs(residuals))) + 1e-4
            excess = (residuals / scale) ** 2
            weights = np.minimum(1.0, (_DEGREES_OF_FREEDOM + 1.0) / (_DEGREES_OF_FREEDOM + excess))
        return costs, residuals

    @staticmethod
    def _left_out(relative: FloatArray, weights: FloatArray, penalty: FloatArray, costs: FloatArray) -> FloatArray:
        """Left-out log residuals, taking the set of positive costs as given."""
        support = costs > 0
        rows = relative[:, support]
        precision = (rows * weights[:, None]).T @ rows + penalty[:, support].T @ penalty[:, support]
        leverage = weights * np.einsum("ij,ij->i", rows @ np.linalg.pinv(precision), rows)
        left_out = (1.0 - rows @ costs[support]) / np.maximum(1.0 - leverage, 0.05)
        return np.asarray(-np.log(np.clip(1.0 - left_out, 0.1, 10.0)))

    def restore(self, state: ModelState) -> FittedModel:
        """The costs of a saved state."""
        return FittedAdditive(
            estimator=self,
            costs_ms=state.arrays["costs_ms"],
            deviation=float(state.settings["deviation"]),
            loo=LooResiduals.forgotten(),
        )
