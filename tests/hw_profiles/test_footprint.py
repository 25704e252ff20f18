"""Memory and load time of artifacts, against a runtime whose memory is known."""

import numpy as np
import pytest

from hw_profiles.agreement import read_reference
from hw_profiles.detect import resolve_profile
from hw_profiles.errors import ArtifactError
from hw_profiles.footprint import measure_footprint
from hw_profiles.runtimes.protocol import Runtime
from hw_profiles.runtimes.registry import get_runtime, runtime_names

PROFILE = resolve_profile("local-cpu/onnxruntime")
MIB = 2**20


class Held:
    """Holds its file's bytes as float32 and needs as much again, for a moment, to run."""

    def __init__(self, weights):
        self.weights = weights

    def run(self, image):
        scratch = np.ones(8 * MIB, np.uint8)
        return np.full((1, 1), scratch[0] + self.weights[0] + image.sum(), np.float32)

    def time(self, image, *, calls):
        raise NotImplementedError


class Ballast(Runtime):
    name = version = artifact_kind = "ballast"
    artifact_suffix = ".bin"
    loaded = ()

    def precisions(self, isa):  # noqa: ARG002 - the same on all
        return {"fp32": "native"}

    def prepare(self):
        pass

    def compile(self, files, profile, folder):
        raise NotImplementedError

    def load(self, artifact, profile):  # noqa: ARG002 - plain memory
        self.loaded = (*self.loaded, artifact.name)
        return Held(np.fromfile(artifact, np.uint8).astype(np.float32))


@pytest.mark.parametrize("weights_mib", [2, 16])
def test_weights_and_the_memory_of_a_run_are_counted_at_their_peak(tmp_path, weights_mib):
    artifact = tmp_path / "weights.bin"
    artifact.write_bytes(bytes(weights_mib * MIB))
    footprint, executable = measure_footprint(Ballast(), PROFILE, artifact, np.zeros((1, 1, 2, 2), np.float32))
    # While it loads: its bytes and, four times as large, the floats; while it runs: the floats and 8 MiB.
    expected = max(weights_mib * 5, weights_mib * 4 + 8) * MIB
    # The allocator may keep the bytes when the floats are made of them, and a process that did much before grows a bit.
    assert expected - MIB / 2 <= footprint.peak_memory_bytes <= expected + (weights_mib + 2) * MIB
    assert footprint.load_time_ms > 0
    assert executable.weights.size == weights_mib * MIB


def test_every_load_is_of_a_file_that_was_not_loaded_before(tmp_path):
    runtime, artifact = Ballast(), tmp_path / "weights.bin"
    artifact.write_bytes(b"1234")
    measure_footprint(runtime, PROFILE, artifact, np.zeros((1, 1, 2, 2), np.float32))
    assert 1 <= len(runtime.loaded) == len(set(runtime.loaded)) <= 3


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("name", runtime_names())
def test_the_network_that_is_handed_on_runs_after_its_copy_is_gone(name, network, tmp_path):
    runtime, profile = get_runtime(name), resolve_profile(f"local-cpu/{name}")
    artifact = runtime.compile(network, profile, tmp_path)
    images, _ = read_reference(network)
    footprint, executable = measure_footprint(runtime, profile, artifact, images[:1])
    assert footprint.peak_memory_bytes is None or 0 < footprint.peak_memory_bytes < 64 * MIB
    assert runtime.check(executable, network).top1_agreement == 1.0


def test_an_artifact_that_does_not_load_is_an_error(tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"no graph")
    with pytest.raises(ArtifactError):
        measure_footprint(
            get_runtime("onnxruntime"), PROFILE, tmp_path / "bad.onnx", np.zeros((1, 1, 2, 2), np.float32)
        )
