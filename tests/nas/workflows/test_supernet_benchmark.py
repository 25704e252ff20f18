import json

import numpy as np
import pytest
from scipy.stats import kendalltau

from nas.training.settings import TrainingSettings
from nas.workflows.supernet_benchmark import SupernetBenchmarkRequest, sample_networks
from search_spaces.errors import UsageError
from search_spaces.registry import get_space

SPACE = get_space("mobilenet_v3:tiny")


@pytest.fixture
def arguments(small_data):
    return ["bench", "supernet", "--data", f"npz:{small_data}", "--networks", 3, "--epochs", 1, "--threads", 2]


def test_sampled_networks_are_distinct_float_and_seeded():
    found = sample_networks(SPACE, 30, 3)
    texts = [SPACE.to_string(genotype) for genotype in found]
    assert len(set(texts)) == 30
    assert SPACE.to_string(SPACE.largest()) not in texts
    assert "q=" not in "".join(texts)
    assert texts == [SPACE.to_string(genotype) for genotype in sample_networks(SPACE, 30, 3)]
    assert texts != [SPACE.to_string(genotype) for genotype in sample_networks(SPACE, 30, 4)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"networks": 2}, "give from 3"), ({"rate_factors": ()}, "factors"), ({"rate_factors": (0.0,)}, "factors")],
)
def test_requests_out_of_range_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        SupernetBenchmarkRequest(data="fashion-mini", space=SPACE.name, settings=TrainingSettings(), **changes)


def test_the_benchmark_writes_each_network_and_what_follows(hwnas, arguments, tmp_path):
    path = tmp_path / "rows.json"
    code, output, errors = hwnas(*arguments, "--rate-factors", "1,2", "--finish-epochs", 0.5, "--out", path)
    assert code == 0, errors
    assert "alone minus inherited" in output
    found = json.loads(path.read_text())
    largest, *sampled = found["networks"]
    assert len(sampled) == 3
    assert not largest["sampled"]
    assert all(row["sampled"] for row in sampled)
    assert found["images_test"] == 100
    for row in found["networks"]:
        for name in ("inherited", "finished", "alone"):
            assert 0 <= row[f"{name}_val"] <= 1
            assert round(row[f"{name}_test"] * 100, 6).is_integer()
        assert row["alone_rate_factor"] in (1.0, 2.0)
        assert 0 <= row["expected_val"] <= 1
    tau = kendalltau([row["expected_val"] for row in sampled], [row["alone_test"] for row in sampled]).statistic
    assert found["kendall_tau_expected"] == (None if np.isnan(tau) else pytest.approx(tau))
    gaps = [row["alone_test"] - row["inherited_test"] for row in sampled]
    assert found["gap_test"] == pytest.approx(np.mean(gaps))
    assert found["worst_gap_test"] == pytest.approx(max(gaps))
    assert found["images_per_s"] > 0
    assert found["step_cost_ratio"] > 0
    assert {"kendall_tau", "kendall_tau_interval_90", "kendall_tau_noise_corrected"} <= found.keys()
    # Nothing is trained again; without finishing, its columns are empty.
    again = hwnas.json(*arguments, "--rate-factors", "1,2", "--finish-epochs", 0)
    assert [row["alone_test"] for row in again["networks"]] == [row["alone_test"] for row in found["networks"]]
    assert {row["finished_test"] for row in again["networks"]} == {None}
    assert {row["expected_val"] for row in again["networks"]} == {None}
    assert again["kendall_tau_expected"] is None


def test_bad_factors_are_a_usage_error(hwnas, arguments):
    assert "--rate-factors is 'fast'" in hwnas.refused(*arguments, "--rate-factors", "fast")
