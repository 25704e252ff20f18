"""What a search's latency predictor is fitted to: sources and earlier measurements, frozen, never for the worse."""

from dataclasses import replace

import numpy as np
import pytest

from hw_profiles.measurement_table import MeasurementTable
from nas.home import Home
from nas.measuring.context import DeviceContext
from nas.progress import SilentProgress
from nas.recorded_tables import RecordedTables
from nas.store.store import open_store
from nas.workflows.latency_fitting import latency_fitter
from nas.workspace import Workspace
from predictors.metrics import mape_pct
from tests.databases import SteppedClock
from tests.nas.store.rows import PROFILE, SPACE, measurement, put_device
from tests.predictors.synthetic import device_latency_ms

FIRST, LATER = "2025-12-31T23:59:00+00:00", "2026-01-01T00:10:00+00:00"


@pytest.fixture
def context(tmp_path):
    with open_store(tmp_path / "hwnas.db", clock=SteppedClock()) as store:
        put_device(store)
        workspace = Workspace(Home(tmp_path), store)
        yield DeviceContext(workspace=workspace, space=SPACE, profile=PROFILE, progress=SilentProgress())


def networks(count, seed):
    return np.unique(SPACE.sample(count, np.random.default_rng(seed)), axis=0)


def law(rows, speedup=1.0, scale=1.0):
    return scale * device_latency_ms(SPACE, rows, np.random.default_rng(0), integer_speedup=speedup)


def record(context, tmp_path, columns):
    rows = networks(80, 1)
    table = MeasurementTable(
        space=SPACE.name,
        archs=tuple(SPACE.to_strings(rows)),
        latency_ms={name: of_rows(rows) for name, of_rows in columns.items()},
        accuracy={},
    )
    path = tmp_path / "recorded.csv"
    table.save(path)
    RecordedTables(context.workspace.home).add([path])


def measure(context, rows, latency_ms, measured_at=FIRST):
    ids = context.store.candidates.put(SPACE, rows)
    for candidate_id, value_ms in zip(ids, latency_ms, strict=True):
        one = measurement(candidate_id, float(value_ms), float(value_ms) * 1.2)
        context.store.measurements.add(replace(one, measured_at=measured_at))


def test_known_devices_inform_the_first_fits(context, tmp_path):
    record(context, tmp_path, {"slower": lambda rows: law(rows, scale=3.0), "integer": lambda rows: law(rows, 3.0)})
    fitter = latency_fitter(context)
    assert [device.name for device in fitter.known.devices] == ["slower", "integer"]
    rows, unseen = networks(10, 2), networks(60, 3)
    informed = fitter.fit(rows, law(rows, 1.5), 0.02)
    assert len(informed.sources) == 2
    alone = replace_sources(fitter).fit(rows, law(rows, 1.5), 0.02)
    assert informed.held_out.mape_pct <= alone.held_out.mape_pct
    truth = law(unseen, 1.5)
    assert mape_pct(truth, informed.predict(unseen).value) < mape_pct(truth, alone.predict(unseen).value)


def replace_sources(fitter):
    return replace(fitter, _extractors=fitter._extractors[-1:])


def test_misleading_devices_are_left_out(context, tmp_path):
    rng = np.random.default_rng(5)
    record(context, tmp_path, {name: lambda rows: rng.uniform(1.0, 9.0, len(rows)) for name in ("noise", "other")})
    fitter = latency_fitter(context)
    assert len(fitter.known.devices) == 2
    rows = networks(40, 2)
    alone = replace_sources(fitter).fit(rows, law(rows), 0.02)
    assert fitter.fit(rows, law(rows), 0.02).held_out.mape_pct <= alone.held_out.mape_pct


def test_earlier_measurements_join_and_come_last(context):
    earlier, rows = networks(12, 2), networks(8, 3)
    both = np.concatenate([earlier, rows[:2]])
    measure(context, both, law(both))
    fitter = latency_fitter(context)
    predictor = fitter.fit(rows, law(rows), 0.02)
    assert predictor.held_out.n == len(rows) + len(earlier)
    assert len(fitter.earlier.without(rows)[0]) == len(earlier)
    assert fitter.fit_earlier().held_out.n == len(both)
    first = fitter.fit(rows, law(rows), 0.02).predict(earlier).value
    assert np.array_equal(first, predictor.predict(earlier).value)


def test_a_resumed_search_fits_what_the_interrupted_one_fitted(context, tmp_path):
    measure(context, networks(12, 2), law(networks(12, 2)))
    began = context.store.clock()
    rows, unseen = networks(8, 3), networks(30, 4)
    before = latency_fitter(context, before=began).fit(rows, law(rows), 0.02)
    measure(context, rows, law(rows) * 1.5, LATER)
    record(context, tmp_path, {"a": law, "b": lambda rows: law(rows, 3.0)})
    context.store.drifts.add(PROFILE, last_measurement=5, checked=3, change_pct=30.0, allowed_pct=8.0)
    after = latency_fitter(context, before=began).fit(rows, law(rows), 0.02)
    assert after.data_sha256 == before.data_sha256
    assert np.array_equal(after.predict(unseen).value, before.predict(unseen).value)
    assert np.array_equal(after.predict(unseen).high, before.predict(unseen).high)
    now = latency_fitter(context)
    assert len(now.known.devices) == 2
    assert len(now.earlier) == len(np.unique(np.concatenate([networks(12, 2)[5:], rows]), axis=0))
