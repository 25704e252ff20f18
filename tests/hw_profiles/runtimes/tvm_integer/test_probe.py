"""Which integer kernels are native is measured, kept, and never guessed for another processor."""

import dataclasses
import json

import pytest

from hw_profiles.runtimes.tvm_integer.probe import WEIGHT_BITS, executions, local_executions
from tests.hw_profiles.runtimes.tvm_integer.kernels import LOCAL


def test_probe_measures_and_keeps_its_answer(tmp_path):
    found = executions(LOCAL, tmp_path)
    (kept,) = tmp_path.iterdir()
    ratios = json.loads(kept.read_text("utf-8"))["ratios"]
    assert all(ratio > 0 for ratio in ratios.values())
    assert found == {bits: "native" if ratios[str(bits)] <= 0.8 else "emulated" for bits in WEIGHT_BITS}


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ({"8": 0.3, "4": 0.4}, {8: "native", 4: "native"}),
        ({"8": 0.3, "4": 1.1}, {8: "native", 4: "emulated"}),
        ({"8": 1.2, "4": 1.3}, {8: "emulated", 4: "emulated"}),
    ],
)
def test_kept_answer_is_taken(tmp_path, ratios, expected):
    executions(LOCAL, tmp_path)
    (kept,) = tmp_path.iterdir()
    kept.write_text(json.dumps({"ratios": ratios}), "utf-8")
    assert executions(LOCAL, tmp_path) == expected


def test_an_answer_that_lacks_a_kernel_is_asked_again(tmp_path):
    executions(LOCAL, tmp_path)
    (kept,) = tmp_path.iterdir()
    kept.write_text(json.dumps({"ratios": {"8": 0.3}}), "utf-8")
    executions(LOCAL, tmp_path)
    assert set(json.loads(kept.read_text("utf-8"))["ratios"]) == {"8", "4"}


def test_processor_that_cannot_run_the_probe_is_not_native(tmp_path):
    impossible = dataclasses.replace(LOCAL, architecture="riscv64", isa=("v",))
    assert executions(impossible, tmp_path) == {8: "emulated", 4: "emulated"}
    assert not list(tmp_path.iterdir())


def test_other_processors_are_not_probed_here():
    assert local_executions(("asimd", "asimddp"), "0") == {8: "emulated", 4: "emulated"}
