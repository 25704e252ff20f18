"""Artifacts of TVM: refused where their code cannot run, and the same on several threads."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from hw_profiles import detect
from hw_profiles.detect import detect_processor, resolve_profile
from hw_profiles.errors import ArtifactError
from hw_profiles.runtimes.tvm_runtime import TvmRuntime

pytestmark = pytest.mark.filterwarnings("ignore::hw_profiles.errors.CompileWarning")  # a product in float

LOCAL = resolve_profile("local-cpu/tvm")
RUNTIME = TvmRuntime()


@pytest.fixture(scope="module")
def artifact(quantized_network, tmp_path_factory):
    return RUNTIME.compile(quantized_network, LOCAL, tmp_path_factory.mktemp("artifact"))


def test_processor_without_the_needed_instructions_is_refused_in_one_sentence(artifact, monkeypatch):
    older = dataclasses.replace(detect_processor(), name="Older CPU", isa=("sse4_2",))
    monkeypatch.setattr(detect, "detect_processor", lambda: older)
    with pytest.raises(ArtifactError) as caught:
        RUNTIME.load(artifact, LOCAL)
    message = str(caught.value)
    assert all(name in message for name in LOCAL.isa if name in ("avx2", "avx512_vnni"))
    assert "sse4_2" not in message
    assert "Older CPU" in message
    assert "\n" not in message


def test_profile_without_instruction_sets_makes_artifacts_for_every_processor(network, tmp_path, monkeypatch):
    artifact = RUNTIME.compile(network, dataclasses.replace(LOCAL, isa=()), tmp_path)
    monkeypatch.setattr(detect, "detect_processor", lambda: dataclasses.replace(detect_processor(), isa=()))
    with np.load(network.reference) as arrays:
        assert np.isfinite(RUNTIME.load(artifact, LOCAL).run(arrays["input"][:1])).all()


@pytest.mark.skipif(LOCAL.cores < 2, reason="one core")
def test_two_threads_give_the_outputs_of_one(quantized_network, artifact, tmp_path):
    """In a process of its own: the number of threads is read once."""
    parallel = RUNTIME.compile(quantized_network, dataclasses.replace(LOCAL, threads=2), tmp_path)
    program = (
        "import sys, numpy as np\n"
        "from hw_profiles.detect import resolve_profile\n"
        "from hw_profiles.runtimes.tvm_runtime import TvmRuntime\n"
        "images = np.load(sys.argv[2])['input']\n"
        "run = TvmRuntime().load(__import__('pathlib').Path(sys.argv[1]), resolve_profile('local-cpu/tvm')).run\n"
        "np.save(sys.argv[3], np.concatenate([run(image[None]) for image in images]))\n"
    )
    found = []
    for threads, library in ((1, artifact), (2, parallel)):
        out = tmp_path / f"{threads}.npy"
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program, library, quantized_network.reference, out],
            check=True, env={"TVM_NUM_THREADS": str(threads), "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        found.append(np.load(out))
    np.testing.assert_array_equal(found[0], found[1])
