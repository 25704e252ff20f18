"""Searches in the store: what was looked up, and rows of earlier versions."""

import numpy as np
import pytest

from nas.metrics import Objectives
from nas.search.generation import Generation
from nas.search.outcome import Outcome
from nas.search.store_journal import StoreJournal
from nas.store import open_store
from nas.store.searches import StoredGeneration, Trial
from predictors.known_accuracy import KnownAccuracies
from tests.nas.store.rows import SPACE, open_search, put_candidates, put_device, put_supernet


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'hwnas.db'}") as opened:
        put_device(opened)
        put_supernet(opened)
        open_search(opened)
        yield opened


def test_a_generation_comes_back_as_it_was_written(store):
    (candidate_id,) = put_candidates(store, 1)
    genotype = np.array(store.candidates.get_many((candidate_id,))[0].genotype, dtype=np.int64)
    metrics = {"latency_p50_ms": 1.0, "latency_p95_ms": 1.1, "accuracy": 0.8, "size_bytes": 10.0}
    looked_up = KnownAccuracies(
        space=SPACE, genotypes=SPACE.sample(3, np.random.default_rng(0)), accuracy=np.array([0.1, 0.2, 0.3])
    )
    outcome = Outcome(candidate_id=candidate_id, metrics=metrics, images_val=500, quality="noisy")
    journal = StoreJournal(store, "search-1", SPACE, objectives=Objectives.from_names(["size_bytes", "accuracy"]))
    journal.append(Generation(number=0, genotypes=genotype[None], outcomes=(outcome,), lookups=looked_up))
    (read,) = journal.generations()
    assert read.outcomes == (outcome,)
    assert np.array_equal(read.lookups.genotypes, looked_up.genotypes)
    assert np.array_equal(read.lookups.accuracy, looked_up.accuracy)
    (stored,) = store.searches.generations("search-1")
    assert stored.trials[0].values == (10.0, 0.8)


def test_rows_of_version_0_1_are_read(store):
    (candidate_id,) = put_candidates(store, 1)
    genotype = store.candidates.get_many((candidate_id,))[0].genotype
    trial = Trial(
        genotype=genotype,
        candidate_id=candidate_id,
        state="complete",
        values=(1.5, 0.7),
        system_attrs={"latency_p95_ms": 1.75, "size_bytes": 1000},
    )
    store.searches.append_generation("search-1", StoredGeneration(number=0, evaluations=1, trials=(trial,), notes={}))
    (read,) = StoreJournal(store, "search-1", SPACE).generations()
    assert read.lookups is None
    assert read.outcomes[0].metrics == {
        "latency_p50_ms": 1.5,
        "accuracy": 0.7,
        "latency_p95_ms": 1.75,
        "size_bytes": 1000.0,
    }
