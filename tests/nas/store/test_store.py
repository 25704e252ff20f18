"""What every concept of the store keeps and refuses, on both databases."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import func, select, text

from hw_profiles.measurement import MeasurementFailure
from nas.home import DiskFullError
from nas.store import Store, open_store
from nas.store.artifacts import Artifact
from nas.store.errors import NotStoredError, StoreConflictError, StoreError
from nas.store.evaluations import Evaluation
from nas.store.predictors import NewPredictor
from nas.store.tables import EvaluationRow
from search_spaces.errors import InvalidGenotypeError
from tests.databases import SteppedClock
from tests.nas.store.rows import (
    PROFILE,
    SPACE,
    SUPERNET_ID,
    measurement,
    put_candidates,
    put_device,
    put_supernet,
)


def test_a_device_comes_back_as_it_was_put(store: Store, clock: SteppedClock) -> None:
    put_device(store)
    stored = store.devices.get(PROFILE.id)
    assert stored.profile == PROFILE
    assert stored.profile.fingerprint == PROFILE.fingerprint
    assert stored.detected_at == clock.now


def test_a_new_detection_replaces_the_old_one(store: Store, clock: SteppedClock) -> None:
    put_device(store)
    clock.forward(60)
    store.devices.put(replace(PROFILE, runtime_version="0.28.0"))
    assert [device.profile.runtime_version for device in store.devices.all()] == ["0.28.0"]
    assert store.devices.get(PROFILE.id).detected_at == datetime(2026, 1, 1, 0, 1, tzinfo=UTC)


def test_what_is_not_stored_is_named(store: Store) -> None:
    with pytest.raises(NotStoredError, match="device profile 'phone'"):
        store.devices.get("phone")
    with pytest.raises(NotStoredError, match="supernet 'x'"):
        store.supernets.get("x")
    with pytest.raises(NotStoredError, match="candidate 'x'"):
        store.candidates.get("x")
    with pytest.raises(NotStoredError, match="candidate 'x'"):
        store.candidates.get_many(["x"])
    with pytest.raises(NotStoredError, match="artifact 'x'"):
        store.artifacts.get("x")
    with pytest.raises(NotStoredError, match="predictor 'x'"):
        store.predictors.get("x")


def test_a_supernet_stays_as_it_was_first_put(store: Store, clock: SteppedClock) -> None:
    put_supernet(store)
    first = store.supernets.get(SUPERNET_ID)
    clock.forward(1)
    put_supernet(store)
    assert store.supernets.get(SUPERNET_ID) == first
    assert first.task == SPACE.task
    assert first.metrics == {"largest_accuracy": 0.88}


def test_the_latest_supernet_is_of_the_asked_space_and_data(store: Store, clock: SteppedClock) -> None:
    put_supernet(store, "1" * 64, data_fingerprint="a" * 64)
    clock.forward(1)
    put_supernet(store, "2" * 64, data_fingerprint="b" * 64)
    latest = store.supernets.latest(space=SPACE.name)
    assert latest is not None
    assert latest.id == "2" * 64
    of_data = store.supernets.latest(space=SPACE.name, data_fingerprint="a" * 64)
    assert of_data is not None
    assert of_data.id == "1" * 64
    assert store.supernets.latest(space="mobilenet_v3:imagenet") is None


def test_candidates_keep_identity_genotype_and_order(store: Store) -> None:
    genotypes = SPACE.sample(20, np.random.default_rng(1))
    ids = store.candidates.put(SPACE, genotypes)
    assert store.candidates.put(SPACE, genotypes[::-1]) == ids[::-1]
    stored = store.candidates.get_many(ids)
    assert [entry.id for entry in stored] == list(ids)
    for entry, genotype in zip(stored, genotypes, strict=True):
        assert entry.genotype == tuple(genotype.tolist())
        assert entry.canonical == SPACE.to_string(genotype)
        assert entry.candidate == SPACE.candidate(genotype)
        assert entry.candidate.id == entry.id


def test_candidates_are_found_by_the_beginning_of_their_id(store: Store) -> None:
    ids = put_candidates(store, 40)
    (found,) = store.candidates.beginning_with(ids[0])
    assert found == store.candidates.get(ids[0])
    assert len(store.candidates.beginning_with("")) == 2
    assert store.candidates.beginning_with("%") == store.candidates.beginning_with("_") == ()


def test_equal_networks_are_one_candidate(store: Store) -> None:
    genotype = SPACE.smallest()
    inactive = np.flatnonzero(~SPACE.active(genotype[None])[0])
    other = genotype.copy()
    other[inactive] = 1
    assert len(set(store.candidates.put(SPACE, np.stack([genotype, other])))) == 1


def test_a_genotype_of_another_space_is_refused(store: Store) -> None:
    with pytest.raises(InvalidGenotypeError):
        store.candidates.put(SPACE, np.full((1, len(SPACE.genes)), 99))


def test_evaluations_are_kept_once(store: Store) -> None:
    put_supernet(store)
    one, two = put_candidates(store, 2)

    def evaluation(candidate_id: str, accuracy: float) -> Evaluation:
        return Evaluation(
            supernet_id=SUPERNET_ID, candidate_id=candidate_id, part="val", accuracy=accuracy, images=1000
        )

    store.evaluations.put([evaluation(one, 0.5)])
    store.evaluations.put([evaluation(one, 0.9), evaluation(two, 0.25)])
    assert {key: entry.accuracy for key, entry in store.evaluations.of(SUPERNET_ID, "val").items()} == {
        one: 0.5,
        two: 0.25,
    }
    assert store.evaluations.of(SUPERNET_ID, "float") == {}
    assert store.evaluations.find(SUPERNET_ID, one, "val") == evaluation(one, 0.5)
    assert store.evaluations.of_candidate(two) == (evaluation(two, 0.25),)


def test_evaluations_from_before_a_time_are_told_apart(store: Store, clock: SteppedClock) -> None:
    put_supernet(store)
    early, late = put_candidates(store, 2)
    for candidate_id in (early, late):
        store.evaluations.put(
            [Evaluation(supernet_id=SUPERNET_ID, candidate_id=candidate_id, part="val", accuracy=0.5, images=1000)]
        )
        clock.forward(60)
    between = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
    assert set(store.evaluations.of(SUPERNET_ID, "val", before=between)) == {early}
    assert set(store.evaluations.of(SUPERNET_ID, "val")) == {early, late}


def test_accuracies_of_another_version_are_kept_and_not_mixed(store: Store) -> None:
    put_supernet(store)
    one, two = put_candidates(store, 2)
    now = Evaluation(supernet_id=SUPERNET_ID, candidate_id=one, part="val", accuracy=0.5, images=1000)
    earlier = replace(now, accuracy=0.25, runtime_version="onnxruntime 1.0.0+recipe1")
    store.evaluations.put([earlier, replace(earlier, candidate_id=two)])
    assert store.evaluations.of(SUPERNET_ID, "val") == {}
    assert store.evaluations.find(SUPERNET_ID, two, "val") is None
    store.evaluations.put([now])
    assert store.evaluations.of(SUPERNET_ID, "val") == {one: now}
    assert store.evaluations.of_candidate(one) == (now,)
    with store.database.read() as session:
        assert session.scalar(select(func.count()).select_from(EvaluationRow)) == 3


@pytest.mark.parametrize("accuracy", [-0.1, 1.5, float("nan"), float("inf")])
def test_an_accuracy_that_is_no_fraction_is_refused_with_its_batch(store: Store, accuracy: float) -> None:
    put_supernet(store)
    one, two = put_candidates(store, 2)
    rows = [
        Evaluation(supernet_id=SUPERNET_ID, candidate_id=one, part="val", accuracy=0.5, images=1000),
        Evaluation(supernet_id=SUPERNET_ID, candidate_id=two, part="val", accuracy=accuracy, images=1000),
    ]
    with pytest.raises(StoreError):
        store.evaluations.put(rows)
    assert store.evaluations.of(SUPERNET_ID, "val") == {}


def test_the_newest_measurement_has_the_last_number(store: Store) -> None:
    put_device(store)
    assert store.measurements.last_number() == 0
    numbers = [store.measurements.add(measurement(one)) for one in put_candidates(store, 3)]
    assert store.measurements.last_number() == numbers[-1] == max(numbers)


def test_measurements_and_failures_come_back_in_order(store: Store) -> None:
    put_device(store)
    put_supernet(store)
    one, two = put_candidates(store, 2)
    failure = MeasurementFailure(
        candidate_id=two,
        profile_id=PROFILE.id,
        fingerprint=PROFILE.fingerprint,
        stage="compile",
        message="no kernel",
        measured_at="2026-01-01T00:00:00+00:00",
    )
    outcomes = (measurement(one), failure, measurement(one, 1.6, 1.9))
    numbers = [store.measurements.add(outcome, supernet_id=SUPERNET_ID) for outcome in outcomes]
    assert numbers == sorted(numbers)
    stored = store.measurements.of(PROFILE.id)
    assert [entry.outcome for entry in stored] == list(outcomes)
    assert {entry.supernet_id for entry in stored} == {SUPERNET_ID}
    assert store.measurements.of(PROFILE.id, fingerprint="0" * 64) == ()
    assert store.measurements.of(PROFILE.id, supernet_id="0" * 64) == ()
    assert len(store.measurements.of(PROFILE.id, space=SPACE.name)) == 3
    assert store.measurements.of(PROFILE.id, space="mobilenet_v3:imagenet") == ()
    assert [entry.outcome for entry in store.measurements.of_candidate(two)] == [failure]


@pytest.mark.parametrize(
    ("p50_ms", "p95_ms"),
    [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0), (float("nan"), 1.0), (1.0, float("nan")), (1.0, float("inf"))],
)
def test_latencies_that_cannot_be_are_refused(store: Store, p50_ms: float, p95_ms: float) -> None:
    put_device(store)
    (one,) = put_candidates(store, 1)
    with pytest.raises(StoreError):
        store.measurements.add(measurement(one, p50_ms, p95_ms))
    assert store.measurements.of(PROFILE.id) == ()


def test_a_measurement_of_nothing_known_is_refused(store: Store) -> None:
    put_device(store)
    with pytest.raises(StoreConflictError):
        store.measurements.add(measurement("0" * 64))


def _artifact(candidate_id: str, *, path: str = "ab/abcd.onnx", kind: str = "onnx", sha256: str = "a" * 64) -> Artifact:
    return Artifact(sha256=sha256, kind=kind, size_bytes=10, path=path, candidate_id=candidate_id)


def test_one_file_can_serve_two_candidates(store: Store) -> None:
    one, two = put_candidates(store, 2)
    for candidate_id in (one, two, one):
        store.artifacts.put(_artifact(candidate_id))
    assert store.artifacts.of_candidate(one) == (_artifact(one),)
    assert store.artifacts.of_candidate(two) == (_artifact(two),)
    assert store.artifacts.get("a" * 64).path == "ab/abcd.onnx"
    assert store.artifacts.find("b" * 64) is None


@pytest.mark.parametrize(
    "change", [{"path": "../secret"}, {"path": "/etc/passwd"}, {"kind": "Pickle"}, {"kind": ""}, {"sha256": "short"}]
)
def test_artifacts_that_cannot_be_are_refused(store: Store, change: dict[str, str]) -> None:
    (one,) = put_candidates(store, 1)
    with pytest.raises(StoreConflictError):
        store.artifacts.put(_artifact(one, **change))
    assert store.artifacts.of_candidate(one) == ()


def test_the_latest_predictor_is_of_the_asked_kind(store: Store, clock: SteppedClock) -> None:
    put_device(store)

    def put(revision: str, kind: str, profile_id: str | None) -> None:
        store.predictors.put(
            NewPredictor(
                id=revision,
                kind=kind,  # type: ignore[arg-type]
                profile_id=profile_id,
                space=SPACE.name,
                supernet_id=None,
                data_sha256="e" * 64,
                schema_version="1",
                metrics={"mape_pct": 4.5},
                folder=revision,
            )
        )

    put("r1", "latency", PROFILE.id)
    clock.forward(1)
    put("r2", "latency", PROFILE.id)
    put("r3", "accuracy", None)
    latest = store.predictors.latest(kind="latency", space=SPACE.name, profile_id=PROFILE.id)
    assert latest is not None
    assert latest.id == "r2"
    accuracy = store.predictors.latest(kind="accuracy", space=SPACE.name)
    assert accuracy == store.predictors.get("r3")
    assert store.predictors.latest(kind="latency", space=SPACE.name, profile_id="phone") is None
    assert store.predictors.spaces(PROFILE.id) == (SPACE.name,)
    assert store.predictors.spaces("phone") == ()
    assert store.predictors.find("x") is None
    with pytest.raises(StoreConflictError):
        put("r4", "latency", None)


def test_a_full_disk_is_said_and_what_was_stored_stays(tmp_path: Path) -> None:
    with open_store(tmp_path / "hwnas.db") as store:
        put_candidates(store, 1)
        with store.database.read() as session:
            pages = session.execute(text("PRAGMA page_count")).scalar_one()
            session.execute(text(f"PRAGMA max_page_count = {pages}"))
        with pytest.raises(DiskFullError, match="no space left"):
            put_candidates(store, 500)
        assert store.candidates.get(put_candidates(store, 1)[0]).candidate.space == SPACE.name


def test_text_that_no_database_takes_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="cannot be stored"):
        put_device(store, "lone \ud800 surrogate")
    assert store.devices.all() == ()
