"""What an evaluation takes from the store: nothing that is known is prepared, compiled or timed again."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from hw_profiles.local_bench import LocalBench
from nas.home import Home
from nas.measuring.anchored_bench import AnchoredBench
from nas.measuring.candidate_processes import CandidateProcesses
from nas.measuring.context import SearchContext
from nas.measuring.evaluator import RealEvaluator
from nas.measuring.preparation_pool import PreparationPool
from nas.measuring.supernet_weights import PreparationSettings, SupernetWeightSource
from nas.progress import SilentProgress
from nas.store.evaluations import Evaluation
from nas.store.store import open_store
from nas.workspace import Workspace
from search_spaces.errors import NasError
from tests.nas.measuring.test_device_measurements import failure
from tests.nas.store.rows import PROFILE, SPACE, SUPERNET_ID, measurement, put_candidates, put_device, put_supernet


@pytest.fixture
def context(tmp_path):
    """A supernet whose files do not exist: whoever prepares one of its networks fails."""
    with open_store(tmp_path / "hwnas.db") as store:
        put_device(store)
        supernet = store.supernets.get(put_supernet(store))
        workspace = Workspace(Home(tmp_path), store)
        source = SupernetWeightSource(
            supernet_id=SUPERNET_ID,
            space_name=SPACE.name,
            task=SPACE.task,
            folder=workspace.supernet_folder(supernet),
            data="npz:gone.npz",
            cache=tmp_path / "cache",
            settings=PreparationSettings(),
        )
        with PreparationPool(source, executors=partial(CandidateProcesses, processes=1)) as pool:
            yield SearchContext(
                workspace=workspace, supernet=supernet, profile=PROFILE, pool=pool, progress=SilentProgress()
            )


def evaluate(context, ids, metrics=()):
    rows = np.array([context.store.candidates.get(one).genotype for one in ids])
    # The profile is of another machine: a bench that measured would fail.
    local = LocalBench(PROFILE, context.workspace.compiled_folder(SUPERNET_ID, PROFILE))
    with AnchoredBench(local, context.store.anchor_references) as bench:
        return RealEvaluator(context, bench, metrics).evaluate(rows)


def accuracy(candidate_id):
    return Evaluation(supernet_id=SUPERNET_ID, candidate_id=candidate_id, part="val", accuracy=0.75, images=400)


def test_a_calibrations_latency_is_a_searchs(context):
    first, second = put_candidates(context.store, 2)
    context.store.evaluations.put([accuracy(first), accuracy(second)])
    context.store.measurements.add(measurement(first, 1.25))
    context.store.measurements.add(replace(measurement(second), quality="noisy"), supernet_id=SUPERNET_ID)
    known, noisy = evaluate(context, (first, second))
    assert known.metrics == {"accuracy": 0.75, "latency_p50_ms": 1.25, "latency_p95_ms": 1.75, "size_bytes": 1000.0}
    assert (known.images_val, known.quality, noisy.quality) == (400, "ok", "noisy")


def test_a_lasting_failure_of_the_supernets_own_artifact_is_the_outcome(context):
    (one,) = put_candidates(context.store, 1)
    context.store.evaluations.put([accuracy(one)])
    context.store.measurements.add(measurement(one))
    context.store.measurements.add(failure(one, "check"), supernet_id=SUPERNET_ID)
    (outcome,) = evaluate(context, (one,))
    assert outcome.failure == "it failed"


def test_what_is_not_known_is_prepared(context):
    (one,) = put_candidates(context.store, 1)
    context.store.measurements.add(measurement(one))
    with pytest.raises(NasError, match="train"):
        evaluate(context, (one,))


def test_metrics_of_the_running_artifact_come_along_and_may_be_required(context):
    first, second = put_candidates(context.store, 2)
    context.store.evaluations.put([accuracy(first), accuracy(second)])
    whole = replace(measurement(first), load_time_ms=3.0, peak_memory_bytes=5000)
    context.store.measurements.add(measurement(first))
    context.store.measurements.add(whole)
    context.store.measurements.add(measurement(second))
    (outcome,) = evaluate(context, (first,), ("accuracy", "peak_memory_bytes", "load_time_ms"))
    assert (outcome.metrics["load_time_ms"], outcome.metrics["peak_memory_bytes"]) == (3.0, 5000.0)
    (known,) = evaluate(context, (second,), ("accuracy", "latency_p50_ms"))
    assert "load_time_ms" not in known.metrics
    with pytest.raises(NasError, match="train"):
        evaluate(context, (second,), ("load_time_ms",))
