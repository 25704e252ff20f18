"""The additive base of latency: milliseconds as a sum of loads times non-negative costs.

Every load (multiply-accumulates of a kind of operator, bytes moved, launched kernels)
can only add time, so the costs are found by non-negative least squares on relative
errors, shrunk a little towards zero. The prediction is monotone in every load.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from predictors.features import Features
from predictors.regression import Fitted, ModelState

FloatArray = NDArray[np.float64]

_SHRINKAGES: Final = (0.003, 0.01, 0.03, 0.1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedAdditive:
    """Costs in milliseconds of one mean load each; the last is the fixed cost."""

    form: "AdditiveForm"
    costs_ms: FloatArray
    left_out_residuals: FloatArray

    def predict(self, features: Features) -> FloatArray:
        """Log milliseconds, shape ``(n,)``."""
        return np.log(np.maximum(_with_fixed(features.loads) @ self.costs_ms, 1e-9))

    def spread(self, features: Features) -> FloatArray:
        """Ones: relative error is taken to be even."""
        return np.ones(len(features))

    def state(self) -> ModelState:
        """The costs."""
        return ModelState(form=self.form.name, arrays={"costs_ms": self.costs_ms})


def _with_fixed(loads: FloatArray) -> FloatArray:
    return np.hstack([loads, np.ones((len(loads), 1))])


@dataclass(frozen=True, slots=True, kw_only=True)
class AdditiveForm:
    """Fits a :class:`FittedAdditive`; the target is log milliseconds."""

    name: str = "additive"
    min_samples: int = 6

    def fit(self, features: Features, target: FloatArray, seed: int) -> Fitted:  # noqa: ARG002 - the fit is exact
        """Non-negative least squares with the shrinkage of least left-out error."""
        relative = _with_fixed(features.loads) / np.exp(target)[:, None]
        best: tuple[float, FloatArray, FloatArray] | None = None
        typical = float(np.exp(target).mean())
        for shrinkage in _SHRINKAGES:
            penalty = np.eye(relative.shape[1]) * np.sqrt(shrinkage * len(target)) / typical
            penalty[-1, -1] *= 0.1
            stacked = np.vstack([relative, penalty])
            wanted = np.concatenate([np.ones(len(target)), np.zeros(len(penalty))])
            costs, _ = optimize.nnls(stacked, wanted, maxiter=50 * stacked.shape[1])
            residuals = self._left_out(relative, penalty, costs)
            error = float(np.abs(residuals).sum())
            if best is None or error < best[0]:
                best = (error, costs, residuals)
        assert best is not None  # the grid is not empty
        return FittedAdditive(form=self, costs_ms=best[1], left_out_residuals=best[2])

    @staticmethod
    def _left_out(relative: FloatArray, penalty: FloatArray, costs: FloatArray) -> FloatArray:
        """Left-out log residuals, taking the set of positive costs as given."""
        support = costs > 0
        rows = relative[:, support]
        precision = rows.T @ rows + penalty[:, support].T @ penalty[:, support]
        leverage = np.einsum("ij,ij->i", rows @ np.linalg.pinv(precision), rows)
        left_out = (1.0 - rows @ costs[support]) / np.maximum(1.0 - leverage, 1e-2)
        return np.asarray(-np.log(np.clip(1.0 - left_out, 0.05, 20.0)))

    def restore(self, state: ModelState) -> Fitted:
        """The costs of a saved state."""
        return FittedAdditive(form=self, costs_ms=state.arrays["costs_ms"], left_out_residuals=np.zeros(0))
