"""Selection of an estimator by cross-validation, with the reasons."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from predictors.boosting import BoostingEstimator, TreeSettings
from predictors.features import Features
from predictors.metrics import typical_error
from predictors.regression import Estimator, FittedModel, LooResiduals, Readings, fit_reusing
from search_spaces.space import IntArray

FloatArray = NDArray[np.float64]
_STANDARD_ERRORS: Final = 2.0
_EXTRA_WHERE_FEW: Final = 10.0
_RACED_SAMPLES: Final = 6
"""Held-out samples after which trees, which cost the most, may be dropped (Maron and Moore 1994)."""

Losses = Callable[[FloatArray, FloatArray], FloatArray]
"""Truth and prediction, both in the target's scale, to each sample's loss."""
Hopeless = Callable[[FloatArray, IntArray], bool]
"""Predictions, shape ``(n,)``, and the rows that they are there for, to whether to go no further."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormScore:
    """One estimator's cross-validated error, or why it was not tried."""

    form: str
    error: float | None
    skipped: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The chosen estimator and what it was compared with.

    ``error_unit`` says what the scores' ``error`` is.
    """

    form: str
    scores: tuple[FormScore, ...]
    folds: int
    samples: int
    error_unit: str

    @property
    def error(self) -> float:
        """The chosen estimator's cross-validated error."""
        return next(score.error for score in self.scores if score.form == self.form and score.error is not None)

    @property
    def reasons(self) -> tuple[str, ...]:
        """One sentence per estimator that was considered."""
        lines = []
        for score in sorted(self.scores, key=lambda s: np.inf if s.error is None else s.error):
            if score.error is None:
                lines.append(f"{score.form} was not tried: {score.skipped}")
            else:
                mark = " (chosen)" if score.form == self.form else ""
                lines.append(f"{score.form}{mark}: {self.error_unit} {score.error:.4g} over {self.folds} folds")
        return tuple(lines)

    def as_json(self) -> dict[str, object]:
        """The fields as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, object]) -> "Choice":
        """The choice that :meth:`as_json` gave."""
        fields = dict(document)
        scores = fields.pop("scores")
        return cls(scores=tuple(FormScore(**score) for score in scores), **fields)  # type: ignore[attr-defined, arg-type]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Selected:
    """The chosen estimator fitted to all samples, with out-of-fold predictions, shape ``(n,)``.

    Each fold is predicted by the estimator that the other folds' samples choose, so that the
    choice does not flatter the error. Standard deviations of different estimators are in units of the chosen one's.
    """

    choice: Choice
    fitted: FittedModel
    out_of_fold: FloatArray
    out_of_fold_std: FloatArray
    folds: tuple["HeldOutFold", ...]

    def predict_out_of_fold(self, features: Features) -> FloatArray:
        """Predictions by models that had not seen a row's sample, of other features of the same samples."""
        values = np.zeros(len(features))
        for fold in self.folds:
            values[fold.rows] = fold.fitted.predict(features.take(fold.rows))
        return values


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldOutFold:
    """One fold, predicted by a model that was fitted and chosen without it.

    ``rows`` are the fold's, ``fitted`` the model of all other samples, ``residuals`` its errors on the
    fold and ``std`` how uncertain it was, shape ``(rows,)``; ``others`` are the other samples'
    residuals, each left out of that model in turn, to draw an interval from.
    """

    rows: IntArray
    fitted: FittedModel
    residuals: FloatArray
    std: FloatArray
    others: LooResiduals


def fold_rows(groups: IntArray, seed: int) -> list[IntArray]:
    """Seeded folds of row numbers: 10 up to 60 samples, 5 beyond; rows of one group share a fold.

    Folds hold equal numbers of groups as far as they can; there are never more folds than groups.

    Args:
        groups: Each row's group, shape ``(n,)``.
        seed: Of the groups' order.
    """
    names, member = np.unique(groups, return_inverse=True)
    folds = min(len(names), 10 if len(groups) <= 60 else 5)
    order = np.random.default_rng(seed).permutation(len(names))
    return [np.flatnonzero(np.isin(member, part)).astype(np.int64) for part in np.array_split(order, folds)]


class CrossValidation:
    """Fits estimators on the folds' complements; keeps the fits for residuals on top."""

    def __init__(self, features: Features, target: Readings, seed: int, groups: IntArray | None = None) -> None:
        """Rows of one of the ``groups`` (shape ``(n,)``; default: each row its own) share a fold."""
        self.features = features
        self.target = target
        self.seed = seed
        self.folds = fold_rows(np.arange(len(target)) if groups is None else groups, seed)
        self._fits: list[dict[str, FittedModel]] = [{} for _ in self.folds]

    def _complement(self, fold: IntArray) -> IntArray:
        return np.setdiff1d(np.arange(len(self.target)), fold)

    def run(self, form: Estimator, hopeless: "Hopeless | None" = None) -> tuple[FloatArray, FloatArray] | None:
        """Out-of-fold predictions and their std, shape ``(n,)``; None once the first folds' are ``hopeless``."""
        values, stds = np.zeros(len(self.target)), np.ones(len(self.target))
        for number, (fold, known) in enumerate(zip(self.folds, self._fits, strict=True)):
            if hopeless is not None and number and hopeless(values, np.concatenate(self.folds[:number])):
                return None
            rows = self._complement(fold)
            fitted = fit_reusing(form, known, self.features.take(rows), self.target.take(rows), self.seed)
            held_out = self.features.take(fold)
            values[fold], stds[fold] = fitted.predict_with_std(held_out)
        return values, stds

    def held_out(self, number: int, tried: "_Tried", scale: float) -> HeldOutFold:
        """A fold as an estimator that ran sees it, its standard deviations multiplied by ``scale``."""
        rows, complement = self.folds[number], self._complement(self.folds[number])
        fitted = self._fits[number][tried.form.name]
        residuals = self.target.values - tried.values
        if isinstance(tried.form, BoostingEstimator):  # trees have no left-out residuals of their own
            others = LooResiduals(residuals=residuals[complement], std=tried.stds[complement] * scale)
        else:
            others = LooResiduals(residuals=fitted.loo.residuals, std=fitted.loo.std * scale)
        return HeldOutFold(
            rows=rows, fitted=fitted, residuals=residuals[rows], std=tried.stds[rows] * scale, others=others
        )


def select(
    bases: Sequence[Estimator],
    trees: TreeSettings,
    validation: CrossValidation,
    *,
    losses: Losses,
    error_unit: str,
) -> Selected:
    """Compares the bases, then trees on the best base's residual, and fits the winner to all.

    The first base is preferred; another is chosen where its mean loss
    is lower by more than two standard errors of the samples' paired differences (three at
    ten samples), so that chance does not choose where samples are few. An estimator that needs more samples than
    there are is skipped, and so are trees that are far behind on the first folds; both are recorded.
    """
    target = validation.target
    smallest_fold_fit = len(target) - max(len(fold) for fold in validation.folds)
    tried: dict[str, _Tried] = {}
    skipped: list[FormScore] = []

    def consider(form: Estimator) -> None:
        if smallest_fold_fit < form.min_samples and tried:
            reason = f"it needs {form.min_samples} samples a fit, and a fold leaves {smallest_fold_fit}"
            skipped.append(FormScore(form=form.name, error=None, skipped=reason))
            return
        ran = validation.run(form, hopeless if isinstance(form, BoostingEstimator) and tried else None)
        if ran is None:
            reason = "it was far behind on the first folds"
            skipped.append(FormScore(form=form.name, error=None, skipped=reason))
            return
        tried[form.name] = _Tried(form, *ran, losses(target.values, ran[0]))

    def hopeless(values: FloatArray, rows: IntArray) -> bool:
        best = min(tried.values(), key=lambda entry: entry.error).losses[rows]
        behind = losses(target.values, values)[rows] - best
        sure = _STANDARD_ERRORS + _EXTRA_WHERE_FEW / len(rows)
        return len(rows) >= _RACED_SAMPLES and behind.mean() > sure * behind.std() / np.sqrt(len(rows))

    for form in bases:
        consider(form)
    smooth = [entry for entry in tried.values() if not isinstance(entry.form, BoostingEstimator)]
    base = min(smooth, key=lambda entry: entry.error).form
    on_best = BoostingEstimator(name=f"{base.name}+trees", base=base, trees=trees)
    if all(form.name != on_best.name for form in bases):
        consider(on_best)
    entries = list(tried.values())
    chosen = _choose(entries, np.arange(len(target)))
    folds = []
    for number, rows in enumerate(validation.folds):
        entry = _choose(entries, np.setdiff1d(np.arange(len(target)), rows))
        folds.append(
            validation.held_out(number, entry, entry.errors_in_std(target.values) / chosen.errors_in_std(target.values))
        )
    values, stds = target.values.copy(), np.ones(len(target))
    for fold in folds:
        values[fold.rows] -= fold.residuals
        stds[fold.rows] = fold.std
    return Selected(
        choice=Choice(
            form=chosen.form.name,
            scores=(*(FormScore(form=name, error=entry.error) for name, entry in tried.items()), *skipped),
            folds=len(validation.folds),
            samples=len(target),
            error_unit=error_unit,
        ),
        fitted=chosen.form.fit(validation.features, target, validation.seed),
        out_of_fold=values,
        out_of_fold_std=stds,
        folds=tuple(folds),
    )


class _Tried(NamedTuple):
    form: Estimator
    values: FloatArray
    stds: FloatArray
    losses: FloatArray

    @property
    def error(self) -> float:
        return float(self.losses.mean())

    def errors_in_std(self, truth: FloatArray) -> float:
        """The estimator's typical error in units of its own standard deviation."""
        return typical_error((truth - self.values) / self.stds)


def _choose(tried: Sequence[_Tried], rows: IntArray) -> _Tried:
    """The least error on some rows, but the first unless it is beaten by clearly more than chance explains."""
    first, best = tried[0], min(tried, key=lambda entry: float(entry.losses[rows].mean()))
    gains = (first.losses - best.losses)[rows]
    wanted = _STANDARD_ERRORS + _EXTRA_WHERE_FEW / len(gains)
    return best if gains.mean() > wanted * gains.std() / np.sqrt(len(gains)) else first


def restore_estimator(name: str, bases: Sequence[Estimator], trees: TreeSettings) -> Estimator:
    """The estimator of a recorded name.

    Raises:
        KeyError: if the pool has no such estimator.
    """
    forms = {form.name: form for form in bases}
    if name in forms:
        return forms[name]
    base, _, suffix = name.rpartition("+")
    if suffix != "trees":
        raise KeyError(name)
    return BoostingEstimator(name=name, base=forms[base], trees=trees)
