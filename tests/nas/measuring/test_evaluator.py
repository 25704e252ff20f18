"""Which measurements an evaluation may take for its own."""

from dataclasses import replace

from hw_profiles.measurement import MeasurementFailure
from nas.measuring.evaluator import known_latencies
from nas.store import Store
from tests.nas.store.rows import PROFILE, measurement, put_candidates, put_device, put_supernet

ONE, OTHER = "1" * 64, "2" * 64


def stored_candidates(store: Store, count: int) -> tuple[str, ...]:
    put_device(store)
    put_supernet(store, ONE)
    put_supernet(store, OTHER)
    return put_candidates(store, count)


def test_the_newest_measurement_counts(store: Store) -> None:
    (candidate,) = stored_candidates(store, 1)
    for p50_ms in (1.5, 1.25):
        store.measurements.add(measurement(candidate, p50_ms), supernet_id=ONE)
    assert known_latencies(store, PROFILE)[candidate].latency_p50_ms == 1.25


def test_another_supernets_artifact_is_never_taken_for_ones_own(store: Store) -> None:
    first, second = stored_candidates(store, 2)
    store.measurements.add(measurement(first), supernet_id=ONE)
    store.measurements.add(measurement(first, 1.6), supernet_id=OTHER)
    store.measurements.add(measurement(second), supernet_id=OTHER)
    assert known_latencies(store, PROFILE, supernet_id=ONE) == {first: measurement(first)}
    assert set(known_latencies(store, PROFILE)) == {first, second}


def test_untrained_networks_and_other_devices_do_not_count(store: Store) -> None:
    first, second = stored_candidates(store, 2)
    store.measurements.add(measurement(first))
    changed = replace(PROFILE, runtime_version="0.28.0")
    store.measurements.add(replace(measurement(second), fingerprint=changed.fingerprint), supernet_id=ONE)
    assert known_latencies(store, PROFILE) == {}


def test_lasting_failures_count_and_passing_ones_are_tried_again(store: Store) -> None:
    first, second = stored_candidates(store, 2)

    def failure(candidate_id: str, stage: str) -> MeasurementFailure:
        return MeasurementFailure.from_json(
            {
                "candidate_id": candidate_id,
                "profile_id": PROFILE.id,
                "fingerprint": PROFILE.fingerprint,
                "stage": stage,
                "message": "it failed",
                "measured_at": "2026-01-01T00:00:00+00:00",
            }
        )

    store.measurements.add(failure(first, "compile"), supernet_id=ONE)
    store.measurements.add(failure(second, "timeout"), supernet_id=ONE)
    assert known_latencies(store, PROFILE, supernet_id=ONE) == {first: failure(first, "compile")}
