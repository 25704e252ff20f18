"""A predictor whose device has drifted says so, like one whose runtime has changed."""

import pytest

from nas.home import Home
from nas.store.store import open_store
from nas.workflows.predicting import predict_latencies
from nas.workspace import Workspace
from tests.databases import SteppedClock
from tests.nas.predictors_at_hand import put_latency_predictor
from tests.nas.store.rows import PROFILE, SPACE


@pytest.mark.parametrize("seconds", [-60, 60])
def test_predictions_are_stale_after_a_drift(tmp_path, seconds):
    clock = SteppedClock()
    with open_store(tmp_path / "hwnas.db", clock=clock) as store:
        home = Home(tmp_path)
        put_latency_predictor(home, store)
        clock.forward(seconds)
        store.drifts.add(PROFILE, last_measurement=7, checked=3, change_pct=30.0, allowed_pct=8.0)
        asked = [SPACE.to_string(SPACE.largest())]
        assert predict_latencies(Workspace(home, store), PROFILE.id, SPACE.name, asked).stale is (seconds > 0)
