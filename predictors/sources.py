"""Models of known devices, fitted to many recorded measurements.

An additive base in milliseconds takes up what sums over operators, XGBoost in log space
what does not. Each network belongs to one of a few folds by a hash of its genotype and
is predicted by the model that was not fitted to its fold: what a new device's model
sees of a source is out of sample for every network, recorded or not.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import xgboost
from numpy.typing import NDArray

from predictors.boosting import TreeSettings, booster_predict, load_booster, train
from predictors.features import FeatureExtractor
from predictors.regression import ModelState
from predictors.revision import Revision, data_hash, load_revision, save_revision, whole_revision
from predictors.samples import checked_latencies
from predictors.threads import single_threaded
from search_spaces.space import IntArray, SearchSpace

FloatArray = NDArray[np.float64]

KIND: Final = "source"
_FOLDS: Final = 4
_TREES: Final = TreeSettings(rounds=80, depth=5, learning_rate=0.08, columns=0.3, min_child=10.0)
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


class _Fold(NamedTuple):
    """One fold: its row numbers, the loads of the additive base, and the features of the trees."""

    rows: IntArray
    linear: FloatArray
    trees: NDArray[np.float32]


class SourceFeatures:
    """The features of source models of one space; models that share one share its work."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self._extractor = FeatureExtractor(space)
        self._latest: tuple[bytes, tuple[_Fold, ...]] | None = None

    def folds(self, genotypes: IntArray) -> tuple[_Fold, ...]:
        """Canonical genotypes by fold; the latest are kept, since all sources ask for the same."""
        key = hashlib.sha256(np.ascontiguousarray(genotypes).tobytes()).digest()
        latest = self._latest  # another thread may replace it
        if latest is None or latest[0] != key:
            features, fold = self._extractor.encode(genotypes), fold_of(genotypes)
            trees = features.columns.astype(np.float32)
            linear = np.hstack([features.loads, features.columns, np.ones((len(features), 1))])
            rows = [np.flatnonzero(fold == number) for number in range(_FOLDS)]
            latest = self._latest = key, tuple(_Fold(at, linear[at], trees[at]) for at in rows)
        return latest[1]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _FoldModel:
    """The model of all folds but one."""

    coefficients: FloatArray
    lowest_ms: float
    trees: xgboost.Booster

    @classmethod
    def fit(cls, folds: Sequence[_Fold], log_ms: FloatArray, seed: int) -> "_FoldModel":
        target = np.concatenate([log_ms[fold.rows] for fold in folds])
        linear = np.concatenate([fold.linear for fold in folds])
        relative = linear / np.exp(target)[:, None]
        normal = relative.T @ relative
        normal[np.diag_indices(len(normal))] += _RIDGE * np.trace(normal) / len(normal)
        coefficients = np.linalg.solve(normal, relative.sum(axis=0))
        lowest_ms = _LOWEST_SHARE * float(np.exp(target.min()))
        start = _additive(linear, coefficients, lowest_ms)
        seen = np.concatenate([fold.trees for fold in folds])
        trees = train(_with_base(seen, start), target - start, _TREES, seed)
        return cls(coefficients=coefficients, lowest_ms=lowest_ms, trees=trees)

    def predict(self, fold: _Fold) -> FloatArray:
        """Log milliseconds."""
        start = _additive(fold.linear, self.coefficients, self.lowest_ms)
        return start + booster_predict(self.trees, _with_base(fold.trees, start))


def _with_base(columns: NDArray[np.float32], base: FloatArray) -> NDArray[np.float32]:
    return np.column_stack([columns, base.astype(np.float32)])


def _additive(linear: FloatArray, coefficients: FloatArray, lowest_ms: float) -> FloatArray:
    return np.asarray(np.log(np.maximum(linear @ coefficients, lowest_ms)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SourceModel:
    """An immutable model of one known device; ``residuals`` are log errors on networks unseen by their model."""

    space: SearchSpace
    data_sha256: str
    residuals: FloatArray
    _folds: tuple[_FoldModel, ...]
    _features: SourceFeatures

    @classmethod
    @single_threaded
    def fit(
        cls,
        space: SearchSpace,
        genotypes: IntArray,
        latency_ms: FloatArray,
        *,
        seed: int,
        features: SourceFeatures | None = None,
    ) -> "SourceModel":
        """Fits to measurements of shape ``(n, genes)`` and ``(n,)``; deterministic.

        Sources of one space that share ``features`` share their work.

        Raises:
            UnfitDataError: for samples that nothing can be learned from.
            InvalidGenotypeError: if the genotypes are not of the space.
        """
        canonical, values = checked_latencies(space, genotypes, latency_ms)
        features = features or SourceFeatures(space)
        log_ms, folds = np.log(values), features.folds(canonical)
        models = tuple(
            _FoldModel.fit([fold for number, fold in enumerate(folds) if number != left_out], log_ms, seed)
            for left_out in range(_FOLDS)
        )
        residuals = log_ms - _predict(models, folds, len(log_ms))
        kept = np.random.default_rng(seed).permutation(len(residuals))[:_KEPT_RESIDUALS]
        return cls(
            space=space,
            data_sha256=data_hash(canonical, values),
            residuals=residuals[kept],
            _folds=models,
            _features=features,
        )

    @single_threaded
    def log_latency(self, genotypes: IntArray) -> FloatArray:
        """Log milliseconds of canonical genotypes, shape ``(n,)``, each by a model that has not seen it."""
        return _predict(self._folds, self._features.folds(genotypes), len(genotypes))

    def save(self, folder: Path) -> None:
        """Writes this revision into a new folder.

        Raises:
            RevisionError: if the folder exists.
        """
        parts = {
            f"fold_{number}": ModelState(
                form="fold",
                settings={"lowest_ms": model.lowest_ms},
                arrays={"coefficients": model.coefficients},
                boosters={"trees": bytes(model.trees.save_raw("ubj"))},
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
    def load(cls, folder: Path, space: SearchSpace, features: SourceFeatures | None = None) -> "SourceModel":
        """Reads a revision; ``features`` as in :meth:`fit`.

        Raises:
            RevisionError: if it is damaged or of another kind, space or feature schema.
        """
        revision = load_revision(folder, KIND, space)
        with whole_revision(folder):
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
                _features=features or SourceFeatures(space),
            )


def _predict(models: Sequence[_FoldModel], folds: Sequence[_Fold], count: int) -> FloatArray:
    values = np.zeros(count)
    for model, fold in zip(models, folds, strict=True):
        if len(fold.rows):
            values[fold.rows] = model.predict(fold)
    return values
