"""``hwnas bench kernels`` on this machine: real networks on both runtimes."""

import json

import pytest

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # torch reading its own files
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

TIMES = ("tvm_fp32_ms", "tvm_int8_ms", "onnxruntime_fp32_ms", "onnxruntime_int8_ms")


@pytest.mark.slow
def test_rows_hold_all_four_times_and_agreeing_integer_networks(hwnas, tmp_path):
    out = tmp_path / "kernels.json"
    rows = hwnas.json("bench", "kernels", "--space", "mobilenet_v3:tiny", "--networks", 2, "--out", out)
    assert json.loads(out.read_text("utf-8")) == rows
    assert len({row["summary"] for row in rows}) == 2
    for row in rows:
        assert all(row[name] > 0 for name in TIMES)
        assert row["isa"]
        assert row["int8_largest_difference"] < 0.1


def test_space_without_int8_is_refused(hwnas):
    assert "no int8 policy" in hwnas.refused("bench", "kernels", "--space", "nasbench201")
