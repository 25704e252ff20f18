"""A search's journal in the store: a generation is one transaction."""

from collections.abc import Sequence

import numpy as np

from nas.search.loop import Generation
from nas.search.outcome import Outcome
from nas.store.leases import Lease
from nas.store.searches import Generation as StoredGeneration
from nas.store.searches import Trial
from nas.store.store import Store
from search_spaces.space import IntArray


class StoreJournal:
    """The rows of one search; see :class:`nas.search.loop.Journal`."""

    def __init__(self, store: Store, search_id: str, lease: Lease | None = None) -> None:
        self._store = store
        self._search_id = search_id
        self._lease = lease

    def generations(self) -> Sequence[Generation]:
        """All generations so far, by number."""
        return [
            Generation(
                number=stored.number,
                genotypes=np.array([trial.genotype for trial in stored.trials], dtype=np.int64),
                outcomes=tuple(_outcome(trial) for trial in stored.trials),
            )
            for stored in self._store.searches.generations(self._search_id)
        ]

    def append(self, generation: Generation) -> None:
        """Writes the next generation."""
        trials = tuple(
            _trial(genotype, outcome)
            for genotype, outcome in zip(generation.genotypes, generation.outcomes, strict=True)
        )
        self._store.searches.append_generation(
            self._search_id,
            StoredGeneration(number=generation.number, evaluations=len(trials), trials=trials, notes={}),
            lease=self._lease,
        )


def _trial(genotype: IntArray, outcome: Outcome) -> Trial:
    return Trial(
        genotype=tuple(int(value) for value in genotype),
        candidate_id=outcome.candidate_id,
        state="complete" if outcome.succeeded else "failed",
        values=(outcome.latency_p50_ms, outcome.accuracy_val) if outcome.succeeded else None,
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
    return Outcome(
        candidate_id=trial.candidate_id,
        metrics=trial.system_attrs["metrics"],
        images_val=trial.system_attrs["images_val"],
        quality=trial.system_attrs["quality"],
    )
