"""``hwnas bench device`` on this machine's processor."""

import json

import pytest

from nas.home import Home
from nas.workspace import open_workspace
from search_spaces.registry import get_space

SPACE = get_space("mobilenet_v3:tiny")
ARGUMENTS = ("bench", "device", "--device", "local-cpu/onnxruntime", "--space", SPACE.name)


@pytest.mark.slow
def test_a_calibration_is_compared_with_held_out_measurements_and_continues(hwnas, tmp_path):
    out = tmp_path / "rows.json"
    options = ("--budget", 6, "--held-out", 5)
    first = hwnas.json(*ARGUMENTS, *options, "--out", out)
    assert json.loads(out.read_text()) == first
    (row,) = first
    assert (row["variant"], row["samples_used"], row["held_out_rows"], row["sources"]) == ("calibrated", 6, 5, [])
    assert row["mape_pct"] > 0
    with open_workspace(Home(hwnas.home)) as workspace:
        before = [stored.number for stored in workspace.store.measurements.of("local-cpu/onnxruntime")]
        assert workspace.store.predictors.spaces("local-cpu/onnxruntime") == ()
    assert len(before) == 11
    (again,) = hwnas.json(*ARGUMENTS, *options)
    with open_workspace(Home(hwnas.home)) as workspace:
        after = [stored.number for stored in workspace.store.measurements.of("local-cpu/onnxruntime")]
    assert len(after) == len(before) + 3, "only the look for drift measures again"
    assert again["samples_used"] == 6


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--held-out", 2), "2 networks held out; give from 5"),
        (("--held-out", 5000), "5000 networks held out"),
        (("--budget", 3), "a budget of 3"),
        (("--budget", 5000), "larger than the"),
        (("--sources", "nobody"), "unknown device"),
        (("--precision", "int4"), "--precision"),
        (("--space", "resnet"), "unknown search space"),
        (("--device", "phone"), "cannot be measured here"),
    ],
)
def test_what_cannot_be_compared_is_said(hwnas, options, words):
    assert words in hwnas.refused(*ARGUMENTS, *options)
