import numpy as np
import pytest

from nas.home import Home
from nas.measuring.context import DeviceContext
from nas.measuring.device_measurements import DeviceSamples
from nas.measuring.drift import check_drift, find_drift
from nas.progress import SilentProgress
from nas.store.store import open_store
from nas.workflows.fitting import fit_predictors
from nas.workflows.latency_fitting import latency_fitter
from nas.workflows.measurement_tables import own_measurements
from nas.workspace import Workspace
from predictors.errors import UnfitDataError
from tests.nas.store.rows import PROFILE, SPACE, measurement, put_candidates, put_device, put_supernet


def earlier(repeatability=0.02):
    rows = SPACE.sample(9, np.random.default_rng(0))
    return DeviceSamples(
        candidate_ids=tuple(SPACE.candidate(row).id for row in rows),
        genotypes=rows,
        latency_ms=np.linspace(1.0, 3.0, 9),
        latency_p95_ms=np.linspace(1.5, 4.5, 9),
        weights=np.ones(9),
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


def test_a_drift_that_is_found_is_respected_by_everyone(tmp_path):
    """A calibration's finding, read by what search, fit, predict and tables ask."""
    workspace = Workspace(Home(tmp_path), open_store(tmp_path / "hwnas.db"))
    with workspace.store as store:
        put_device(store)
        ids = put_candidates(store, 6)
        supernet = store.supernets.get(put_supernet(store))
        for one in ids:
            store.measurements.add(measurement(one, 1.0, 2.0), supernet_id=supernet.id)
        context = DeviceContext(workspace=workspace, space=SPACE, profile=PROFILE, progress=SilentProgress())
        known = context.measurements().samples()
        assert len(known) == 6
        assert not find_drift(context, known, lambda rows: np.full(len(rows), 1.01)).drifted
        assert context.measurements().drift() is None
        assert find_drift(context, known, lambda rows: np.full(len(rows), 4.0)).drifted
        assert context.measurements().drift().change_pct == pytest.approx(300)
        for value_ms in (4.0, 5.0, 9.0):
            store.measurements.add(measurement(ids[1], value_ms, 10.0))
        samples = context.measurements().samples()
        assert samples.candidate_ids == (ids[1],)
        assert samples.latency_ms.tolist() == [5.0]
        assert len(latency_fitter(context).earlier) == 1
        with pytest.raises(UnfitDataError, match="1 samples are too few"):
            fit_predictors(workspace, supernet, PROFILE)
        assert own_measurements(workspace, SPACE.name).latency_ms[PROFILE.id].tolist() == [5.0]


def test_too_little_to_compare_with_is_no_check(tmp_path):
    workspace = Workspace(Home(tmp_path), open_store(tmp_path / "hwnas.db"))
    with workspace.store:
        context = DeviceContext(workspace=workspace, space=SPACE, profile=PROFILE, progress=SilentProgress())
        assert find_drift(context, context.measurements().samples(), lambda rows: rows[:, 0]) is None
