import numpy as np
import pytest

from nas.home import Home
from nas.measuring.device_measurements import DeviceSamples, drifted_at, note_drift, samples_of
from nas.measuring.drift import check_drift
from nas.store.store import open_store
from search_spaces.errors import NasError
from tests.nas.store.rows import PROFILE, SPACE, measurement, put_candidates, put_device


def earlier(repeatability=0.02):
    rows = SPACE.sample(9, np.random.default_rng(0))
    return DeviceSamples(
        candidate_ids=tuple(SPACE.candidate(row).id for row in rows),
        genotypes=rows,
        latency_ms=np.linspace(1.0, 3.0, 9),
        repeatability=repeatability,
        failed=frozenset(),
    )


@pytest.mark.parametrize(("factor", "drifted"), [(1.0, False), (1.05, False), (0.95, False), (1.2, True), (0.7, True)])
def test_a_device_has_drifted_where_it_changed_more_than_it_repeats(factor, drifted):
    samples, asked = earlier(), []

    def measure(rows):
        asked.extend(rows.tolist())
        place = [samples.genotypes.tolist().index(row) for row in rows.tolist()]
        return samples.latency_ms[place] * factor

    check = check_drift(samples, measure)
    assert asked == [samples.genotypes[row].tolist() for row in (0, 4, 8)]
    assert check.drifted is drifted
    assert check.change_pct == pytest.approx((factor - 1) * 100)
    assert 8 < check.allowed_pct < 10


def test_one_bad_reading_and_failed_ones_are_no_drift():
    assert not check_drift(earlier(), lambda _rows: np.array([1.0, 2.0, 30.0])).drifted
    assert not check_drift(earlier(), lambda rows: np.full(len(rows), np.nan)).drifted


def test_what_came_before_a_drift_does_not_count(tmp_path):
    home = Home(tmp_path)
    with open_store(tmp_path / "hwnas.db") as store:
        put_device(store)
        ids = put_candidates(store, 3)
        for one in ids:
            store.measurements.add(measurement(one, 1.0, 2.0))
        last = store.measurements.last_number()
        assert len(samples_of(home, store, PROFILE, SPACE)) == 3
        note_drift(home, PROFILE, last)
        assert drifted_at(home, PROFILE) == last
        for value_ms in (4.0, 5.0, 9.0):
            store.measurements.add(measurement(ids[1], value_ms, 10.0))
        samples = samples_of(home, store, PROFILE, SPACE)
    assert samples.candidate_ids == (ids[1],)
    assert samples.latency_ms.tolist() == [5.0]
    for path in tmp_path.rglob("drifted.json"):
        path.write_text("{")
    with pytest.raises(NasError, match="damaged"):
        drifted_at(home, PROFILE)
