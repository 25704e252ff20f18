"""What int8 costs, by recipe: figures by hand, bad words, and one real run."""

import pytest

from nas.workflows.quantization_benchmark import RECIPES, TRAINED, QuantizationRow, sampled_networks
from search_spaces.registry import get_space

SPACE = get_space("mobilenet_v3:tiny")


def row(accuracy):
    return QuantizationRow(
        summary="n", recipe="minmax", precision="int8", accuracy_fp32=0.8, accuracy=accuracy, images=100
    )


def test_losses_are_points_and_a_collapse_is_shown():
    assert row(0.79).loss_points == pytest.approx(1.0)
    assert [row(accuracy).as_json()["collapsed"] for accuracy in (0.79, 0.41, 0.39)] == [False, False, True]


def test_networks_are_distinct_floats_and_begin_with_the_ends():
    rows = sampled_networks(SPACE, 12, 0)
    assert len({one.tobytes() for one in rows}) == 12
    assert {one.tobytes() for one in rows} >= {SPACE.smallest().tobytes(), SPACE.largest().tobytes()}
    assert not rows[:, SPACE.policy_columns].any()


def test_wrong_words_on_the_line_are_one_sentence(hwnas, supernet):
    assert supernet["supernet"]
    assert "minmax+bias" in hwnas.refused("bench", "quantization", "--recipes", "guess")


def test_a_real_run_on_two_networks(hwnas, supernet):
    assert supernet["supernet"]
    rows = hwnas.json("bench", "quantization", "--networks", 2, "--recipes", "minmax,mse+bias")
    assert [one["recipe"] for one in rows] == ["minmax", "mse+bias"] * 2
    assert all(0 < one["accuracy"] <= 1 and one["images"] == rows[0]["images"] for one in rows)
    assert set(RECIPES) >= {one["recipe"] for one in rows}


@pytest.mark.slow
def test_finished_networks_are_compared_with_quantization_aware_training(hwnas, supernet):
    assert supernet["supernet"]
    rows = hwnas.json("bench", "quantization", "--networks", 1, "--recipes", "minmax", "--finish-epochs", 2)
    assert [one["recipe"] for one in rows] == ["minmax", TRAINED]
    assert rows[0]["accuracy_fp32"] == rows[1]["accuracy_fp32"]


def test_the_sensitivity_of_a_real_network(hwnas, supernet, tmp_path):
    assert supernet["supernet"]
    found = hwnas.json("sensitivity", SPACE.to_string(SPACE.smallest()), "--plot", tmp_path / "s.png")
    for precision in SPACE.precisions[1:]:
        own = [one["unit"] for one in found["units"] if one["precision"] == precision]
        assert own == list(SPACE.unit_precisions(SPACE.smallest()))
    assert all(one["divergence"] >= 0 and one["loss_increase"] is not None for one in found["units"])
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
