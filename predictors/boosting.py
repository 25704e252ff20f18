"""Gradient-boosted trees, alone or on the residual of a base model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xgboost
from numpy.typing import NDArray

from predictors.features import Features
from predictors.regression import Estimator, FittedModel, LooResiduals, ModelState, Readings

FloatArray = NDArray[np.float64]

_SETTINGS: Final[dict[str, Any]] = {
    "objective": "reg:squarederror",
    "tree_method": "hist",
    "max_bin": 64,
    "subsample": 0.8,
    "nthread": 1,
    "verbosity": 0,
}

_PREDICTION_THREADS: Final = 1
"""Training is on one thread, so that it is the same everywhere; predictions do not depend on threads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeSettings:
    """The size and pace of an ensemble."""

    rounds: int = 150
    depth: int = 4
    learning_rate: float = 0.08
    columns: float = 0.4
    min_child: float = 2.0
    penalty: float = 1.0


def train(
    columns: FloatArray | NDArray[np.float32],
    target: FloatArray,
    settings: TreeSettings,
    seed: int,
    increasing: Sequence[int] = (),
) -> xgboost.Booster:
    """An XGBoost booster of a centred target that never falls along the ``increasing`` columns; deterministic."""
    parameters = {
        **_SETTINGS,
        "max_depth": settings.depth,
        "eta": settings.learning_rate,
        "colsample_bynode": settings.columns,
        "min_child_weight": settings.min_child,
        "lambda": settings.penalty,
        "base_score": 0.0,
        "seed": seed,
    }
    if len(increasing):
        signs = np.zeros(columns.shape[1], dtype=np.int64)
        signs[list(increasing)] = 1
        parameters["monotone_constraints"] = f"({','.join(map(str, signs))})"
    matrix = xgboost.QuantileDMatrix(columns.astype(np.float32, copy=False), label=target, nthread=1, max_bin=64)
    # xgboost.train without its callbacks, which take a fifth of the time where samples are few.
    booster = xgboost.Booster(parameters, [matrix])
    for number in range(settings.rounds):
        booster.update(matrix, number)
    booster.set_param({"nthread": _PREDICTION_THREADS})
    return booster


def booster_predict(booster: xgboost.Booster, columns: FloatArray | NDArray[np.float32]) -> FloatArray:
    """A booster's predictions, shape ``(n,)``."""
    values: FloatArray = booster.inplace_predict(columns.astype(np.float32, copy=False)).astype(np.float64)
    return values


def load_booster(content: bytes) -> xgboost.Booster:
    """A booster from its UBJSON bytes."""
    booster = xgboost.Booster({"nthread": _PREDICTION_THREADS})
    booster.load_model(bytearray(content))
    return booster


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedBoosting:
    """Trees on the residual of a base model, or on the centred target."""

    estimator: "BoostingEstimator"
    base: FittedModel | None
    booster: xgboost.Booster
    mean: float
    loo: LooResiduals

    def predict(self, features: Features) -> FloatArray:
        """Base plus trees, shape ``(n,)``."""
        if self.base is None:
            return self.mean + booster_predict(self.booster, features.columns)
        return self._on_top(features, self.base.predict(features))

    def std(self, features: Features) -> FloatArray:
        """The base's; ones without a base."""
        return self.base.std(features) if self.base is not None else np.ones(len(features))

    def predict_with_std(self, features: Features) -> tuple[FloatArray, FloatArray]:
        """Base plus trees, and the base's standard deviation."""
        if self.base is None:
            return self.predict(features), self.std(features)
        start, std = self.base.predict_with_std(features)
        return self._on_top(features, start), std

    def _on_top(self, features: Features, start: FloatArray) -> FloatArray:
        columns = np.column_stack([features.columns, start])
        return start + booster_predict(self.booster, columns)

    def state(self) -> ModelState:
        """The base's state and the trees."""
        return ModelState(
            form=self.estimator.name,
            settings={"mean": self.mean},
            boosters={"trees": bytes(self.booster.save_raw("ubj"))},
            parts={"base": self.base.state()} if self.base is not None else {},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BoostingEstimator:
    """Fits a :class:`FittedBoosting`.

    The trees learn the base's left-out residuals: those of samples that it was fitted
    to would be too small to learn from. Where ``monotone``, what they add never falls as any
    cost fact grows at one prediction of the base: more work of any kind takes no less time.
    """

    name: str
    base: Estimator | None = None
    trees: TreeSettings = TreeSettings()
    min_samples: int = 40
    monotone: bool = False

    def fit(self, features: Features, target: Readings, seed: int) -> FittedModel:
        """Fits the base, then the trees."""
        if self.base is None:
            mean = float(target.values.mean())
            centred = target.values - mean
            booster = train(features.columns, centred, self.trees, seed)
            return FittedBoosting(estimator=self, base=None, booster=booster, mean=mean, loo=LooResiduals.even(centred))
        return self.fit_on((self.base.fit(features, target, seed),), features, target, seed)

    @property
    def parts(self) -> tuple[Estimator, ...]:
        """The base, if there is one."""
        return (self.base,) if self.base is not None else ()

    def fit_on(self, parts: Sequence[FittedModel], features: Features, target: Readings, seed: int) -> FittedModel:
        """Fits the trees to what a base that was fitted to the same samples leaves over."""
        base = parts[0]
        residuals = base.loo.residuals
        columns = np.column_stack([features.columns, target.values - residuals])
        first = features.encoding.shape[1]
        facts = range(first, first + features.facts.shape[1]) if self.monotone else ()
        booster = train(columns, residuals, self.trees, seed, facts)
        return FittedBoosting(estimator=self, base=base, booster=booster, mean=0.0, loo=base.loo)

    def restore(self, state: ModelState) -> FittedModel:
        """Base and trees of a saved state."""
        base = self.base.restore(state.parts["base"]) if self.base is not None else None
        return FittedBoosting(
            estimator=self,
            base=base,
            booster=load_booster(state.boosters["trees"]),
            mean=float(state.settings["mean"]),
            loo=LooResiduals.forgotten(),
        )
