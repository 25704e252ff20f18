"""Quantization policies of one architecture by integer programming (HAWQ-V3; Yao et al., ICML 2021).

Of all policies that keep a latency limit, the one of least summed sensitivity. A unit's
sensitivity is what it costs to quantize that unit alone; its latency in a precision includes
the conversion from the precision of the unit before, so that latency is a sum over
neighbouring units and the program stays linear.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from predictors.additive import AdditiveEstimator
from predictors.features import FeatureExtractor
from predictors.regression import Readings
from search_spaces.errors import UsageError
from search_spaces.facts import FloatArray
from search_spaces.space import IntArray, SearchSpace

_TIME_LIMIT_S: Final = 20.0
_TOLERANCE: Final = 1e-9
_LIMITS: Final = 16
"""Latency limits per architecture, between its fastest policy and its float form."""

Latencies = Callable[[IntArray], FloatArray]
"""Canonical genotypes, shape ``(n, genes)``, to milliseconds, shape ``(n,)``."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PolicyProgram:
    """The policies of a chain of units, with their sensitivities and latencies.

    Choice 0 of each unit is its float form. Latencies are changes against all units in choice 0.
    """

    sensitivity: FloatArray
    """Of each unit in each choice, shape ``(units, choices)``; infinite where a unit cannot have a choice."""
    unit_ms: FloatArray
    """What a unit alone changes, shape ``(units, choices)``; zero in choice 0."""
    pair_ms: FloatArray
    """What a unit and the one before it change beyond both alone, shape ``(units - 1, choices, choices)``."""

    def __post_init__(self) -> None:
        units, choices = self.sensitivity.shape
        if self.unit_ms.shape != (units, choices) or self.pair_ms.shape != (max(units - 1, 0), choices, choices):
            raise UsageError(
                f"latencies of shape {self.unit_ms.shape} and {self.pair_ms.shape} do not fit {units} units with"
                f" {choices} choices."
            )
        if np.isnan(self.sensitivity).any() or not np.isfinite(self.sensitivity[:, 0]).all():
            raise UsageError("sensitivities of units must be numbers, and finite in float.")
        if not (np.isfinite(self.unit_ms).all() and np.isfinite(self.pair_ms).all()):
            raise UsageError("latencies of units must be finite numbers.")

    def latency_ms(self, policy: IntArray) -> float:
        """The change of latency by a policy of shape ``(units,)``."""
        units = np.arange(len(policy))
        pairs = self.pair_ms[units[:-1], policy[:-1], policy[1:]] if len(policy) > 1 else np.zeros(0)
        return float(self.unit_ms[units, policy].sum() + pairs.sum())

    def loss(self, policy: IntArray) -> float:
        """The summed sensitivity of a policy of shape ``(units,)``."""
        return float(self.sensitivity[np.arange(len(policy)), policy].sum())

    def fastest(self) -> IntArray:
        """The policy of least latency, shape ``(units,)``."""
        found = self._solve(self._latency_costs(), None)
        assert found is not None  # every choice is allowed
        return found

    def least_sensitive(self, limit_ms: float) -> IntArray | None:
        """The policy of least summed sensitivity whose change of latency is ``limit_ms`` at most.

        Returns:
            Choices, shape ``(units,)``; None if no policy keeps the limit.
        """
        finite = np.where(np.isfinite(self.sensitivity), self.sensitivity, 0.0)
        scale = float(np.abs(finite).max()) or 1.0
        costs = np.concatenate([(finite / scale).ravel(), np.zeros(self.pair_ms.size)])
        return self._solve(costs, limit_ms)

    def _latency_costs(self) -> FloatArray:
        return np.concatenate([self.unit_ms.ravel(), self.pair_ms.ravel()])

    def _solve(self, costs: FloatArray, limit_ms: float | None) -> IntArray | None:
        """Variables: each unit's choice (0 or 1), then each neighbouring pair's; pairs follow from choices."""
        units, choices = self.sensitivity.shape
        latency = self._latency_costs()
        constraints = [self._consistency(units, choices)]
        if limit_ms is not None:
            scale = float(np.abs(latency).max()) or 1.0
            constraints.append(LinearConstraint(latency[None] / scale, ub=limit_ms / scale + _TOLERANCE))
        found = milp(
            costs,
            integrality=np.r_[np.ones(units * choices), np.zeros(self.pair_ms.size)],
            bounds=Bounds(0.0, np.r_[np.isfinite(self.sensitivity).ravel().astype(float), np.ones(self.pair_ms.size)]),
            constraints=constraints,
            options={"time_limit": _TIME_LIMIT_S},
        )
        if found.x is None:
            return None
        return np.asarray(found.x[: units * choices].reshape(units, choices).argmax(axis=1), dtype=np.int64)

    @staticmethod
    def _consistency(units: int, choices: int) -> LinearConstraint:
        """Each unit has one choice, and a pair's marginals are its units' choices."""
        singles = units * choices
        rows, wanted = [], []
        for unit in range(units):
            row = np.zeros(singles + max(units - 1, 0) * choices**2)
            row[unit * choices : (unit + 1) * choices] = 1.0
            rows.append(row)
            wanted.append(1.0)
        for pair in range(units - 1):
            place = singles + pair * choices**2 + np.arange(choices**2).reshape(choices, choices)
            for choice in range(choices):
                for unit, members in ((pair, place[choice]), (pair + 1, place[:, choice])):
                    row = np.zeros(singles + (units - 1) * choices**2)
                    row[members] = 1.0
                    row[unit * choices + choice] = -1.0
                    rows.append(row)
                    wanted.append(0.0)
        return LinearConstraint(np.stack(rows), wanted, wanted)


def additive_latencies(space: SearchSpace, genotypes: IntArray, latency_ms: FloatArray) -> Latencies:
    """Latencies as sums of units' costs, fitted to measured networks of shape ``(n, genes)``; deterministic."""
    extractor = FeatureExtractor(space)
    fitted = AdditiveEstimator().fit(extractor.encode(genotypes), Readings.exact(np.log(latency_ms)), seed=0)
    return lambda rows: np.exp(fitted.predict(extractor.encode(rows)))


def policy_program(
    space: SearchSpace, architecture: IntArray, sensitivity: FloatArray, latencies: Latencies, choices: IntArray
) -> PolicyProgram:
    """The program of one architecture.

    Args:
        space: of the architecture.
        architecture: canonical, shape ``(genes,)``.
        sensitivity: of every unit of the space in each precision, shape ``(units, precisions)``.
        latencies: additive in units and neighbouring pairs of units.
        choices: the precisions' indices, the float one first, shape ``(c,)``.
    """
    columns = present_policy_columns(space, architecture)
    base = np.array(architecture, dtype=np.int64)
    base[columns] = choices[0]
    rows, places = [base], []
    for unit, column in enumerate(columns):
        for own in range(1, len(choices)):
            rows.append(_with(base, {column: choices[own]}))
            places.append((unit, -1, own))
            if unit:
                for before in range(1, len(choices)):
                    rows.append(_with(base, {columns[unit - 1]: choices[before], column: choices[own]}))
                    places.append((unit, before, own))
    times = latencies(np.stack(rows))
    unit_ms = np.zeros((len(columns), len(choices)))
    pair_ms = np.zeros((max(len(columns) - 1, 0), len(choices), len(choices)))
    changes = dict(zip(places, times[1:] - times[0], strict=True))
    for (unit, before, own), change in changes.items():
        if before < 0:
            unit_ms[unit, own] = change
    for (unit, before, own), change in changes.items():
        if before > 0:
            pair_ms[unit - 1, before, own] = change - unit_ms[unit - 1, before] - unit_ms[unit, own]
    units = [space.units.index(space.genes[int(column)].name.removesuffix(".precision")) for column in columns]
    return PolicyProgram(sensitivity=sensitivity[units][:, choices], unit_ms=unit_ms, pair_ms=pair_ms)


def present_policy_columns(space: SearchSpace, architecture: IntArray) -> IntArray:
    """Columns of the policy's genes whose units are present, in the order of the units."""
    active = space.active(architecture[None])[0]
    return np.array([column for column in space.policy_columns if active[column]], dtype=np.int64)


def programmed_policies(
    space: SearchSpace, architecture: IntArray, program: PolicyProgram, choices: IntArray
) -> Iterator[IntArray]:
    """Canonical candidates of one architecture, one per latency limit; limits that lie far apart first.

    The first is the fastest policy, the next ones are the least sensitive of those that keep limits
    between its latency and that of the float form. Policies may repeat.
    """
    columns = present_policy_columns(space, architecture)
    fastest_ms = program.latency_ms(program.fastest())
    for share in spread_order(_LIMITS):
        limit_ms = fastest_ms * (1.0 - share / _LIMITS)  # the float form changes nothing
        policy = program.least_sensitive(limit_ms)
        if policy is not None:
            yield space.canonical_row(_with(architecture, dict(zip(columns, choices[policy], strict=True))))


def spread_order(count: int) -> tuple[int, ...]:
    """0 to ``count - 1`` so that each beginning is spread over the whole (van der Corput)."""
    bits = max((count - 1).bit_length(), 1)
    return tuple(sorted(range(count), key=lambda number: (f"{number:0{bits}b}"[::-1], number)))


def _with(genotype: IntArray, values: dict[int, int]) -> IntArray:
    changed = np.array(genotype, dtype=np.int64)
    for column, value in values.items():
        changed[column] = value
    return changed
