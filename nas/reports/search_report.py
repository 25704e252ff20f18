"""The content of a search report, read from the store."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nas.fronts.front import Front
from nas.metrics import METRICS, Objectives, columns
from nas.search.pareto import hypervolume
from nas.store.searches import StoredGeneration, StoredSearch, Trial
from nas.store.store import Store
from search_spaces.facts import FloatArray
from search_spaces.registry import get_space
from search_spaces.space import Choice, SearchSpace


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One search on the same device, supernet and data set, as it went."""

    search: StoredSearch
    method: str
    evaluations: tuple[int, ...]
    """Real evaluations done after each generation."""
    hypervolume: tuple[float, ...]
    """After each generation, as a fraction of the hypervolume of everything that the runs evaluated together."""
    lookups: int | None
    """Float accuracies looked up; None where that was not recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedGene:
    """How alike the front's members are in one gene."""

    name: str
    choice: Choice
    """The most frequent choice of the members in which the gene is active."""
    members: int
    """Members in which the gene is active."""
    share: float
    """Fraction of them with that choice."""
    share_evaluated: float
    """Fraction of all evaluated candidates in which the gene is active with that choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Evaluations that failed for one reason."""

    reason: str
    candidates: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchReport:
    """A search with all that a reader needs to judge it."""

    search: StoredSearch
    data: str
    objectives: Objectives
    front: Front | None
    """None before the search has one."""
    runs: tuple[Run, ...]
    """This search first, then the others on the same device and supernet, newest first."""
    genes: tuple[SharedGene, ...]
    """By falling share; empty without a front of at least two members."""
    failures: tuple[Failure, ...]
    evaluated: tuple[Mapping[str, float], ...]
    """Metrics of every successful evaluation of this search."""


def search_report(store: Store, search_id: str) -> SearchReport:
    """Collects a report.

    Raises:
        NotStoredError: for an unknown search.
    """
    search = store.searches.get(search_id)
    supernet = store.supernets.get(search.supernet_id)
    info = store.fronts.of_search(search.id)
    front = None if info is None else Front.from_bytes(store.fronts.body(info.id))
    objectives = Objectives.from_names(search.settings.get("objectives") or Objectives().names)
    others = [
        other
        for other in store.searches.all(profile_id=search.profile_id)
        if other.supernet_id == search.supernet_id and other.id != search.id
    ]
    journals = {one.id: store.searches.generations(one.id) for one in (search, *others)}
    trials = [trial for generation in journals[search.id] for trial in generation.trials]
    return SearchReport(
        search=search,
        data=supernet.data_name,
        objectives=objectives,
        front=front,
        runs=_runs(store, (search, *others), journals, objectives),
        genes=()
        if front is None
        else _shared_genes(
            get_space(search.space, supernet.task),
            _genotypes(store, front),
            [trial.genotype for trial in trials if trial.state == "complete"],
        ),
        failures=_failures(trials),
        evaluated=tuple(metrics for trial in trials if (metrics := trial_metrics(trial))),
    )


def trial_metrics(trial: Trial) -> dict[str, float]:
    """A trial's measured figures by metric name; empty where it failed."""
    if trial.values is None:
        return {}
    attributes = trial.system_attrs
    if "metrics" in attributes:
        return {name: float(value) for name, value in attributes["metrics"].items() if name in METRICS}
    # Searches of version 0.1: the objectives were p50 and accuracy.
    p50_ms, accuracy = trial.values
    more = {name: float(attributes[name]) for name in ("latency_p95_ms", "size_bytes") if name in attributes}
    return {"latency_p50_ms": p50_ms, "accuracy": accuracy} | more


def _runs(
    store: Store,
    searches: Sequence[StoredSearch],
    journals: Mapping[str, Sequence[StoredGeneration]],
    objectives: Objectives,
) -> tuple[Run, ...]:
    losses = {
        search.id: [_losses(generation.trials, objectives) for generation in journals[search.id]] for search in searches
    }
    every = np.concatenate([np.empty((0, len(objectives))), *(rows for one in losses.values() for rows in one)])
    reference = every.max(axis=0) if len(every) else np.zeros(len(objectives))
    total = hypervolume(every, reference) if len(every) else 0.0
    runs = []
    for search in searches:
        if not journals[search.id]:
            continue
        seen = [np.concatenate(losses[search.id][: count + 1]) for count in range(len(losses[search.id]))]
        runs.append(
            Run(
                search=search,
                method=str(search.settings.get("method", "hwnas")),
                evaluations=tuple(
                    int(count) for count in np.cumsum([generation.evaluations for generation in journals[search.id]])
                ),
                hypervolume=tuple(hypervolume(rows, reference) / total if total else 0.0 for rows in seen),
                lookups=_lookups(store, search, journals[search.id]),
            )
        )
    return tuple(runs)


def _lookups(store: Store, search: StoredSearch, generations: Sequence[StoredGeneration]) -> int | None:
    """As the search's front says, else as its generations say."""
    info = store.fronts.of_search(search.id)
    if info is not None and (budget := Front.from_bytes(store.fronts.body(info.id)).budget) is not None:
        return budget.lookups
    noted = [len(generation.notes["lookups"]) for generation in generations if "lookups" in generation.notes]
    return sum(noted) if noted else None


def _losses(trials: Sequence[Trial], objectives: Objectives) -> FloatArray:
    """Of the trials that have every objective, shape ``(n, objectives)``."""
    known = [metrics for trial in trials if set(objectives.names) <= (metrics := trial_metrics(trial)).keys()]
    return objectives.losses(columns(known, objectives.names)) if known else np.empty((0, len(objectives)))


def _genotypes(store: Store, front: Front) -> list[tuple[int, ...]]:
    ids = [member.candidate for member in front.members]
    return [stored.genotype for stored in store.candidates.get_many(ids)]


def _shared_genes(
    space: SearchSpace, member_rows: Sequence[Sequence[int]], evaluated_rows: Sequence[Sequence[int]]
) -> tuple[SharedGene, ...]:
    """Genes that are active in at least two members."""
    members, evaluated = (
        np.array(rows, dtype=np.int64).reshape(-1, len(space.genes)) for rows in (member_rows, evaluated_rows)
    )
    active, active_evaluated = space.active(members), space.active(evaluated)
    shared = []
    for column, gene in enumerate(space.genes):
        values = members[active[:, column], column]
        if len(values) < 2:
            continue
        counts = np.bincount(values, minlength=len(gene.choices))
        choice = int(counts.argmax())
        others = evaluated[active_evaluated[:, column], column]
        shared.append(
            SharedGene(
                name=gene.name,
                choice=gene.choices[choice],
                members=len(values),
                share=float(counts[choice] / len(values)),
                share_evaluated=float((others == choice).mean()) if len(others) else 0.0,
            )
        )
    return tuple(sorted(shared, key=lambda one: (-one.share, one.share_evaluated, one.name)))


def _failures(trials: Sequence[Trial]) -> tuple[Failure, ...]:
    failed = [trial for trial in trials if trial.state == "failed"]
    reasons = Counter(str(trial.system_attrs.get("failure", "no reason stored")) for trial in failed)
    return tuple(
        Failure(
            reason=reason,
            candidates=tuple(
                trial.candidate_id or "unknown"
                for trial in failed
                if str(trial.system_attrs.get("failure", "no reason stored")) == reason
            ),
        )
        for reason, _ in reasons.most_common()
    )
