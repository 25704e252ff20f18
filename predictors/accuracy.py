"""The accuracy predictor of one space and data set.

Accuracy (a fraction) is predicted as it is or as a logit (whichever suits the Gaussian process), by
a Gaussian process, a ridge, boosted trees or trees on the residual of the best of these, whichever
cross-validation on the samples speaks for. Where a space has a quantization policy the
architecture and the policy are separate features, and a base of unquantized networks
with a correction on top is in the pool.

A reading on few images is noisy. Where the numbers of images are given, what is predicted is the
true accuracy: models know each reading's own noise, and intervals hold the true accuracy rather
than the next reading (see :mod:`predictors.reading_noise`).
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from predictors.boosting import BoostingEstimator, TreeSettings
from predictors.features import FeatureExtractor
from predictors.gaussian_process import GaussianProcessEstimator, Term
from predictors.intervals import Z90, conformal_quantile, held_out_coverage_pct, true_value_quantile
from predictors.metrics import AccuracyMetrics
from predictors.prediction import Prediction
from predictors.reading_noise import SHARED_SHARE, binomial_variance, checked_images
from predictors.regression import Estimator, FittedModel, LooResiduals, Readings
from predictors.revision import Revision, data_hash, load_revision, save_revision, whole_revision
from predictors.ridge import RidgeEstimator
from predictors.samples import MIN_SAMPLES, checked_samples
from predictors.selection import Choice, CrossValidation, restore_estimator, select
from predictors.threads import single_threaded
from predictors.trained_range import TrainedRange
from predictors.transfer import TransferEstimator, quantized_rows
from search_spaces.space import BoolArray, IntArray, SearchSpace

FloatArray = NDArray[np.float64]
Scale = Literal["fraction", "logit"]
_SCALES: Final[tuple[Scale, ...]] = ("fraction", "logit")

KIND: Final = "accuracy"
_TREES: Final = TreeSettings(rounds=120, depth=3, learning_rate=0.06)
_ALONE: Final = TreeSettings(rounds=250, depth=4, learning_rate=0.07)
_EDGE: Final = 1e-4

_ARCHITECTURE: Final = (
    Term(block="encoding", kind="linear", variance=0.4),
    Term(block="encoding", kind="radial", variance=0.3),
    Term(block="facts", kind="linear", variance=0.2),
    Term(block="facts", kind="radial", variance=0.2),
)
_POLICY: Final = (
    Term(block="policy", kind="linear", variance=0.3),
    Term(block="policy", kind="radial", variance=0.1),
)


def _pool(has_policy: bool) -> tuple[Estimator, ...]:
    terms = (*_ARCHITECTURE, *_POLICY) if has_policy else _ARCHITECTURE
    common: tuple[Estimator, ...] = (
        GaussianProcessEstimator(name="gaussian_process", terms=terms),
        RidgeEstimator(),
        BoostingEstimator(name="trees", trees=_ALONE),
    )
    plain = GaussianProcessEstimator(name="gaussian_process", terms=_ARCHITECTURE)
    return (*common, TransferEstimator(base=plain), TransferEstimator(base=RidgeEstimator())) if has_policy else common


def accuracy_models() -> dict[str, Estimator]:
    """Candidate models for unquantized networks, by name."""
    return {form.name: form for form in _pool(has_policy=False)}


def _to_scale(values: FloatArray, scale: Scale) -> FloatArray:
    if scale == "fraction":
        return values
    logits: FloatArray = logit(np.clip(values, _EDGE, 1.0 - _EDGE))
    return logits


def _from_scale(values: FloatArray, scale: Scale) -> FloatArray:
    fractions: FloatArray = np.clip(values, 0.0, 1.0) if scale == "fraction" else expit(values)
    return fractions


def _scale_slope(fractions: FloatArray, scale: Scale) -> FloatArray:
    """By how much a small difference of fractions is larger on the scale, shape ``(n,)``."""
    if scale == "fraction":
        return np.ones_like(fractions)
    inside = np.clip(fractions, _EDGE, 1.0 - _EDGE)
    return np.asarray(1.0 / (inside * (1.0 - inside)))


def _own_noise(values: FloatArray, images: IntArray | None, scale: Scale) -> FloatArray:
    """The variance on the scale of what in each reading's noise is its own, shape ``(n,)``."""
    if images is None:
        return np.zeros(len(values))
    smoothed = (values * images + 0.5) / (images + 1.0)
    own: FloatArray = (1.0 - SHARED_SHARE) * binomial_variance(values, images) * _scale_slope(smoothed, scale) ** 2
    return own


def _losses(scale: Scale, truth: FloatArray, predicted: FloatArray) -> FloatArray:
    """Absolute errors as fractions, of values on a scale."""
    return np.asarray(np.abs(_from_scale(truth, scale) - _from_scale(predicted, scale)))


def _error(validation: CrossValidation, form: Estimator, scale: Scale) -> float:
    """A form's cross-validated mean absolute error as a fraction."""
    ran = validation.run(form)
    assert ran is not None  # nothing ends it early
    return float(_losses(scale, validation.target.values, ran[0]).mean())


def _reading_quantile(left_out: LooResiduals) -> float:
    return conformal_quantile(left_out.residuals / left_out.std)


def _architectures(space: SearchSpace, canonical: IntArray) -> IntArray | None:
    """A number per architecture, whatever its policy, shape ``(n,)``; None if there are too few to hold out."""
    _, groups = np.unique(space.unquantized(canonical), axis=0, return_inverse=True)
    return groups.ravel().astype(np.int64) if groups.max() + 1 >= MIN_SAMPLES else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AccuracyPredictor:
    """An immutable fitted predictor; build one with :meth:`fit` or :meth:`load`.

    ``held_out`` comes from cross-validation; values are fractions from 0 to 1. ``genotypes``
    (canonical, shape ``(n, genes)``) are the training samples, ``out_of_fold`` (shape ``(n,)``, in the
    predictor's scale) what models said of them that had seen no form of their architecture,
    ``out_of_fold_std`` how uncertain that is, and ``out_of_fold_change`` (fractions) what those
    models say that each sample's policy changes. ``images`` is the typical number of images of a
    reading, 0 where readings are taken for exact.
    """

    space: SearchSpace
    choice: Choice
    scale: Scale
    held_out: AccuracyMetrics
    data_sha256: str
    genotypes: IntArray
    images: float
    out_of_fold: FloatArray
    out_of_fold_std: FloatArray
    out_of_fold_change: FloatArray
    _extractor: FeatureExtractor
    _model: FittedModel
    _quantile: float
    _range: TrainedRange

    @classmethod
    @single_threaded
    def fit(
        cls,
        space: SearchSpace,
        genotypes: IntArray,
        accuracy: FloatArray,
        *,
        seed: int,
        images: IntArray | None = None,
    ) -> "AccuracyPredictor":
        """Fits to readings of accuracy (fractions) of shape ``(n,)``; deterministic.

        Args:
            space: The search space.
            genotypes: The networks that were read, shape ``(n, genes)``.
            accuracy: Their readings.
            seed: Of folds and trees.
            images: How many images each was read on, shape ``(n,)``; default: readings are exact.

        Raises:
            UnfitDataError: for samples that nothing can be learned from, or numbers of images
                that are none.
            InvalidGenotypeError: if the genotypes are not of the space.
        """
        canonical, values = checked_samples(space, genotypes, accuracy, what="accuracy", low=0.0, high=1.0)
        counts = None if images is None else checked_images(images, len(values))
        extractor = FeatureExtractor(space)
        features = extractor.encode_parts(canonical)
        pool = _pool(bool(quantized_rows(features).any()))
        validations = {
            scale: CrossValidation(
                features,
                Readings(values=_to_scale(values, scale), noise=_own_noise(values, counts, scale)),
                seed,
                _architectures(space, canonical),
            )
            for scale in _SCALES
        }
        scale = min(_SCALES, key=lambda scale: _error(validations[scale], pool[0], scale))
        selected = select(
            pool,
            _TREES,
            validations[scale],
            losses=partial(_losses, scale),
            error_unit=f"mean absolute error (fitted as {scale})",
        )
        residuals = _to_scale(values, scale) - selected.out_of_fold
        noise = validations[scale].target.noise
        quantile = true_value_quantile(residuals, selected.out_of_fold_std, noise)
        half_width = conformal_quantile(residuals / selected.out_of_fold_std) * selected.out_of_fold_std
        coverage_pct = held_out_coverage_pct(selected.folds, _reading_quantile)
        held_out = AccuracyMetrics.of(values, _prediction(selected.out_of_fold, half_width, scale))
        plain = selected.predict_out_of_fold(replace(features, policy=np.zeros_like(features.policy)))
        return cls(
            space=space,
            choice=selected.choice,
            scale=scale,
            held_out=held_out.with_coverage_pct(coverage_pct),
            data_sha256=data_hash(canonical, values),
            genotypes=canonical,
            images=0.0 if counts is None else float(1.0 / np.mean(1.0 / counts)),
            out_of_fold=selected.out_of_fold,
            out_of_fold_std=selected.out_of_fold_std,
            out_of_fold_change=_from_scale(selected.out_of_fold, scale) - _from_scale(plain, scale),
            _extractor=extractor,
            _model=selected.fitted,
            _quantile=quantile,
            _range=TrainedRange.from_facts(extractor.facts(canonical)),
        )

    @single_threaded
    def predict(self, genotypes: IntArray) -> Prediction:
        """Fractions with 90 % intervals for genotypes of shape ``(n, genes)``.

        The intervals are of the true accuracy where the predictor knows its readings' noise.

        Raises:
            InvalidGenotypeError: if the genotypes are not of the predictor's space.
        """
        canonical = self.space.canonicalize(self.space.validate(genotypes))
        features = self._extractor.encode_parts(canonical)
        value, std = self._model.predict_with_std(features)
        return self._with_interval(value, std)

    def cross_validated(self) -> Prediction:
        """Predictions of each training sample by models that had not seen its architecture in any precision.

        Returns:
            Fractions with 90 % intervals as of :meth:`predict`, in the order of ``genotypes``: the
            belief in a sample's accuracy before it was read.
        """
        return self._with_interval(self.out_of_fold, self.out_of_fold_std)

    def cross_validated_change(self, genotypes: IntArray) -> FloatArray:
        """Predicted effect of policies on accuracy (a fraction), by models that had not seen the candidates.

        Args:
            genotypes: Canonical, shape ``(n, genes)``.

        Returns:
            Shape ``(n,)``: out-of-fold for training samples, predicted for all others.
        """
        plain = self.space.unquantized(genotypes)
        change = self.predict(genotypes).value - self.predict(plain).value
        seen = {row.tobytes(): float(value) for row, value in zip(self.genotypes, self.out_of_fold_change, strict=True)}
        for row, genotype in enumerate(genotypes):
            change[row] = seen.get(genotype.tobytes(), change[row])
        return change

    def _with_interval(self, value: FloatArray, std: FloatArray) -> Prediction:
        """Values and standard deviations on the predictor's scale as fractions with 90 % intervals."""
        half_width = self._quantile * std
        if self.images:
            fractions = _from_scale(value, self.scale)
            shared = SHARED_SHARE * binomial_variance(fractions, np.full(len(value), self.images))
            half_width = np.hypot(half_width, Z90 * np.sqrt(shared) * _scale_slope(fractions, self.scale))
        return _prediction(value, half_width, self.scale)

    def outside(self, genotypes: IntArray) -> BoolArray:
        """Which candidates lie outside what the predictor was trained on, or cannot be built; shape ``(n,)``."""
        canonical = self.space.canonicalize(self.space.validate(genotypes))
        return self._range.outside(self._extractor.facts(canonical)) | ~self.space.connected(canonical)

    def save(self, folder: Path) -> None:
        """Writes this revision into a new folder.

        Raises:
            RevisionError: if the folder exists.
        """
        revision = Revision(
            kind=KIND,
            document={
                "data_sha256": self.data_sha256,
                "choice": self.choice.as_json(),
                "held_out": self.held_out.as_json(),
                "quantile": self._quantile,
                "scale": self.scale,
                "images": self.images,
            },
            model=self._model.state(),
            arrays={
                **self._range.arrays(),
                "genotypes": self.genotypes.astype(np.float64),
                "out_of_fold": self.out_of_fold,
                "out_of_fold_std": self.out_of_fold_std,
                "out_of_fold_change": self.out_of_fold_change,
            },
        )
        save_revision(folder, revision, self.space)

    @classmethod
    def load(cls, folder: Path, space: SearchSpace) -> "AccuracyPredictor":
        """Reads a revision.

        Raises:
            RevisionError: if it is damaged or of another kind, space or feature schema.
        """
        revision = load_revision(folder, KIND, space)
        with whole_revision(folder):
            document = revision.document
            choice = Choice.from_json(document["choice"])
            has_policy = any(score.form.endswith("+correction") for score in choice.scores)
            return cls(
                space=space,
                choice=choice,
                scale=document["scale"],
                held_out=AccuracyMetrics(**document["held_out"]),
                data_sha256=document["data_sha256"],
                genotypes=revision.arrays["genotypes"].astype(np.int64),
                images=float(document["images"]),
                out_of_fold=revision.arrays["out_of_fold"],
                out_of_fold_std=revision.arrays["out_of_fold_std"],
                out_of_fold_change=revision.arrays["out_of_fold_change"],
                _extractor=FeatureExtractor(space),
                _model=restore_estimator(choice.form, _pool(has_policy), _TREES).restore(revision.model),
                _quantile=float(document["quantile"]),
                _range=TrainedRange.from_arrays(revision.arrays),
            )


def _prediction(value: FloatArray, half_width: FloatArray, scale: Scale) -> Prediction:
    return Prediction(
        value=_from_scale(value, scale),
        low=_from_scale(value - half_width, scale),
        high=_from_scale(value + half_width, scale),
    )
