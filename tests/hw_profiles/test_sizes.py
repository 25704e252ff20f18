"""Predicted weight bytes beside the weights that artifacts really hold."""

import dataclasses

import numpy as np
import pytest

from hw_profiles.detect import resolve_profile
from hw_profiles.runtimes.registry import get_runtime
from hw_profiles.sizes import predicted_weight_bytes
from nas.measuring.deployed_files import deployed_files, write_deployed_files
from nas.networks.building import build_network
from search_spaces.facts import CostFacts
from search_spaces.registry import get_space
from search_spaces.task import ImageTask

SPACE = get_space("mobilenet_v3:tiny", ImageTask(channels=1, height=28, width=28, classes=10))
TVM, ONNX = resolve_profile("local-cpu/tvm"), resolve_profile("local-cpu/onnxruntime")

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # torch reading its own files
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def artifact_bytes(tmp_path_factory):
    """Sizes of the largest network's artifact by (profile id, precision)."""
    folder, images = tmp_path_factory.mktemp("sizes"), np.random.default_rng(0)
    reference = images.standard_normal((4, *SPACE.task.shape), dtype=np.float32)
    sizes = {}
    for precision in ("fp32", "int8"):
        (folder / precision).mkdir()
        network = build_network(SPACE, SPACE.with_policy(SPACE.largest(), precision)).eval()
        files = deployed_files(folder / precision, f"largest-{precision}", quantized=precision == "int8")
        write_deployed_files(network.deploy(), files, reference=reference, calibration=reference)
        for profile in (TVM, ONNX):
            artifact = get_runtime(profile.runtime).compile(files, profile, folder)
            sizes[profile.id, precision] = artifact.stat().st_size
    return sizes


@pytest.mark.parametrize("profile", [TVM, ONNX], ids=lambda profile: profile.runtime)
def test_artifacts_shrink_with_precision_as_predicted(artifact_bytes, profile):
    """A TVM library holds float32 weights for int8 units; a limit between the two sizes must not rule it out."""
    rows = np.stack([SPACE.with_policy(SPACE.largest(), precision) for precision in ("fp32", "int8")])
    fp32, int8 = predicted_weight_bytes(SPACE, rows, profile)
    found = artifact_bytes[profile.id, "int8"] / artifact_bytes[profile.id, "fp32"]
    # The graph or code beside the weights moves the ratio.
    assert int8 / fp32 == pytest.approx(found, abs=0.15)
    for precision, weights in (("fp32", fp32), ("int8", int8)):
        assert weights < artifact_bytes[profile.id, precision]


def test_bits_are_the_profiles_own(tmp_path):
    rows = SPACE.sample(20, np.random.default_rng(1))
    facts = CostFacts(SPACE)
    np.testing.assert_allclose(predicted_weight_bytes(SPACE, rows, ONNX), facts.column("weight_bytes", rows))
    np.testing.assert_allclose(predicted_weight_bytes(SPACE, rows, TVM), 4 * facts.column("parameters", rows))
    half = dataclasses.replace(ONNX, weight_bits={"int8": 16})
    half.save(tmp_path / "half.toml")
    assert type(half).load(tmp_path / "half.toml") == half
    between = predicted_weight_bytes(SPACE, rows, half)
    assert (between >= predicted_weight_bytes(SPACE, rows, ONNX)).all()
    assert (between <= predicted_weight_bytes(SPACE, rows, TVM)).all()
    assert half.fingerprint == ONNX.fingerprint


def test_profiles_stored_before_have_the_bits_that_follow_from_their_kernels():
    for profile in (TVM, ONNX):
        row = profile.as_json()
        del row["weight_bits"]
        assert type(profile).from_json(row).weight_bits == profile.weight_bits
