"""A third objective as color: which one, in which unit, and in the front's own plots."""

import math

import pytest

from nas.fronts.color_scale import ColorScale
from nas.fronts.front import Accuracy, Baselines, Front, Latency, Member
from nas.fronts.plot import plot_html, plot_png

PEAK = ("accuracy", "latency_p50_ms", "peak_memory_bytes")


def member(latency_ms, accuracy, **metrics):
    return Member(
        candidate="a" * 64,
        summary="a network",
        precision="fp32",
        size_bytes=2**20,
        latency_p50_ms=Latency(measured=latency_ms),
        latency_p95_ms=Latency(measured=latency_ms),
        accuracy_val=accuracy,
        accuracy=Accuracy(expected=accuracy, interval_90=(accuracy - 0.01, accuracy + 0.01)),
        metrics=metrics,
    )


def test_two_objectives_need_no_color():
    assert ColorScale.of(("latency_p50_ms", "accuracy"), [member(1.0, 0.8)]) is None


def test_bytes_are_shown_in_mebibytes_and_missing_values_are_nan():
    colored = ColorScale.of(PEAK, [member(1.0, 0.8, peak_memory_bytes=3 * 2**20), member(2.0, 0.9)])
    assert colored.label == "peak memory, MiB"
    assert colored.values[0] == 3.0
    assert math.isnan(colored.values[1])


def test_times_keep_their_unit():
    assert ColorScale.of(("accuracy", "latency_p95_ms"), [member(1.0, 0.8)]).label == "latency p95, ms"


@pytest.mark.parametrize("objectives", [("latency_p50_ms", "accuracy"), PEAK], ids=["two", "three"])
def test_plots_of_a_front(objectives, tmp_path):
    largest = member(3.0, 0.92, peak_memory_bytes=9e6)
    front = Front(
        device="local-cpu/tvm",
        space="mobilenet_v3:tiny",
        data="fashion-mini",
        seed=0,
        evaluations=30,
        members=(member(1.0, 0.8, peak_memory_bytes=5e6), member(2.0, 0.9, peak_memory_bytes=4e6)),
        baselines=Baselines(largest_fp32=largest, largest_int8=largest, random=()),
        objectives=objectives,
    )
    plot_png(front, tmp_path / "front.png")
    plot_html(front, tmp_path / "front.html")
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
    assert ("peak memory, MiB" in (tmp_path / "front.html").read_text()) == (len(objectives) == 3)
