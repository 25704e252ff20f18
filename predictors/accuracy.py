"""The accuracy predictor of one space and data set.

Accuracy (a fraction) is predicted as it is or as a logit, by a Gaussian process, a
ridge, boosted trees or trees on the residual of the best of these, whichever
cross-validation on the samples speaks for. Where a space has a quantization policy the
architecture and the policy are separate features, and a base of unquantized networks
with a correction on top is in the pool.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from predictors.boosting import BoostingForm, TreeSettings
from predictors.features import FeatureExtractor
from predictors.gaussian_process import GaussianProcessForm, Term
from predictors.intervals import conformal_quantile, left_out_coverage_pct
from predictors.metrics import AccuracyMetrics
from predictors.prediction import Prediction
from predictors.regression import Fitted, Form
from predictors.revision import Revision, data_hash, load_revision, save_revision, whole_revision
from predictors.ridge import RidgeForm
from predictors.samples import checked_samples
from predictors.selection import Choice, Selected, restore_form, select
from predictors.threads import single_threaded
from predictors.trained_range import TrainedRange
from predictors.transfer import TransferForm, quantized_rows
from search_spaces.space import BoolArray, IntArray, SearchSpace

FloatArray = NDArray[np.float64]
Scale = Literal["fraction", "logit"]

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


def _pool(has_policy: bool) -> tuple[Form, ...]:
    terms = (*_ARCHITECTURE, *_POLICY) if has_policy else _ARCHITECTURE
    common: tuple[Form, ...] = (
        GaussianProcessForm(name="gaussian_process", terms=terms),
        RidgeForm(),
        BoostingForm(name="trees", trees=_ALONE),
    )
    plain = GaussianProcessForm(name="gaussian_process", terms=_ARCHITECTURE)
    return (*common, TransferForm(base=plain), TransferForm(base=RidgeForm())) if has_policy else common


def _to_scale(values: FloatArray, scale: Scale) -> FloatArray:
    if scale == "fraction":
        return values
    logits: FloatArray = logit(np.clip(values, _EDGE, 1.0 - _EDGE))
    return logits


def _from_scale(values: FloatArray, scale: Scale) -> FloatArray:
    fractions: FloatArray = np.clip(values, 0.0, 1.0) if scale == "fraction" else expit(values)
    return fractions


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AccuracyPredictor:
    """An immutable fitted predictor; build one with :meth:`fit` or :meth:`load`.

    ``held_out`` comes from cross-validation; values are fractions from 0 to 1.
    """

    space: SearchSpace
    choice: Choice
    scale: Scale
    held_out: AccuracyMetrics
    data_sha256: str
    _extractor: FeatureExtractor
    _model: Fitted
    _quantile: float
    _range: TrainedRange

    @classmethod
    @single_threaded
    def fit(cls, space: SearchSpace, genotypes: IntArray, accuracy: FloatArray, *, seed: int) -> "AccuracyPredictor":
        """Fits to accuracies (fractions) of shape ``(n,)``; deterministic.

        Raises:
            UnfitDataError: for samples that nothing can be learned from.
            InvalidGenotypeError: where the genotypes are not of the space.
        """
        canonical, values = checked_samples(space, genotypes, accuracy, what="accuracy", low=0.0, high=1.0)
        extractor = FeatureExtractor(space)
        features = extractor.of_parts(canonical)
        pool = _pool(bool(quantized_rows(features).any()))
        best: tuple[float, Scale, Selected] | None = None
        for scale in ("fraction", "logit"):

            def losses(truth: FloatArray, predicted: FloatArray, scale: Scale = scale) -> FloatArray:
                return np.asarray(np.abs(_from_scale(truth, scale) - _from_scale(predicted, scale)))

            target = _to_scale(values, scale)
            selected = select(
                pool,
                _TREES,
                features,
                target,
                seed=seed,
                losses=losses,
                error_unit=f"mean absolute error (fitted as {scale})",
            )
            error = selected.choice.error
            if best is None or error < best[0]:
                best = (error, scale, selected)
        assert best is not None  # two scales were tried
        _, scale, selected = best
        scores = (_to_scale(values, scale) - selected.out_of_fold) / selected.out_of_fold_spread
        quantile = conformal_quantile(scores)
        held_out = _prediction(selected.out_of_fold, quantile * selected.out_of_fold_spread, scale)
        return cls(
            space=space,
            choice=selected.choice,
            scale=scale,
            held_out=AccuracyMetrics.of(values, held_out).with_coverage_pct(left_out_coverage_pct(scores)),
            data_sha256=data_hash(canonical, values),
            _extractor=extractor,
            _model=selected.fitted,
            _quantile=quantile,
            _range=TrainedRange.of(extractor.facts(canonical)),
        )

    @single_threaded
    def predict(self, genotypes: IntArray) -> Prediction:
        """Fractions with 90 % intervals for genotypes of shape ``(n, genes)``.

        Raises:
            InvalidGenotypeError: where the genotypes are not of the predictor's space.
        """
        canonical = self.space.canonicalize(self.space.validate(genotypes))
        features = self._extractor.of_parts(canonical)
        value, spread = self._model.predict_with_spread(features)
        return _prediction(value, self._quantile * spread, self.scale)

    def outside(self, genotypes: IntArray) -> BoolArray:
        """Which candidates lie outside what the predictor was trained on, or cannot be built; shape ``(n,)``."""
        canonical = self.space.canonicalize(self.space.validate(genotypes))
        return self._range.outside(self._extractor.facts(canonical)) | ~self.space.connected(canonical)

    def save(self, folder: Path) -> None:
        """Writes this revision into a new folder.

        Raises:
            RevisionError: where the folder exists.
        """
        revision = Revision(
            kind=KIND,
            document={
                "data_sha256": self.data_sha256,
                "choice": self.choice.as_json(),
                "held_out": self.held_out.as_json(),
                "quantile": self._quantile,
                "scale": self.scale,
            },
            model=self._model.state(),
            arrays=self._range.arrays(),
        )
        save_revision(folder, revision, self.space)

    @classmethod
    def load(cls, folder: Path, space: SearchSpace) -> "AccuracyPredictor":
        """Reads a revision.

        Raises:
            RevisionError: where it is damaged or of another kind, space or feature schema.
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
                _extractor=FeatureExtractor(space),
                _model=restore_form(choice.form, _pool(has_policy), _TREES).restore(revision.model),
                _quantile=float(document["quantile"]),
                _range=TrainedRange.from_arrays(revision.arrays),
            )


def _prediction(value: FloatArray, half_width: FloatArray, scale: Scale) -> Prediction:
    return Prediction(
        value=_from_scale(value, scale),
        low=_from_scale(value - half_width, scale),
        high=_from_scale(value + half_width, scale),
    )
