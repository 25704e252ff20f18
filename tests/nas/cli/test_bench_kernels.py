"""``hwnas bench kernels`` on this machine: real networks on both runtimes."""

import json

import pytest

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # torch reading its own files
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

TIMES = ("tvm_fp32_ms", "tvm_int8_ms", "tvm_w4a8_ms", "onnxruntime_fp32_ms", "onnxruntime_int8_ms")


@pytest.mark.slow
def test_rows_hold_all_times_and_agreeing_integer_networks(hwnas, tmp_path):
    out = tmp_path / "kernels.json"
    rows = hwnas.json("bench", "kernels", "--space", "mobilenet_v3:tiny", "--networks", 2, "--out", out)
    assert json.loads(out.read_text("utf-8")) == rows
    assert len({row["summary"] for row in rows}) == 2
    for row in rows:
        assert all(row[name] > 0 for name in TIMES)
        assert row["isa"]
        assert row["threads"] == 1
        assert row["int8_largest_difference"] < 0.1


@pytest.mark.slow
def test_networks_without_policies_are_timed_in_float(hwnas):
    (row,) = hwnas.json("bench", "kernels", "--space", "nasbench201", "--networks", 1)
    assert [name for name in TIMES if row[name] is not None] == ["tvm_fp32_ms", "onnxruntime_fp32_ms"]
    assert row["int8_top1_agreement"] is None


def test_more_threads_than_cores_are_refused(hwnas):
    assert "9999 threads" in hwnas.refused("bench", "kernels", "--threads", 9999)
