"""Benchmark: whether a search's limits hold when its front is measured again.

Searches with random limits on p95 latency and accuracy run on one supernet and device.
Every member of every front is then timed again, in a new session, and compared with the
limits of its search; its accuracy on the test images is compared with the accuracy limit.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from nas.fronts.front import Front
from nas.measuring.context import SearchContext
from nas.metrics import Constraints, columns
from nas.search.outcome import Outcome
from nas.workflows.evaluating import measure_design
from nas.workflows.front_search import InfeasibleError, search_front, verify_finished
from nas.workflows.searching import SearchTask
from search_spaces.errors import NasError
from search_spaces.space import IntArray

_SEED_OFFSET: Final = 2_000_003
_LATENCY_SHARES: Final = (0.15, 0.9)
"""Range of a latency limit between the fastest and the slowest designed network, of the log p95."""
_ACCURACY_SHARES: Final = (0.3, 0.9)
"""Range of an accuracy limit between the least and the most accurate designed network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsRow:
    """One search with limits, measured again."""

    device: str
    seed: int
    max_latency_p95_ms: float
    min_accuracy: float | None
    members: int
    """0 where no network keeps the limits, which the search said."""
    latency_held: int
    """Members whose p95 kept the limit in the new session."""
    accuracy_held: int
    """Members whose test accuracy kept the limit; all members if there is no limit."""

    def as_json(self) -> dict[str, Any]:
        """The row as it is written."""
        return asdict(self)


def benchmark_limits(
    context: SearchContext, searches: int, evaluations: int, finish_epochs: float | None = None
) -> list[LimitsRow]:
    """Runs ``searches`` searches with random limits; every second one limits accuracy, too.

    Raises:
        NasError: if a search fails for another reason than its limits.
    """
    designed = [one for one in measure_design(context).outcomes if one.succeeded]
    if not designed:
        raise NasError(f"no designed network could be measured on {context.profile.id}; see the messages above.")
    rows = []
    for seed in range(searches):
        limits = random_limits(designed, seed)
        task = SearchTask(
            seed=seed,
            evaluations=evaluations,
            constraints=Constraints.from_limits(limits),
            finish_epochs=finish_epochs,
        )
        try:
            _, front = search_front(context, task)
        except InfeasibleError as error:
            context.progress.say(f"search {seed}: {error}")
            rows.append(_row(context, seed, limits, 0, (0, 0)))
            continue
        rows.append(_row(context, seed, limits, len(front.members), _held(context, task, front, limits)))
    return rows


def random_limits(designed: Sequence[Outcome], seed: int) -> dict[str, float]:
    """Limits inside the range of the designed networks; every second seed limits accuracy, too."""
    rng = np.random.default_rng(_SEED_OFFSET + seed)
    values = columns([outcome.metrics for outcome in designed], ("latency_p95_ms", "accuracy"))
    fastest, slowest = np.log(values["latency_p95_ms"].min()), np.log(values["latency_p95_ms"].max())
    limits = {"max_latency_p95_ms": math.exp(fastest + rng.uniform(*_LATENCY_SHARES) * (slowest - fastest))}
    if seed % 2:
        low, high = float(values["accuracy"].min()), float(values["accuracy"].max())
        limits["min_accuracy"] = low + rng.uniform(*_ACCURACY_SHARES) * (high - low)
    return limits


def _held(context: SearchContext, task: SearchTask, front: Front, limits: dict[str, float]) -> tuple[int, int]:
    """How many members keep the latency limit when timed again, and the accuracy limit on the test images."""
    stored = context.store.candidates.get_many(tuple(member.candidate for member in front.members))
    genotypes: IntArray = np.array([one.genotype for one in stored], dtype=np.int64)
    verified = verify_finished(context, genotypes, task.finishing(), ())
    slow = limits["max_latency_p95_ms"]
    latency = sum(one.measurement.latency_p95_ms <= slow for one in verified.values())
    accuracy = sum(one.accuracy_test >= limits.get("min_accuracy", 0.0) for one in verified.values())
    return latency, accuracy


def _row(context: SearchContext, seed: int, limits: dict[str, float], members: int, held: tuple[int, int]) -> LimitsRow:
    return LimitsRow(
        device=context.profile.id,
        seed=seed,
        max_latency_p95_ms=limits["max_latency_p95_ms"],
        min_accuracy=limits.get("min_accuracy"),
        members=members,
        latency_held=held[0],
        accuracy_held=held[1],
    )
