"""Forms made of forms: a second model on what a first leaves over, and the mean of several."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictors.features import Features
from predictors.regression import Fitted, Form, LeftOut, ModelState, Readings, fit_reusing

FloatArray = NDArray[np.float64]

_SMALLEST = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedResidual:
    """A base and a model of its left-out residuals."""

    form: "ResidualForm"
    base: Fitted
    residual: Fitted

    @property
    def left_out(self) -> LeftOut:
        """The residual model's, since it was fitted to the base's."""
        return self.residual.left_out

    def predict(self, features: Features) -> FloatArray:
        """Both models' sum, shape ``(n,)``."""
        return self.base.predict(features) + self.residual.predict(features)

    def spread(self, features: Features) -> FloatArray:
        """The residual model's."""
        return self.residual.spread(features)

    def predict_with_spread(self, features: Features) -> tuple[FloatArray, FloatArray]:
        """Both models' sum and the residual model's spread."""
        residual, spread = self.residual.predict_with_spread(features)
        return self.base.predict(features) + residual, spread

    def state(self) -> ModelState:
        """Both models' states."""
        return ModelState(form=self.form.name, parts={"base": self.base.state(), "residual": self.residual.state()})


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualForm:
    """Fits a :class:`FittedResidual`."""

    name: str
    base: Form
    residual: Form
    min_samples: int = 4

    @property
    def parts(self) -> tuple[Form, ...]:
        """The base."""
        return (self.base,)

    def fit(self, features: Features, target: Readings, seed: int) -> Fitted:
        """Fits the base, then the residual."""
        return self.fit_on((self.base.fit(features, target, seed),), features, target, seed)

    def fit_on(self, parts: Sequence[Fitted], features: Features, target: Readings, seed: int) -> Fitted:
        """Fits the residual of a base that was fitted to the same samples."""
        residual = self.residual.fit(features, target.replaced(parts[0].left_out.residuals), seed)
        return FittedResidual(form=self, base=parts[0], residual=residual)

    def restore(self, state: ModelState) -> Fitted:
        """Both models of a saved state."""
        return FittedResidual(
            form=self,
            base=self.base.restore(state.parts["base"]),
            residual=self.residual.restore(state.parts["residual"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedBlend:
    """The weighted mean of several models."""

    form: "BlendForm"
    members: tuple[Fitted, ...]
    weights: FloatArray

    @property
    def left_out(self) -> LeftOut:
        """The members' weighted means."""
        return LeftOut(
            residuals=self.weights @ np.stack([member.left_out.residuals for member in self.members]),
            spread=self.weights @ np.stack([member.left_out.spread for member in self.members]),
        )

    def predict(self, features: Features) -> FloatArray:
        """The members' weighted mean, shape ``(n,)``."""
        return self.weights @ np.stack([member.predict(features) for member in self.members])

    def spread(self, features: Features) -> FloatArray:
        """The members' weighted mean."""
        return self.weights @ np.stack([member.spread(features) for member in self.members])

    def predict_with_spread(self, features: Features) -> tuple[FloatArray, FloatArray]:
        """The members' weighted means."""
        values, spreads = zip(*(member.predict_with_spread(features) for member in self.members), strict=True)
        return self.weights @ np.stack(values), self.weights @ np.stack(spreads)

    def state(self) -> ModelState:
        """The members' states."""
        return ModelState(
            form=self.form.name,
            arrays={"weights": self.weights},
            parts={f"member_{n}": member.state() for n, member in enumerate(self.members)},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BlendForm:
    """Fits a :class:`FittedBlend`: models that err differently err less together.

    A member weighs as a power of its mean absolute left-out residual; ``sharpness`` 0
    gives all the same weight.
    """

    name: str
    parts: tuple[Form, ...]
    sharpness: float = 0.0
    min_samples: int = 4

    def fit(self, features: Features, target: Readings, seed: int) -> Fitted:
        """Fits every member."""
        return fit_reusing(self, {}, features, target, seed)

    def fit_on(self, parts: Sequence[Fitted], features: Features, target: Readings, seed: int) -> Fitted:  # noqa: ARG002 - nothing is left to fit
        """Joins members that were fitted to the same samples."""
        errors = np.array([float(np.mean(np.abs(part.left_out.residuals))) for part in parts]) + _SMALLEST
        weights = (errors.min() / errors) ** self.sharpness
        return FittedBlend(form=self, members=tuple(parts), weights=weights / weights.sum())

    def restore(self, state: ModelState) -> Fitted:
        """The members of a saved state."""
        members = (part.restore(state.parts[f"member_{number}"]) for number, part in enumerate(self.parts))
        return FittedBlend(form=self, members=tuple(members), weights=state.arrays["weights"])
