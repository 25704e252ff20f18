"""``hwnas calibrate`` in a space of recorded tables: real cells on this machine, recorded devices as sources."""

import numpy as np
import pytest

from hw_profiles.measurement_table import MeasurementTable
from nas.home import Home
from nas.workflows.predictor_revisions import load_latency
from nas.workspace import open_workspace
from search_spaces.registry import get_space
from tests.predictors.synthetic import device_latency_ms

SPACE = get_space("nasbench201")
DEVICE = "local-cpu/onnxruntime"


@pytest.fixture
def recorded(hwnas, tmp_path):
    """Two recorded devices, whose tables hold the cell that computes nothing too."""
    rng = np.random.default_rng(0)
    nothing = np.zeros((1, len(SPACE.genes)), dtype=np.int64)
    rows = np.unique(np.concatenate([nothing, SPACE.sample(50, rng)]), axis=0)
    table = MeasurementTable(
        space=SPACE.name,
        archs=tuple(SPACE.to_strings(rows)),
        latency_ms={name: device_latency_ms(SPACE, rows, rng) for name in ("phone", "board")},
        accuracy={},
    )
    table.save(tmp_path / "recorded.csv")
    assert hwnas("measurements", "import", tmp_path / "recorded.csv")[0] == 0


@pytest.mark.usefixtures("recorded")
def test_a_device_is_calibrated_with_recorded_sources(hwnas):
    report = hwnas.json("calibrate", DEVICE, "--space", SPACE.name, "--budget", 6)
    assert {source["name"]: source["origin"] for source in report["sources"]} == {
        "phone": "recorded",
        "board": "recorded",
    }
    assert (report["measured"], report["failed"]) == (6, 0)
    for path in report["plots"]:
        assert (hwnas.home / path).read_bytes()[1:4] == b"PNG"
    with open_workspace(Home(hwnas.home)) as workspace:
        predictor = load_latency(workspace.home, workspace.store.predictors.get(report["predictor"]))
    ends = predictor.predict(np.stack([SPACE.smallest(), SPACE.largest()])).value
    assert ends[0] < ends[1]
