"""Gaussian-process regression with a sum of kernels over feature blocks.

Each term is a linear or a radial kernel of one block with a variance (and a length
scale) of its own; they are found by maximum a posteriori over the marginal likelihood
(Rasmussen and Williams 2006, chapter 5), with weak log-normal priors that keep a dozen
samples from being explained by one term alone. Leave-one-out residuals have a closed
form (ibid., section 5.4.2).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize
from scipy.linalg import lapack

from predictors.features import Features
from predictors.regression import FittedModel, LooResiduals, ModelState, Readings

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One summand of the kernel: its block, its kind and the prior centre of its variance.

    The variance is relative to that of the target.
    """

    block: Literal["encoding", "facts", "sources", "policy"]
    kind: Literal["linear", "radial"]
    variance: float
    length: float = 1.0


_LOG_VARIANCE_SD = 1.5
_LOG_LENGTH_SD = 0.7
_NOISE = 0.1
_LOG_NOISE_SD = 2.0
_CONSTANT = 1.0
_JITTER = 1e-8
_STD_ROWS = 1000
"""Samples up to which the inverse is kept: beyond, error bars hardly differ between candidates."""


def squared_distances(left: FloatArray, right: FloatArray) -> FloatArray:
    """Pairwise squared Euclidean distances, shape ``(len(left), len(right))``."""
    squares = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1)[None] - 2.0 * left @ right.T
    return np.asarray(np.maximum(squares, 0.0))


def _inverse(factor: FloatArray) -> FloatArray:
    """The inverse of the matrix whose lower Cholesky factor this is; LAPACK itself, without SciPy's checks."""
    lower, _ = lapack.dpotri(factor, lower=True)  # zero above the diagonal, as the factor is
    inverse = lower + lower.T
    inverse[np.diag_indices(len(inverse))] *= 0.5
    return np.asarray(inverse)


def _standardized(target: Readings) -> tuple[Readings, float, float]:
    """Readings with mean 0 and standard deviation 1, and both of what they were."""
    mean = float(target.values.mean())
    scale = float(target.values.std()) or 1.0
    return Readings(values=(target.values - mean) / scale, noise=target.noise / scale**2), mean, scale


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedGaussianProcess:
    """A Gaussian process conditioned on its training samples."""

    estimator: "GaussianProcessEstimator"
    training: tuple[FloatArray, ...]
    log_parameters: FloatArray
    weights: FloatArray
    inverse: FloatArray
    mean: float
    scale: float
    loo: LooResiduals

    def _cross(self, features: Features) -> FloatArray:
        parameters = np.exp(self.log_parameters)
        total = np.full((len(features), len(self.weights)), _CONSTANT)
        position = 0
        for term, rows in zip(self.estimator.terms, self.training, strict=True):
            block = features.block(term.block)
            if term.kind == "linear":
                total += parameters[position] * (block @ rows.T)
                position += 1
            else:
                distances = squared_distances(block, rows)
                total += parameters[position] * np.exp(-0.5 * distances / parameters[position + 1] ** 2)
                position += 2
        return total

    def predict(self, features: Features) -> FloatArray:
        """The posterior mean, shape ``(n,)``."""
        return self._mean(self._cross(features))

    def std(self, features: Features) -> FloatArray:
        """The posterior standard deviation with noise, shape ``(n,)``; ones for very large models."""
        return self._deviation(features, self._cross(features))

    def predict_with_std(self, features: Features) -> tuple[FloatArray, FloatArray]:
        """Both, of covariances that are computed once."""
        cross = self._cross(features)
        return self._mean(cross), self._deviation(features, cross)

    def _mean(self, cross: FloatArray) -> FloatArray:
        values: FloatArray = self.mean + self.scale * (cross @ self.weights)
        return values

    def _deviation(self, features: Features, cross: FloatArray) -> FloatArray:
        if not len(self.inverse):
            return np.ones(len(features))
        explained = np.einsum("ij,ij->i", cross @ self.inverse, cross)
        parameters = np.exp(self.log_parameters)
        prior = np.full(len(features), _CONSTANT)
        position = 0
        for term in self.estimator.terms:
            if term.kind == "linear":
                prior += parameters[position] * (features.block(term.block) ** 2).sum(axis=1)
                position += 1
            else:
                prior += parameters[position]
                position += 2
        deviation: FloatArray = self.scale * np.sqrt(np.maximum(prior - explained, 0.0) + parameters[-1])
        return deviation

    def state(self) -> ModelState:
        """Training rows, kernel parameters and the solved weights."""
        return ModelState(
            form=self.estimator.name,
            settings={"mean": self.mean, "scale": self.scale},
            arrays={
                "log_parameters": self.log_parameters,
                "weights": self.weights,
                "inverse": self.inverse,
                **{f"rows_{number}": rows for number, rows in enumerate(self.training)},
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GaussianProcessEstimator:
    """Fits a :class:`FittedGaussianProcess`.

    Above ``search_rows`` samples the kernel parameters are sought on a seeded subset.
    """

    name: str
    terms: tuple[Term, ...]
    min_samples: int = 4
    search_rows: int = 400
    iterations: int = 40

    def fit(self, features: Features, target: Readings, seed: int) -> FittedModel:
        """Finds kernel parameters and conditions on all samples."""
        scaled, _, _ = _standardized(target)
        subset = np.arange(len(target))
        if len(subset) > self.search_rows:
            subset = np.random.default_rng(seed).choice(len(target), self.search_rows, replace=False)
        log_parameters = self._search(features.take(subset), scaled.take(subset))
        return self.condition(features, target, log_parameters)

    def condition(self, features: Features, target: Readings, log_parameters: FloatArray) -> "FittedGaussianProcess":
        """The process with given kernel parameters conditioned on samples."""
        scaled, mean, scale = _standardized(target)
        parameters = np.exp(log_parameters)
        shares = (share for share, _ in self._parts(self._inner(features), parameters))
        kernel = self._kernel(shares, scaled.noise + parameters[-1])
        inverse = linalg.inv(kernel, check_finite=False)
        weights = inverse @ scaled.values
        precision = np.diag(inverse)
        keeps_inverse = len(target) <= _STD_ROWS
        residuals = scale * weights / precision
        return FittedGaussianProcess(
            estimator=self,
            training=tuple(features.block(term.block) for term in self.terms),
            log_parameters=log_parameters,
            weights=weights,
            inverse=inverse if keeps_inverse else np.zeros((0, 0)),
            mean=mean,
            scale=scale,
            loo=LooResiduals(residuals=residuals, std=scale * np.sqrt(1.0 / precision - scaled.noise))
            if keeps_inverse
            else LooResiduals.even(residuals),
        )

    def restore(self, state: ModelState) -> FittedModel:
        """The process of a saved state."""
        return FittedGaussianProcess(
            estimator=self,
            training=tuple(state.arrays[f"rows_{number}"] for number in range(len(self.terms))),
            log_parameters=state.arrays["log_parameters"],
            weights=state.arrays["weights"],
            inverse=state.arrays["inverse"],
            mean=float(state.settings["mean"]),
            scale=float(state.settings["scale"]),
            loo=LooResiduals.forgotten(),
        )

    # --- kernel parameters ---------------------------------------------------------

    def _inner(self, features: Features) -> list[FloatArray]:
        """A linear term's inner products, a radial term's squared distances."""
        inner = []
        for term in self.terms:
            block = features.block(term.block)
            inner.append(block @ block.T if term.kind == "linear" else squared_distances(block, block))
        return inner

    def _parts(self, inner: list[FloatArray], parameters: FloatArray) -> Iterator[tuple[FloatArray, FloatArray | None]]:
        """Each term's share of the kernel; a radial one's with its squared distances in lengths."""
        position = 0
        for term, matrix in zip(self.terms, inner, strict=True):
            if term.kind == "linear":
                yield parameters[position] * matrix, None
                position += 1
            else:
                scaled = matrix / parameters[position + 1] ** 2
                yield parameters[position] * np.exp(-0.5 * scaled), scaled
                position += 2

    @staticmethod
    def _kernel(shares: Iterable[FloatArray], noise: FloatArray) -> FloatArray:
        """The kernel matrix with noise variances of shape ``(n,)``, shape ``(n, n)``."""
        size = len(noise)
        total = np.full((size, size), _CONSTANT)
        for share in shares:
            total += share
        total[np.diag_indices(size)] += noise + _JITTER
        return total

    def _prior(self) -> tuple[FloatArray, FloatArray]:
        """Centres and standard deviations of the log parameters."""
        centres: list[float] = []
        deviations: list[float] = []
        for term in self.terms:
            centres.append(np.log(term.variance))
            deviations.append(_LOG_VARIANCE_SD)
            if term.kind == "radial":
                centres.append(np.log(term.length))
                deviations.append(_LOG_LENGTH_SD)
        return np.array([*centres, np.log(_NOISE)]), np.array([*deviations, _LOG_NOISE_SD])

    def _search(self, features: Features, target: Readings) -> FloatArray:
        inner = self._inner(features)
        centre, deviation = self._prior()

        def objective(log_parameters: FloatArray) -> tuple[float, FloatArray]:
            parameters = np.exp(log_parameters)
            parts = list(self._parts(inner, parameters))
            kernel = self._kernel((share for share, _ in parts), target.noise + parameters[-1])
            factor, failed = lapack.dpotrf(kernel, lower=True, overwrite_a=True)
            if failed:
                return 1e10, np.zeros_like(log_parameters)
            inverse = _inverse(factor)
            weights = inverse @ target.values
            pull = (log_parameters - centre) / deviation
            value = 0.5 * target.values @ weights + np.log(np.diag(factor)).sum() + 0.5 * pull @ pull
            sensitivity = inverse - np.outer(weights, weights)
            slopes: list[float] = []
            for share, distances in parts:
                slopes.append(float(np.vdot(sensitivity, share)))
                if distances is not None:
                    slopes.append(float(np.vdot(sensitivity, share * distances)))
            slopes.append(float(parameters[-1] * np.trace(sensitivity)))
            return float(value), 0.5 * np.array(slopes) + pull / deviation

        found = optimize.minimize(
            objective,
            centre,
            jac=True,
            method="L-BFGS-B",
            bounds=list(zip(centre - 5 * deviation, centre + 5 * deviation, strict=True)),
            options={"maxiter": self.iterations},
        )
        best: FloatArray = np.asarray(found.x, dtype=np.float64)
        return best
