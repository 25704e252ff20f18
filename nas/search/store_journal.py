"""A search's journal in the store: a generation is one transaction.

What was looked up before a generation is in its notes: ``{"lookups": [[genes, accuracy], …]}``.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from nas.metrics import Objectives
from nas.search.generation import Generation
from nas.search.outcome import Outcome
from nas.store.leases import Lease
from nas.store.searches import StoredGeneration, Trial
from nas.store.store import Store
from predictors.known_accuracy import KnownAccuracies
from search_spaces.space import IntArray, SearchSpace

_LOOKUPS: Final = "lookups"


class StoreJournal:
    """The rows of one search; see :class:`nas.search.generation.Journal`."""

    def __init__(
        self,
        store: Store,
        search_id: str,
        space: SearchSpace,
        *,
        objectives: Objectives | None = None,
        lease: Lease | None = None,
    ) -> None:
        self._store = store
        self._search_id = search_id
        self._space = space
        self._objectives = objectives or Objectives()
        self._lease = lease

    def generations(self) -> Sequence[Generation]:
        """All generations so far, by number."""
        return [
            Generation(
                number=stored.number,
                genotypes=np.array([trial.genotype for trial in stored.trials], dtype=np.int64),
                outcomes=tuple(_outcome(trial) for trial in stored.trials),
                lookups=_lookups(self._space, stored.notes),
            )
            for stored in self._store.searches.generations(self._search_id)
        ]

    def append(self, generation: Generation) -> None:
        """Writes the next generation."""
        trials = tuple(
            _trial(genotype, outcome, self._objectives)
            for genotype, outcome in zip(generation.genotypes, generation.outcomes, strict=True)
        )
        self._store.searches.append_generation(
            self._search_id,
            StoredGeneration(
                number=generation.number, evaluations=len(trials), trials=trials, notes=_notes(generation)
            ),
            lease=self._lease,
        )


def _notes(generation: Generation) -> dict[str, Any]:
    if generation.lookups is None:
        return {}
    pairs = zip(generation.lookups.genotypes.tolist(), generation.lookups.accuracy.tolist(), strict=True)
    return {_LOOKUPS: [[genes, accuracy] for genes, accuracy in pairs]}


def _lookups(space: SearchSpace, notes: Mapping[str, Any]) -> KnownAccuracies | None:
    pairs = notes.get(_LOOKUPS)
    if not pairs:
        return None
    return KnownAccuracies(
        space=space,
        genotypes=np.array([genes for genes, _ in pairs], dtype=np.int64),
        accuracy=np.array([accuracy for _, accuracy in pairs], dtype=np.float64),
    )


def _trial(genotype: IntArray, outcome: Outcome, objectives: Objectives) -> Trial:
    return Trial(
        genotype=tuple(int(value) for value in genotype),
        candidate_id=outcome.candidate_id,
        state="complete" if outcome.succeeded else "failed",
        values=tuple(outcome.metrics[name] for name in objectives.names) if outcome.succeeded else None,
        system_attrs={
            "metrics": dict(outcome.metrics),
            "images_val": outcome.images_val,
            "quality": outcome.quality,
        }
        if outcome.succeeded
        else {"failure": outcome.failure},
    )


def _outcome(trial: Trial) -> Outcome:
    if trial.values is None or trial.candidate_id is None:
        return Outcome(candidate_id=trial.candidate_id or "", failure=str(trial.system_attrs.get("failure")))
    attributes = trial.system_attrs
    if "metrics" not in attributes:  # of version 0.1: values were p50 and validation accuracy
        p50_ms, accuracy = trial.values
        metrics = {
            "latency_p50_ms": p50_ms,
            "accuracy": accuracy,
            "latency_p95_ms": float(attributes["latency_p95_ms"]),
            "size_bytes": float(attributes["size_bytes"]),
        }
        return Outcome(candidate_id=trial.candidate_id, metrics=metrics)
    return Outcome(
        candidate_id=trial.candidate_id,
        metrics=attributes["metrics"],
        images_val=attributes["images_val"],
        quality=attributes["quality"],
    )
