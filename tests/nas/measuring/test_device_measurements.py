"""What is known of a network on a device, and which artifacts may ship."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hw_profiles.measurement import MeasurementFailure
from nas.measuring.device_measurements import DeviceMeasurements, has_changed_since, weighted_median
from nas.store import Store
from search_spaces.registry import get_space
from search_spaces.task import TaskSpec
from tests.databases import SteppedClock
from tests.nas.store.rows import PROFILE, SPACE, measurement, put_candidates, put_device, put_supernet

ONE, OTHER = "1" * 64, "2" * 64


def stored_candidates(store: Store, count: int) -> tuple[str, ...]:
    put_device(store)
    put_supernet(store, ONE)
    put_supernet(store, OTHER)
    return put_candidates(store, count)


def known(store: Store) -> DeviceMeasurements:
    return DeviceMeasurements(store, PROFILE, SPACE)


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


@given(
    st.lists(st.tuples(st.floats(0.01, 1e3), st.integers(1, 6)), min_size=1, max_size=12),
)
def test_a_weighted_median_is_the_median_of_repeated_values(pairs):
    values, weights = (np.array(column) for column in zip(*pairs, strict=True))
    assert weighted_median(values, weights) == np.median(np.repeat(values, weights))


def test_repeated_measurements_count_together_and_noisy_ones_less(store: Store) -> None:
    first, second = stored_candidates(store, 2)
    for p50_ms in (1.5, 1.25, 1.375):
        store.measurements.add(measurement(first, p50_ms), supernet_id=ONE)
    for p50_ms in (9.0, 8.0):
        store.measurements.add(replace(measurement(first, p50_ms, 9.5), quality="noisy"))
    store.measurements.add(replace(measurement(second), quality="noisy"))
    networks = known(store).networks()
    assert networks[first].latency_p50_ms == 1.375, "the unweighted median is 1.5"
    assert networks[first].weight == 3.5
    assert networks[first].quality == "ok"
    assert (networks[second].quality, networks[second].weight) == ("noisy", 0.25)
    samples = known(store).samples()
    assert samples.candidate_ids == (first, second)
    assert samples.latency_ms.tolist() == [1.375, 1.5]
    assert samples.weights.tolist() == [3.5, 0.25]
    unknown = SPACE.largest()[None]
    assert known(store).weights_of(np.concatenate([samples.genotypes, unknown])).tolist() == [1.0, 0.25, 1.0]


def test_latency_is_known_whatever_the_weights_and_artifacts_are_a_supernets(store: Store) -> None:
    first, second, third = stored_candidates(store, 3)
    store.measurements.add(measurement(first, 1.5), supernet_id=ONE)
    store.measurements.add(measurement(first, 1.75), supernet_id=ONE)
    store.measurements.add(measurement(second), supernet_id=OTHER)
    store.measurements.add(measurement(third))
    assert set(known(store).networks()) == {first, second, third}
    assert known(store).artifacts(ONE) == {first: measurement(first, 1.75)}


def test_other_devices_spaces_and_tasks_do_not_count(store: Store) -> None:
    first, second = stored_candidates(store, 2)
    store.measurements.add(measurement(first), supernet_id=ONE)
    changed = replace(PROFILE, runtime_version="0.28.0")
    store.measurements.add(replace(measurement(second), fingerprint=changed.fingerprint), supernet_id=ONE)
    assert set(known(store).networks()) == {first}
    assert DeviceMeasurements(store, PROFILE, get_space("fbnet")).networks() == {}
    other_task = get_space(SPACE.name, TaskSpec.image_classification(channels=3, height=32, width=32, classes=7))
    assert len(DeviceMeasurements(store, PROFILE, other_task).samples()) == 0


def test_lasting_failures_count_and_passing_ones_are_tried_again(store: Store) -> None:
    first, second, third = stored_candidates(store, 3)
    store.measurements.add(failure(first, "compile"))
    store.measurements.add(failure(second, "timeout"), supernet_id=ONE)
    store.measurements.add(failure(third, "check"), supernet_id=ONE)
    assert known(store).failures(ONE) == {first: failure(first, "compile"), third: failure(third, "check")}
    assert known(store).failures(None) == {first: failure(first, "compile")}
    assert known(store).samples().failed == {first}
    store.measurements.add(measurement(first))
    store.measurements.add(measurement(third))
    assert set(known(store).failures(ONE)) == {third}, "random weights say nothing of the supernet's outputs"
    store.measurements.add(measurement(third), supernet_id=ONE)
    assert known(store).failures(ONE) == {}


def test_what_was_known_at_a_time_stays_the_same(store: Store, clock: SteppedClock) -> None:
    first, second = stored_candidates(store, 2)
    store.measurements.add(replace(measurement(first), measured_at="2025-12-31T23:59:59+00:00"))
    frozen = DeviceMeasurements(store, PROFILE, SPACE, before=clock.now)
    store.measurements.add(replace(measurement(first, 1.625), measured_at="2026-01-01T00:00:00+00:00"))
    store.measurements.add(replace(measurement(second), measured_at="2026-01-01T00:00:01+00:00"))
    store.drifts.add(PROFILE, last_measurement=2, checked=3, change_pct=30.0, allowed_pct=8.0)
    assert {one: network.latency_p50_ms for one, network in frozen.networks().items()} == {first: 1.5}
    assert set(known(store).networks()) == {second}


def test_repeatability_is_of_first_measurements(store: Store) -> None:
    ids = stored_candidates(store, 3)
    rows = np.array([store.candidates.get(one).genotype for one in ids])
    for one, deviation in zip(ids, (0.01, 0.03, 0.5), strict=True):
        store.measurements.add(replace(measurement(one), repeatability=deviation))
    store.measurements.add(replace(measurement(ids[0]), repeatability=0.9))
    assert known(store).repeatability_of(rows) == 0.03
    assert known(store).repeatability_of(rows[:0]) == 0.0


def test_a_device_has_changed_with_its_fingerprint_or_a_drift(store: Store, clock: SteppedClock) -> None:
    put_device(store)
    fitted_at = clock.now
    assert not has_changed_since(store, PROFILE, PROFILE.fingerprint, fitted_at)
    assert not has_changed_since(store, PROFILE, None, fitted_at)
    assert has_changed_since(store, PROFILE, "0" * 64, fitted_at)
    clock.forward(60)
    store.drifts.add(PROFILE, last_measurement=7, checked=3, change_pct=30.0, allowed_pct=8.0)
    assert has_changed_since(store, PROFILE, PROFILE.fingerprint, fitted_at)
    clock.forward(60)
    assert not has_changed_since(store, PROFILE, PROFILE.fingerprint, clock.now)
