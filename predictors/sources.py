"""Models of known devices, fitted to many recorded measurements.

An additive base in milliseconds takes up what sums over operators, XGBoost in log space
what does not. Each network belongs to one of a few folds by a hash of its genotype and
is predicted by the model that was not fitted to its fold: what a new device's model
sees of a source is out of sample for every network, recorded or not.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import xgboost
from numpy.typing import NDArray

from predictors.boosting import TreeSettings, booster_predict, load_booster, train
from predictors.features import FeatureExtractor, Features
from predictors.regression import ModelState
from predictors.revision import Revision, data_hash, load_revision, save_revision
from predictors.samples import checked_latencies
from search_spaces.space import IntArray, SearchSpace

FloatArray = NDArray[np.float64]

KIND: Final = "source"
_FOLDS: Final = 4
_TREES: Final = TreeSettings(rounds=150, depth=5, learning_rate=0.05, columns=0.3, min_child=10.0)
_RIDGE: Final = 1e-3
_LOWEST_SHARE: Final = 0.3
"""Of the fastest measurement: below it the additive base is not believed."""
_KEPT_RESIDUALS: Final = 512
MIN_ROWS: Final = 200
"""Fewer rows are better served by :class:`predictors.latency.LatencyPredictor`."""


def fold_of(genotypes: IntArray) -> IntArray:
    """The fold of each genotype, shape ``(n,)``; the same on every machine."""
    multipliers = np.random.default_rng(97).integers(1, 2**62, size=genotypes.shape[1], dtype=np.uint64) * 2 + 1
    mixed = (genotypes.astype(np.uint64) * multipliers).sum(axis=1, dtype=np.uint64)
    mixed ^= mixed >> np.uint64(31)
    mixed *= np.uint64(0x9E3779B97F4A7C15)
    return np.asarray((mixed >> np.uint64(33)) % np.uint64(_FOLDS), dtype=np.int64)


def _columns(features: Features) -> FloatArray:
    return np.hstack([features.loads, features.encoding, features.facts, np.ones((len(features), 1))])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _FoldModel:
    """The model of all folds but one."""

    coefficients: FloatArray
    lowest_ms: float
    trees: xgboost.Booster | None

    @classmethod
    def fit(cls, features: Features, log_ms: FloatArray, seed: int) -> "_FoldModel":
        relative = _columns(features) / np.exp(log_ms)[:, None]
        normal = relative.T @ relative
        normal[np.diag_indices(len(normal))] += _RIDGE * np.trace(normal) / len(normal)
        coefficients = np.linalg.solve(normal, relative.sum(axis=0))
        base = cls(coefficients=coefficients, lowest_ms=_LOWEST_SHARE * float(np.exp(log_ms.min())), trees=None)
        start = base.base(features)
        booster = train(np.column_stack([features.columns, start]), log_ms - start, _TREES, seed)
        return cls(coefficients=coefficients, lowest_ms=base.lowest_ms, trees=booster)

    def base(self, features: Features) -> FloatArray:
        """Log milliseconds of the additive base."""
        return np.asarray(np.log(np.maximum(_columns(features) @ self.coefficients, self.lowest_ms)))

    def predict(self, features: Features) -> FloatArray:
        """Log milliseconds."""
        start = self.base(features)
        if self.trees is None:
            return start
        return start + booster_predict(self.trees, np.column_stack([features.columns, start]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SourceModel:
    """An immutable model of one known device; ``residuals`` are log errors on networks unseen by their model."""

    space: SearchSpace
    data_sha256: str
    residuals: FloatArray
    _folds: tuple[_FoldModel, ...]
    _extractor: FeatureExtractor

    @classmethod
    def fit(
        cls,
        space: SearchSpace,
        genotypes: IntArray,
        latency_ms: FloatArray,
        *,
        seed: int,
        extractor: FeatureExtractor | None = None,
    ) -> "SourceModel":
        """Fits to measurements of shape ``(n, genes)`` and ``(n,)``; deterministic.

        Sources that share an ``extractor`` (made for the space alone) share their work.

        Raises:
            UnfitDataError: for samples that nothing can be learned from.
            InvalidGenotypeError: where the genotypes are not of the space.
        """
        canonical, values = checked_latencies(space, genotypes, latency_ms)
        extractor = extractor or FeatureExtractor(space)
        features, log_ms, folds = extractor.of(canonical), np.log(values), fold_of(canonical)
        models = []
        for fold in range(_FOLDS):
            rows = np.flatnonzero(folds != fold)
            models.append(_FoldModel.fit(features.take(rows), log_ms[rows], seed))
        fitted = cls(
            space=space,
            data_sha256=data_hash(canonical, values),
            residuals=np.zeros(0),
            _folds=tuple(models),
            _extractor=extractor,
        )
        residuals = log_ms - fitted._predict(features, folds)
        kept = np.random.default_rng(seed).permutation(len(residuals))[:_KEPT_RESIDUALS]
        return cls(
            space=space,
            data_sha256=fitted.data_sha256,
            residuals=residuals[kept],
            _folds=fitted._folds,
            _extractor=extractor,
        )

    def log_latency(self, genotypes: IntArray) -> FloatArray:
        """Log milliseconds of canonical genotypes, shape ``(n,)``, each by a model that has not seen it."""
        return self._predict(self._extractor.of(genotypes), fold_of(genotypes))

    def _predict(self, features: Features, folds: IntArray) -> FloatArray:
        values = np.zeros(len(features))
        for fold, model in enumerate(self._folds):
            rows = np.flatnonzero(folds == fold)
            if len(rows):
                values[rows] = model.predict(features.take(rows))
        return values

    def save(self, folder: Path) -> None:
        """Writes this revision into a new folder.

        Raises:
            RevisionError: where the folder exists.
        """
        parts = {
            f"fold_{number}": ModelState(
                form="fold",
                settings={"lowest_ms": model.lowest_ms},
                arrays={"coefficients": model.coefficients},
                boosters={"trees": bytes(model.trees.save_raw("ubj"))} if model.trees is not None else {},
            )
            for number, model in enumerate(self._folds)
        }
        revision = Revision(
            kind=KIND,
            document={"data_sha256": self.data_sha256},
            model=ModelState(form="source", parts=parts),
            arrays={"residuals": self.residuals},
        )
        save_revision(folder, revision, self.space)

    @classmethod
    def load(cls, folder: Path, space: SearchSpace, extractor: FeatureExtractor | None = None) -> "SourceModel":
        """Reads a revision; ``extractor`` as in :meth:`fit`.

        Raises:
            RevisionError: where it is damaged or of another kind, space or feature schema.
        """
        revision = load_revision(folder, KIND, space)
        folds = tuple(
            _FoldModel(
                coefficients=part.arrays["coefficients"],
                lowest_ms=float(part.settings["lowest_ms"]),
                trees=load_booster(part.boosters["trees"]),
            )
            for part in (revision.model.parts[f"fold_{number}"] for number in range(_FOLDS))
        )
        return cls(
            space=space,
            data_sha256=revision.document["data_sha256"],
            residuals=revision.arrays["residuals"],
            _folds=folds,
            _extractor=extractor or FeatureExtractor(space),
        )
