"""Whether int8 is native is measured, kept, and never guessed for another processor."""

import dataclasses
import json

import pytest

from hw_profiles.runtimes.tvm_integer.probe import int8_execution, local_int8_execution
from tests.hw_profiles.runtimes.tvm_integer.kernels import LOCAL


def test_probe_measures_and_keeps_its_answer(tmp_path):
    execution = int8_execution(LOCAL, tmp_path)
    (kept,) = tmp_path.iterdir()
    answer = json.loads(kept.read_text("utf-8"))
    assert answer["ratio"] > 0
    assert execution == ("native" if answer["ratio"] <= 0.8 else "emulated")


@pytest.mark.parametrize(("ratio", "execution"), [(0.3, "native"), (1.2, "emulated")])
def test_kept_answer_is_taken(tmp_path, ratio, execution):
    int8_execution(LOCAL, tmp_path)
    (kept,) = tmp_path.iterdir()
    kept.write_text(json.dumps({"ratio": ratio}), "utf-8")
    assert int8_execution(LOCAL, tmp_path) == execution


def test_processor_that_cannot_run_the_probe_is_not_native(tmp_path):
    impossible = dataclasses.replace(LOCAL, architecture="riscv64", isa=("v",))
    assert int8_execution(impossible, tmp_path) == "emulated"
    assert not list(tmp_path.iterdir())


def test_other_processors_are_not_probed_here():
    assert local_int8_execution(("asimd", "asimddp"), "0") == "emulated"
