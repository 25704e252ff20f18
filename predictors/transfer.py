"""Quantized accuracy from unquantized accuracy: a base model and a small correction.

An accuracy model of unquantized networks carries over to quantized ones when a
correction learns from a few of them what precision takes away (APQ, Wang et al.,
CVPR 2020). The correction sees the policy alone, so that few samples suffice.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from predictors.features import Features
from predictors.gaussian_process import GaussianProcessEstimator, Term
from predictors.regression import Estimator, FittedModel, LooResiduals, ModelState, Readings

FloatArray = NDArray[np.float64]

_MIN_QUANTIZED: Final = 3
_CORRECTION: Final = GaussianProcessEstimator(
    name="correction",
    terms=(Term(block="policy", kind="linear", variance=0.5), Term(block="policy", kind="radial", variance=0.2)),
    min_samples=_MIN_QUANTIZED,
)


def quantized_rows(features: Features) -> NDArray[np.bool_]:
    """Which rows have any unit in a reduced precision, shape ``(n,)``."""
    return np.asarray((features.policy > 0).any(axis=1))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedTransfer:
    """A base model of unquantized networks and a correction for quantized ones."""

    estimator: "TransferEstimator"
    base: FittedModel
    correction: FittedModel | None
    loo: LooResiduals

    def predict(self, features: Features) -> FloatArray:
        """Base, plus the correction where a row is quantized."""
        values = self.base.predict(features).copy()
        rows = np.flatnonzero(quantized_rows(features))
        if self.correction is not None and len(rows):
            values[rows] += self.correction.predict(features.take(rows))
        return values

    def std(self, features: Features) -> FloatArray:
        """The base's and the correction's in quadrature."""
        stds = self.base.std(features).copy()
        rows = np.flatnonzero(quantized_rows(features))
        if self.correction is not None and len(rows):
            stds[rows] = np.hypot(stds[rows], self.correction.std(features.take(rows)))
        return stds

    def predict_with_std(self, features: Features) -> tuple[FloatArray, FloatArray]:
        """Both, each as above."""
        values, stds = self.base.predict_with_std(features)
        rows = np.flatnonzero(quantized_rows(features))
        if self.correction is not None and len(rows):
            shift, std = self.correction.predict_with_std(features.take(rows))
            values[rows] += shift
            stds[rows] = np.hypot(stds[rows], std)
        return values, stds

    def state(self) -> ModelState:
        """Both parts' states."""
        parts = {"base": self.base.state()}
        if self.correction is not None:
            parts["correction"] = self.correction.state()
        return ModelState(form=self.estimator.name, parts=parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferEstimator:
    """Fits a :class:`FittedTransfer`; without unquantized samples enough, the base sees all."""

    base: Estimator
    min_samples: int = 8

    @property
    def name(self) -> str:
        """Named after its base."""
        return f"{self.base.name}+correction"

    def fit(self, features: Features, target: Readings, seed: int) -> FittedModel:
        """Fits the base to the unquantized rows and the correction to what it leaves of the others."""
        quantized = quantized_rows(features)
        plain_rows, quantized_at = np.flatnonzero(~quantized), np.flatnonzero(quantized)
        if len(plain_rows) < self.base.min_samples:
            base = self.base.fit(features, target, seed)
            return FittedTransfer(estimator=self, base=base, correction=None, loo=base.loo)
        base = self.base.fit(features.take(plain_rows), target.take(plain_rows), seed)
        residuals, std = np.zeros(len(target)), np.zeros(len(target))
        residuals[plain_rows], std[plain_rows] = base.loo.residuals, base.loo.std
        correction: FittedModel | None = None
        if len(quantized_at):
            held = features.take(quantized_at)
            residuals[quantized_at] = target.values[quantized_at] - base.predict(held)
            std[quantized_at] = base.std(held)
            if len(quantized_at) >= _MIN_QUANTIZED:
                left = target.take(quantized_at).replaced(residuals[quantized_at])
                correction = _CORRECTION.fit(held, left, seed)
                residuals[quantized_at] = correction.loo.residuals
                std[quantized_at] = np.hypot(std[quantized_at], correction.loo.std)
        left_out = LooResiduals(residuals=residuals, std=std)
        return FittedTransfer(estimator=self, base=base, correction=correction, loo=left_out)

    def restore(self, state: ModelState) -> FittedModel:
        """Both parts of a saved state."""
        correction = state.parts.get("correction")
        return FittedTransfer(
            estimator=self,
            base=self.base.restore(state.parts["base"]),
            correction=_CORRECTION.restore(correction) if correction is not None else None,
            loo=LooResiduals.forgotten(),
        )
