"""Predicted weight bytes beside the weights that artifacts really hold."""

import dataclasses

import numpy as np
import pytest

from hw_profiles.detect import resolve_profile
from hw_profiles.runtimes.registry import get_runtime
from hw_profiles.sizes import predicted_weight_bytes
from nas.measuring.preparation import NetworkPreparer
from nas.measuring.random_weights import RandomWeightSource
from search_spaces.facts import CostFacts
from search_spaces.registry import get_space
from search_spaces.task import TaskSpec

SPACE = get_space("mobilenet_v3:tiny", TaskSpec.image_classification(channels=1, height=28, width=28, classes=10))
TVM, ONNX = resolve_profile("local-cpu/tvm"), resolve_profile("local-cpu/onnxruntime")

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # torch reading its own files
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def artifact_bytes(tmp_path_factory):
    """Sizes of the largest network's artifact by (profile id, precision)."""
    folder, sizes = tmp_path_factory.mktemp("sizes"), {}
    preparer = NetworkPreparer(RandomWeightSource.from_space(SPACE, folder))
    for precision in ("fp32", "int8"):
        prepared = preparer.prepare(SPACE.with_policy(SPACE.largest(), precision))
        for profile in (TVM, ONNX):
            artifact = get_runtime(profile.runtime).compile(prepared.network_files, profile, folder / precision)
            sizes[profile.id, precision] = artifact.stat().st_size
    return sizes


@pytest.mark.parametrize("profile", [TVM, ONNX], ids=lambda profile: profile.runtime)
def test_artifacts_hold_the_predicted_weights_and_shrink_with_precision(artifact_bytes, profile):
    rows = np.stack([SPACE.with_policy(SPACE.largest(), precision) for precision in ("fp32", "int8")])
    for precision, weight_bytes in zip(("fp32", "int8"), predicted_weight_bytes(SPACE, rows, profile), strict=True):
        # The graph, or the code, lies beside the weights.
        assert weight_bytes < artifact_bytes[profile.id, precision] < weight_bytes + 1_000_000
    assert artifact_bytes[profile.id, "int8"] < artifact_bytes[profile.id, "fp32"]


def test_a_runtime_that_stores_float_weights_saves_nothing():
    rows = SPACE.sample(20, np.random.default_rng(1))
    floats = dataclasses.replace(TVM, weight_bits={"int8": 32, "w4a8": 32})
    np.testing.assert_allclose(
        predicted_weight_bytes(SPACE, rows, floats), 4 * CostFacts(SPACE).column("parameters", rows)
    )


def test_bits_are_the_profiles_own(tmp_path):
    rows = SPACE.sample(20, np.random.default_rng(1))
    facts = CostFacts(SPACE)
    # An operator's odd number of 4-bit weights is rounded up to a byte.
    found = predicted_weight_bytes(SPACE, rows, ONNX)
    np.testing.assert_allclose(found, facts.column("weight_bytes", rows), atol=facts.column("kernels", rows).max())
    half = dataclasses.replace(ONNX, weight_bits={"int8": 16, "w4a8": 8})
    half.save(tmp_path / "half.toml")
    assert type(half).load(tmp_path / "half.toml") == half
    between = predicted_weight_bytes(SPACE, rows, half)
    assert (between >= predicted_weight_bytes(SPACE, rows, ONNX)).all()
    assert (between <= 4 * facts.column("parameters", rows)).all()
    assert half.fingerprint == ONNX.fingerprint


def test_profiles_stored_before_have_the_bits_that_follow_from_their_kernels():
    for profile in (TVM, ONNX):
        row = profile.as_json()
        row["precisions"] = {name: how for name, how in row["precisions"].items() if how == "native"}
        del row["weight_bits"]
        expected = {name: profile.weight_bits[name] for name in row["precisions"]}
        assert type(profile).from_json(row).weight_bits == expected
