import dataclasses
import os

import pytest

from hw_profiles.detect import Processor, check_runs_here, detect_processor, detect_profiles, resolve_profile
from hw_profiles.errors import ProfileError
from search_spaces.errors import UnknownNameError

ARM = Processor(name="Cortex", architecture="aarch64", isa=("asimd", "asimddp"), cores=4)

CPUINFO = """processor\t: 0
model name\t: Test Processor 3000
flags\t\t: fpu avx2 fma avx512_vnni nonsense

processor\t: 1
model name\t: Another
flags\t\t: sse
"""


def test_reads_the_first_processor(tmp_path):
    (tmp_path / "cpuinfo").write_text(CPUINFO)
    found = detect_processor(tmp_path / "cpuinfo")
    assert found.name == "Test Processor 3000"
    assert found.isa == ("avx2", "avx512_vnni", "fma")
    assert found.cores == os.cpu_count()


def test_works_without_cpuinfo(tmp_path):
    found = detect_processor(tmp_path / "none")
    assert found.name
    assert found.isa == ()


def test_one_profile_a_runtime_on_one_thread():
    profiles = detect_profiles(ARM)
    assert {profile.id for profile in profiles} >= {"local-cpu/onnxruntime", "local-cpu/tvm"}
    assert all((profile.threads, profile.batch) == (1, 1) for profile in profiles)
    assert all(profile.processor == "Cortex" for profile in profiles)


def test_tvm_claims_what_a_probe_shows():
    assert resolve_profile("local-cpu/tvm").executes("int8") in {"native", "emulated"}  # a probe says
    assert resolve_profile("local-cpu/onnxruntime").executes("int8") == "native"


def test_detection_is_repeatable():
    assert [p.fingerprint for p in detect_profiles()] == [p.fingerprint for p in detect_profiles()]


def test_a_profile_of_this_machine_with_other_threads_runs_here():
    check_runs_here(dataclasses.replace(resolve_profile("local-cpu/onnxruntime"), id="local-cpu/one", threads=1))


@pytest.mark.parametrize(
    "changes", [{"processor": "Another"}, {"runtime_version": "0"}, {"runtime": "abacus"}, {"batch": 8}]
)
def test_a_profile_of_another_machine_does_not_run_here(changes):
    with pytest.raises(ProfileError, match=str(next(iter(changes.values())))):
        check_runs_here(dataclasses.replace(resolve_profile("local-cpu/onnxruntime"), **changes))


def test_unknown_profile_names_the_known_ones():
    with pytest.raises(UnknownNameError, match="known: local-cpu/onnxruntime, local-cpu/tvm"):
        resolve_profile("local-cpu/abacus")
