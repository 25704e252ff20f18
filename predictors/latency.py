"""The latency predictor of one device and space.

Milliseconds are predicted in log space by a blend of an additive base of non-negative
costs, a Gaussian process, and a Gaussian process on the base's residual, or by what
cross-validation on the device's own samples finds clearly better: one of these alone, a
ridge, or boosted trees on the residual of the best. With known devices as sources their
predictions are features too: that is few-shot calibration.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from predictors.additive import AdditiveEstimator
from predictors.boosting import BoostingEstimator, TreeSettings
from predictors.composite import BlendEstimator, ResidualEstimator
from predictors.errors import RevisionError, UnfitDataError
from predictors.features import FeatureExtractor, LatencySource
from predictors.gaussian_process import GaussianProcessEstimator, Term
from predictors.intervals import (
    Z90,
    ErrorScale,
    KnownSources,
    PredictedPopulation,
    SampleErrors,
    error_scale,
    evaluation_rows,
    held_out_coverage_pct,
)
from predictors.metrics import LatencyMetrics
from predictors.prediction import Prediction
from predictors.regression import Estimator, FittedModel, LooResiduals, Readings
from predictors.revision import Revision, data_hash, load_revision, revision_kind, save_revision, whole_revision
from predictors.ridge import RidgeEstimator
from predictors.samples import checked_latencies
from predictors.selection import Choice, CrossValidation, restore_estimator, select
from predictors.sources import KIND as SOURCE_KIND
from predictors.sources import SourceFeatures, SourceModel
from predictors.threads import single_threaded
from predictors.trained_range import TrainedRange
from search_spaces.space import BoolArray, IntArray, SearchSpace

FloatArray = NDArray[np.float64]

KIND: Final = "latency"
_TREES: Final = TreeSettings(rounds=120, depth=3, learning_rate=0.06)
_TREE_SAMPLES: Final = 18
"""From 20 samples on: a fold of them leaves 18."""
_NORMAL_MEAN_ABS: Final = 0.8
"""Mean size of a standard normal."""
_LEAST_REPEATABILITY: Final = 0.01
"""Relative standard deviation of a good measurement where none is known, or less is claimed."""
_EVALUATED: Final = 512
"""Population rows on which pseudo-targets' errors are taken."""

_TERMS: Final = (
    Term(block="facts", kind="linear", variance=0.1),
    Term(block="facts", kind="radial", variance=0.05),
    Term(block="encoding", kind="linear", variance=0.03),
)
_TERMS_WITHOUT_FACTS: Final = tuple(term for term in _TERMS if term.block != "facts")
_SOURCE_TERM: Final = Term(block="sources", kind="linear", variance=0.7)
_SHARPNESS: Final = 4.0
_SHRINKAGE_WITH_SOURCES: Final = 0.02


def latency_estimators(
    sources: bool, *, base: bool = True, residual: bool = True, physical: bool = True
) -> tuple[BlendEstimator, tuple[Estimator, ...]]:
    """The blend that is preferred, and its members; what is not wanted of it is left out (for ablations)."""
    own_terms = _TERMS if physical else _TERMS_WITHOUT_FACTS
    own_base = AdditiveEstimator(name="own_additive", with_sources=False, with_loads=physical)
    own_residual = _process("own_residual", own_terms)
    own: list[Estimator] = [own_base] if base else []
    if base and residual:
        own.append(ResidualEstimator(name="own_additive+gaussian_process", base=own_base, residual=own_residual))
    if not sources:
        members = (_process("own_gaussian_process", own_terms), *own)
        return BlendEstimator(name="blend", parts=members), members
    terms = (_SOURCE_TERM, *own_terms)
    informed_base = AdditiveEstimator(name="additive", shrinkages=(_SHRINKAGE_WITH_SOURCES,), with_loads=physical)
    informed: list[Estimator] = [_process("gaussian_process", terms)]
    if base:
        informed.append(informed_base)
    if base and residual:
        correction = _process("residual", terms)
        informed.append(ResidualEstimator(name="additive+gaussian_process", base=informed_base, residual=correction))
    members = (*informed, *own)
    return BlendEstimator(name="blend", parts=members, sharpness=_SHARPNESS), members


def _pool(sources: int) -> tuple[Estimator, ...]:
    """The estimators compared; the first is preferred."""
    blend, members = latency_estimators(sources > 0)
    base = next(form for form in members if isinstance(form, AdditiveEstimator))
    trees = BoostingEstimator(
        name=f"{base.name}+trees", base=base, trees=_TREES, min_samples=_TREE_SAMPLES, monotone=True
    )
    return (blend, *members, RidgeEstimator(), trees)


def latency_models() -> dict[str, Estimator]:
    """Candidate models without known devices, by their names in benchmarks."""
    names = {
        "own_additive": "additive",
        "own_additive+trees": "trees",
        "own_gaussian_process": "gaussian_process",
        "ridge": "ridge",
        "blend": "blend",
    }
    return {names[form.name]: form for form in _pool(0) if form.name in names}


def _process(name: str, terms: tuple[Term, ...]) -> GaussianProcessEstimator:
    return GaussianProcessEstimator(name=name, terms=terms)


def _excess_noise(weights: FloatArray | None, count: int, repeatability: float) -> FloatArray:
    """By how much each log latency's variance exceeds that of one good measurement, shape ``(n,)``."""
    if weights is None:
        return np.zeros(count)
    if weights.shape != (count,) or not (weights > 0).all():
        raise UnfitDataError(f"{count} latencies need as many weights above 0; found {weights.tolist()[:8]}.")
    noise: FloatArray = max(repeatability, _LEAST_REPEATABILITY) ** 2 * np.maximum(1.0 / weights - 1.0, 0.0)
    return noise


def _log_errors(truth: FloatArray, predicted: FloatArray) -> FloatArray:
    return np.asarray(np.abs(truth - predicted))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LatencyPredictor:
    """An immutable fitted predictor; build one with :meth:`fit` or :meth:`load`.

    ``repeatability`` is the device's own relative standard deviation between measurements of one
    network: the error below which no predictor can get. ``held_out`` comes from
    cross-validation, as are ``residuals`` (log milliseconds) and their ``residual_std``;
    ``expected`` is what errors on new networks are expected to be.
    """

    space: SearchSpace
    choice: Choice
    held_out: LatencyMetrics
    expected: ErrorScale
    repeatability: float
    data_sha256: str
    residuals: FloatArray
    residual_std: FloatArray
    sources: tuple[LatencySource, ...]
    _extractor: FeatureExtractor
    _model: FittedModel
    _range: TrainedRange

    @classmethod
    @single_threaded
    def fit(
        cls,
        space: SearchSpace,
        genotypes: IntArray,
        latency_ms: FloatArray,
        *,
        seed: int,
        repeatability: float = 0.0,
        sources: Sequence[LatencySource] = (),
    ) -> "LatencyPredictor":
        """Fits to measurements, scaling features by a seeded sample of the space; deterministic.

        Args:
            space: the networks' space.
            genotypes: measured networks, shape ``(n, genes)``.
            latency_ms: their milliseconds, shape ``(n,)``.
            seed: of cross-validation and of what is drawn.
            repeatability: relative standard deviation of one measurement.
            sources: models of known devices.

        Raises:
            UnfitDataError: if nothing can be learned from the samples, or a source is of another space.
            InvalidGenotypeError: if the genotypes are not of the space.
        """
        check_sources(space, sources)
        extractor = FeatureExtractor(space, sources)
        return cls.fit_with(extractor, genotypes, latency_ms, seed=seed, repeatability=repeatability)

    @classmethod
    @single_threaded
    def fit_with(
        cls,
        extractor: FeatureExtractor,
        genotypes: IntArray,
        latency_ms: FloatArray,
        *,
        seed: int,
        repeatability: float = 0.0,
        weights: FloatArray | None = None,
    ) -> "LatencyPredictor":
        """:meth:`fit` with the space, sources and population of an extractor, which several fits may share.

        Args:
            extractor: of the networks' space.
            genotypes: measured networks, shape ``(n, genes)``.
            latency_ms: their milliseconds, shape ``(n,)``.
            seed: of cross-validation and of what is drawn.
            repeatability: relative standard deviation of one measurement.
            weights: how many good measurements each is worth, above 0, shape ``(n,)``; default: one.

        Raises:
            UnfitDataError: if nothing can be learned from the samples, or a source is of another space.
            InvalidGenotypeError: if the genotypes are not of the space.
        """
        space, sources = extractor.space, extractor.sources
        check_sources(space, sources)
        canonical, values = checked_latencies(space, genotypes, latency_ms)
        features = extractor.encode(canonical)
        target = Readings(values=np.log(values), noise=_excess_noise(weights, len(values), repeatability))
        selected = select(
            _pool(len(sources)),
            _TREES,
            CrossValidation(features, target, seed),
            losses=_log_errors,
            error_unit="mean absolute log error",
        )
        out_of_fold = LooResiduals(residuals=target.values - selected.out_of_fold, std=selected.out_of_fold_std)
        reference = extractor.reference[evaluation_rows(len(extractor.reference), _EVALUATED, seed)]
        around = extractor.encode(reference)
        blended = selected.choice.form == _pool(len(sources))[0].name
        left_out = selected.fitted.loo if blended else out_of_fold
        expected = error_scale(
            SampleErrors(
                estimator=restore_estimator(selected.choice.form, _pool(len(sources)), _TREES),
                features=features,
                left_out=left_out,
                out_of_fold=out_of_fold.residuals,
            ),
            PredictedPopulation(features=around, std=selected.fitted.std(around)),
            KnownSources(
                residuals=tuple(source.residuals for source in sources) if blended else (),
                sample_logs=extractor.source_values(canonical),
                population_logs=extractor.source_values(reference),
            ),
            seed=seed,
        )
        held_out = _prediction(selected.out_of_fold, expected.quantile * out_of_fold.std, repeatability)
        coverage_pct = held_out_coverage_pct(
            selected.folds, partial(expected.quantile_from, left_out), Z90 * repeatability
        )
        metrics = LatencyMetrics.of(values, held_out).with_coverage_pct(coverage_pct)
        return cls(
            space=space,
            choice=selected.choice,
            held_out=metrics,
            expected=expected,
            repeatability=repeatability,
            data_sha256=data_hash(canonical, values),
            residuals=out_of_fold.residuals,
            residual_std=out_of_fold.std,
            sources=sources,
            _extractor=extractor,
            _model=selected.fitted,
            _range=TrainedRange.from_facts(extractor.facts(canonical)),
        )

    @property
    def expected_mape_pct(self) -> float:
        """Expected error: the mean absolute relative error expected on new networks, in percent."""
        return float(np.expm1(max(self.expected.mean, self.repeatability * _NORMAL_MEAN_ABS)) * 100)

    @single_threaded
    def predict(self, genotypes: IntArray) -> Prediction:
        """Milliseconds with 90 % intervals for genotypes of shape ``(n, genes)``.

        "At most T ms" is answered by ``high <= T``: the true value is above it for one in
        twenty.

        Raises:
            InvalidGenotypeError: if the genotypes are not of the predictor's space.
        """
        canonical = self.space.canonicalize(self.space.validate(genotypes))
        features = self._extractor.encode(canonical)
        log_ms, std = self._model.predict_with_std(features)
        return _prediction(log_ms, self.expected.quantile * std, self.repeatability)

    def cross_validated(self, latency_ms: FloatArray) -> Prediction:
        """Out-of-fold predictions of the training samples, with 90 % intervals.

        Args:
            latency_ms: the samples' milliseconds, as they were fitted to, shape ``(n,)``.
        """
        half_width = self.expected.quantile * self.residual_std
        return _prediction(np.log(latency_ms) - self.residuals, half_width, self.repeatability)

    @single_threaded
    def log_latency(self, genotypes: IntArray) -> FloatArray:
        """Log milliseconds of canonical genotypes, shape ``(n,)``: this predictor as a source."""
        return self._model.predict(self._extractor.encode(genotypes))

    def outside(self, genotypes: IntArray) -> BoolArray:
        """Which candidates lie outside what the predictor was trained on, or cannot be built; shape ``(n,)``."""
        canonical = self.space.canonicalize(self.space.validate(genotypes))
        return self._range.outside(self._extractor.facts(canonical)) | ~self.space.connected(canonical)

    def save(self, folder: Path) -> None:
        """Writes this revision, its sources inside it, into a new folder.

        Raises:
            RevisionError: if the folder exists.
        """
        revision = Revision(
            kind=KIND,
            document={
                "data_sha256": self.data_sha256,
                "choice": self.choice.as_json(),
                "held_out": self.held_out.as_json(),
                "expected": asdict(self.expected),
                "repeatability": self.repeatability,
                "sources": len(self.sources),
            },
            model=self._model.state(),
            arrays={
                **self._range.arrays(),
                "residuals": self.residuals,
                "residual_std": self.residual_std,
                "reference": self._extractor.reference.astype(np.float64),
            },
        )
        parts = {f"source-{number}": source.save for number, source in enumerate(self.sources)}
        save_revision(folder, revision, self.space, parts)

    @classmethod
    def load(cls, folder: Path, space: SearchSpace) -> "LatencyPredictor":
        """Reads a revision.

        Raises:
            RevisionError: if it is damaged or of another kind, space or feature schema.
        """
        revision = load_revision(folder, KIND, space)
        with whole_revision(folder):
            document = revision.document
            choice = Choice.from_json(document["choice"])
            shared = SourceFeatures(space)
            names = [f"source-{number}" for number in range(document["sources"])]
            sources = tuple(load_source(folder / name, space, shared) for name in names)
            reference = revision.arrays["reference"].astype(np.int64)
            return cls(
                space=space,
                choice=choice,
                held_out=LatencyMetrics(**document["held_out"]),
                expected=ErrorScale(**document["expected"]),
                repeatability=float(document["repeatability"]),
                data_sha256=document["data_sha256"],
                residuals=revision.arrays["residuals"],
                residual_std=revision.arrays["residual_std"],
                sources=sources,
                _extractor=FeatureExtractor(space, sources, reference),
                _model=restore_estimator(choice.form, _pool(len(sources)), _TREES).restore(revision.model),
                _range=TrainedRange.from_arrays(revision.arrays),
            )


def check_sources(space: SearchSpace, sources: Sequence[LatencySource]) -> None:
    """Sources must predict for the same space.

    Raises:
        UnfitDataError: if one does not.
    """
    for source in sources:
        if source.space.name != space.name or source.space.task != space.task:
            raise UnfitDataError(f"a source predicts for the space {source.space.name!r}, not {space.name!r}.")


def load_source(
    folder: Path, space: SearchSpace, features: SourceFeatures | None = None
) -> LatencyPredictor | SourceModel:
    """A saved model of a known device, of either kind; sources that share ``features`` share their work.

    Raises:
        RevisionError: if it is damaged or of another kind, space or feature schema.
    """
    kind = revision_kind(folder)
    if kind == KIND:
        return LatencyPredictor.load(folder, space)
    if kind == SOURCE_KIND:
        return SourceModel.load(folder, space, features)
    raise RevisionError(f"{folder} holds a predictor of kind {kind!r}, not a latency predictor.")


def _prediction(log_value: FloatArray, log_half_width: FloatArray, repeatability: float) -> Prediction:
    half = np.maximum(log_half_width, Z90 * repeatability)
    return Prediction(value=np.exp(log_value), low=np.exp(log_value - half), high=np.exp(log_value + half))
