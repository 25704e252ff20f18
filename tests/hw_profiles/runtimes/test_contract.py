"""What every runtime must do; one suite over all that are installed, and one that a user wrote."""

import dataclasses

import numpy as np
import pytest

from hw_profiles.agreement import check_agreement, read_reference
from hw_profiles.detect import resolve_profile
from hw_profiles.errors import ArtifactError, CompileError, DisagreementError
from hw_profiles.runtimes.registry import get_runtime, runtime_names, runtimes_of_kind
from tests.plugin.installing import installed_plugin

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # torch reading its own files
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::hw_profiles.errors.CompileWarning"),  # a product that TVM computes in float
]


@pytest.fixture(scope="module", params=[*runtime_names(), "reference"])
def runtime(request, tmp_path_factory):
    if request.param == "reference":
        with installed_plugin(tmp_path_factory.mktemp("site-packages")):
            yield get_runtime(request.param)
        return
    made = get_runtime(request.param)
    made.prepare()
    yield made


@pytest.fixture(scope="module")
def profile(runtime):
    return resolve_profile(f"local-cpu/{runtime.name}")


@pytest.fixture(scope="module")
def artifact(runtime, profile, network, tmp_path_factory):
    return runtime.compile(network, profile, tmp_path_factory.mktemp("artifacts"))


def test_names_itself_and_what_it_executes(runtime, profile):
    assert runtime.name in runtime_names()
    assert runtime.version == profile.runtime_version
    assert runtime.precisions(profile.isa)["fp32"] == "native"


def test_is_found_by_the_kind_of_its_artifacts(runtime):
    assert runtime.name in [one.name for one in runtimes_of_kind(runtime.artifact_kind)]
    assert runtime.artifact_file.endswith(runtime.artifact_suffix)


def test_a_network_without_a_graph_is_a_compile_error(runtime, profile, network, tmp_path):
    none = dataclasses.replace(network, onnx=network.onnx.with_name("gone"))
    with pytest.raises(CompileError, match="gone"):
        runtime.compile(none, profile, tmp_path)


def test_profile_says_how_weights_are_stored(runtime, profile):
    assert profile.weight_bits == {precision: runtime.weight_bits(precision) for precision in profile.precisions}


def test_memory_is_released_between_networks(runtime, profile, artifact, network):
    executable = runtime.load(artifact, profile)
    runtime.release_memory()
    assert runtime.check(executable, network).top1_agreement == 1.0


def test_artifact_is_one_file_with_its_ending(runtime, artifact):
    assert artifact.name.endswith(runtime.artifact_suffix)
    assert [path.name for path in artifact.parent.iterdir()] == [artifact.name]


def test_artifact_computes_what_pytorch_computes(runtime, profile, artifact, network):
    agreement = check_agreement(runtime.load(artifact, profile), network)
    assert agreement.max_abs_error < 1e-5
    assert agreement.top1_agreement == 1.0


def test_quantized_artifact_computes_what_its_graph_says(runtime, profile, quantized_network, tmp_path):
    artifact = runtime.compile(quantized_network, profile, tmp_path)
    agreement = check_agreement(runtime.load(artifact, profile), quantized_network)
    assert agreement.top1_agreement >= 0.5


def test_artifact_needs_nothing_beside_it(runtime, profile, artifact, network, tmp_path):
    alone = tmp_path / f"renamed{runtime.artifact_suffix}"
    alone.write_bytes(artifact.read_bytes())
    check_agreement(runtime.load(alone, profile), network)


def test_times_every_single_call(runtime, profile, artifact, network):
    images, _ = read_reference(network)
    readings_ms = runtime.load(artifact, profile).time(images[:1], calls=5)
    assert len(readings_ms) == 5
    assert min(readings_ms) > 0


def test_timing_leaves_the_outputs_as_they_were(runtime, profile, artifact, network):
    images, _ = read_reference(network)
    executable = runtime.load(artifact, profile)
    before = executable.run(images[:1])
    executable.time(images[1:2], calls=2)
    np.testing.assert_array_equal(executable.run(images[:1]), before)


def test_wrong_reference_is_a_disagreement(runtime, profile, artifact, network, tmp_path):
    with np.load(network.reference) as arrays:
        np.savez(tmp_path / "wrong.npz", input=arrays["input"], output=arrays["output"] + 1.0)
    wrong = dataclasses.replace(network, reference=tmp_path / "wrong.npz")
    with pytest.raises(DisagreementError, match="differs from PyTorch by"):
        check_agreement(runtime.load(artifact, profile), wrong)


def test_input_of_another_shape_is_an_error(runtime, profile, artifact):
    with pytest.raises(ArtifactError, match="cannot run"):
        runtime.load(artifact, profile).run(np.zeros((1, 3, 5, 5), np.float32))


def test_corrupt_network_is_a_compile_error_and_leaves_no_artifact(
    runtime, profile, network, quantized_network, tmp_path
):
    (tmp_path / "bad").write_bytes(b"not a network")
    for files in (network, quantized_network):
        corrupt = dataclasses.replace(files, onnx=tmp_path / "bad")
        with pytest.raises(CompileError, match=r"cannot (load|take|compile)"):
            runtime.compile(corrupt, profile, tmp_path / "artifacts")
    assert not (tmp_path / "artifacts").exists() or not list((tmp_path / "artifacts").iterdir())


def test_corrupt_artifact_is_an_artifact_error(runtime, profile, tmp_path):
    path = tmp_path / f"bad{runtime.artifact_suffix}"
    path.write_bytes(b"not an artifact")
    with pytest.raises(ArtifactError, match="cannot load"):
        runtime.load(path, profile)
