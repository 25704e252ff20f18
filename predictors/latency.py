"""The latency predictor of one device and space.

Milliseconds are predicted in log space by the form that cross-validation on the
device's own samples speaks for: an additive base of non-negative costs, a ridge, a
Gaussian process, or boosted trees on the residual of the best of these. With known
devices as sources their predictions are features too: that is few-shot calibration.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from predictors.additive import AdditiveForm
from predictors.boosting import TreeSettings
from predictors.errors import UnfitDataError
from predictors.features import FeatureExtractor
from predictors.gaussian_process import GaussianProcessForm, Term
from predictors.intervals import conformal_quantile, left_out_coverage_pct
from predictors.metrics import LatencyMetrics
from predictors.prediction import Prediction
from predictors.regression import Fitted, Form
from predictors.revision import Revision, data_hash, load_revision, save_revision
from predictors.ridge import RidgeForm
from predictors.samples import checked_samples
from predictors.selection import Choice, restore_form, select
from predictors.trained_range import TrainedRange
from search_spaces.space import BoolArray, IntArray, SearchSpace

FloatArray = NDArray[np.float64]

KIND: Final = "latency"
_TREES: Final = TreeSettings(rounds=120, depth=3, learning_rate=0.06)
_FASTEST_MS: Final = 1e-6
_SLOWEST_MS: Final = 1e9
_NORMAL_90: Final = 1.645

_OWN_TERMS: Final = (
    Term(block="facts", kind="linear", variance=0.5),
    Term(block="facts", kind="radial", variance=0.3),
    Term(block="encoding", kind="linear", variance=0.1),
)
_SOURCE_TERM: Final = Term(block="sources", kind="linear", variance=0.7)


def _pool(sources: int) -> tuple[Form, ...]:
    terms = (_SOURCE_TERM, *_OWN_TERMS) if sources else _OWN_TERMS
    return (GaussianProcessForm(name="gaussian_process", terms=terms), RidgeForm(), AdditiveForm())


def _mean_log_error(truth: FloatArray, predicted: FloatArray) -> float:
    return float(np.mean(np.abs(truth - predicted)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LatencyPredictor:
    """An immutable fitted predictor; build one with :meth:`fit` or :meth:`load`.

    ``repeatability`` is the device's own relative spread between measurements of one
    network: the error below which no predictor can get. ``held_out`` comes from
    cross-validation.
    """

    space: SearchSpace
    choice: Choice
    held_out: LatencyMetrics
    repeatability: float
    data_sha256: str
    sources: tuple["LatencyPredictor", ...]
    _extractor: FeatureExtractor
    _model: Fitted
    _quantile: float
    _range: TrainedRange

    @classmethod
    def fit(
        cls,
        space: SearchSpace,
        genotypes: IntArray,
        latency_ms: FloatArray,
        *,
        seed: int,
        repeatability: float = 0.0,
        sources: Sequence["LatencyPredictor"] = (),
    ) -> "LatencyPredictor":
        """Fits to measurements of shape ``(n, genes)`` and ``(n,)``; deterministic.

        Raises:
            UnfitDataError: for samples that nothing can be learned from, or a source of
                another space.
            InvalidGenotypeError: where the genotypes are not of the space.
        """
        for source in sources:
            if source.space.name != space.name:
                raise UnfitDataError(f"a source predicts for the space {source.space.name!r}, not {space.name!r}.")
        canonical, values = checked_samples(
            space, genotypes, latency_ms, what="latencies in ms", low=_FASTEST_MS, high=_SLOWEST_MS
        )
        extractor = FeatureExtractor(space, sources)
        target = np.log(values)
        selected = select(
            _pool(len(sources)),
            _TREES,
            extractor.of(canonical),
            target,
            seed=seed,
            loss=_mean_log_error,
            error_unit="mean absolute log error",
        )
        scores = (target - selected.out_of_fold) / selected.out_of_fold_spread
        quantile = conformal_quantile(scores)
        held_out = _prediction(selected.out_of_fold, quantile * selected.out_of_fold_spread, repeatability)
        metrics = LatencyMetrics.of(values, held_out).with_coverage_pct(left_out_coverage_pct(scores))
        return cls(
            space=space,
            choice=selected.choice,
            held_out=metrics,
            repeatability=repeatability,
            data_sha256=data_hash(canonical, values),
            sources=tuple(sources),
            _extractor=extractor,
            _model=selected.fitted,
            _quantile=quantile,
            _range=TrainedRange.of(extractor.facts(canonical)),
        )

    def predict(self, genotypes: IntArray) -> Prediction:
        """Milliseconds with 90 % intervals for genotypes of shape ``(n, genes)``.

        Raises:
            InvalidGenotypeError: where the genotypes are not of the predictor's space.
        """
        canonical = self.space.canonicalize(self.space.validate(genotypes))
        features = self._extractor.of(canonical)
        return _prediction(
            self._model.predict(features), self._quantile * self._model.spread(features), self.repeatability
        )

    def log_latency(self, genotypes: IntArray) -> FloatArray:
        """Log milliseconds of canonical genotypes, shape ``(n,)``: this predictor as a source."""
        return self._model.predict(self._extractor.of(genotypes))

    def outside(self, genotypes: IntArray) -> BoolArray:
        """Which candidates lie outside what the predictor was trained on, shape ``(n,)``."""
        canonical = self.space.canonicalize(self.space.validate(genotypes))
        return self._range.outside(self._extractor.facts(canonical))

    def save(self, folder: Path) -> None:
        """Writes this revision, its sources inside it, into a new folder.

        Raises:
            RevisionError: where the folder exists.
        """
        revision = Revision(
            kind=KIND,
            document={
                "data_sha256": self.data_sha256,
                "choice": self.choice.as_json(),
                "held_out": self.held_out.as_json(),
                "repeatability": self.repeatability,
                "quantile": self._quantile,
                "sources": len(self.sources),
            },
            model=self._model.state(),
            arrays=self._range.arrays(),
        )
        parts = {f"source-{number}": source.save for number, source in enumerate(self.sources)}
        save_revision(folder, revision, self.space, parts)

    @classmethod
    def load(cls, folder: Path, space: SearchSpace) -> "LatencyPredictor":
        """Reads a revision.

        Raises:
            RevisionError: where it is damaged or of another kind, space or feature schema.
        """
        revision = load_revision(folder, KIND, space)
        document = revision.document
        choice = Choice.from_json(document["choice"])
        sources = tuple(cls.load(folder / f"source-{number}", space) for number in range(document["sources"]))
        return cls(
            space=space,
            choice=choice,
            held_out=LatencyMetrics(**document["held_out"]),
            repeatability=document["repeatability"],
            data_sha256=document["data_sha256"],
            sources=sources,
            _extractor=FeatureExtractor(space, sources),
            _model=restore_form(choice.form, _pool(len(sources)), _TREES).restore(revision.model),
            _quantile=document["quantile"],
            _range=TrainedRange.from_arrays(revision.arrays),
        )


def _prediction(log_value: FloatArray, log_half_width: FloatArray, repeatability: float) -> Prediction:
    half = np.maximum(log_half_width, _NORMAL_90 * repeatability)
    return Prediction(value=np.exp(log_value), low=np.exp(log_value - half), high=np.exp(log_value + half))
