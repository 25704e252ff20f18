"""Networks with random weights: the same files on every run, and activations that stay alive."""

import numpy as np
import pytest

from hw_profiles.runtimes.onnxruntime_runtime import graph_outputs
from nas.home import sha256_of
from nas.measuring.preparation import PreparationFailure
from nas.measuring.untrained_networks import UntrainedPreparer
from nas.measuring.untrained_pool import UntrainedPool
from search_spaces.registry import get_space

SPACE = get_space("mobilenet_v3:tiny")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_files_are_complete_and_kept(tmp_path, precision):
    genotype = SPACE.with_policy(SPACE.smallest(), precision)
    preparer = UntrainedPreparer(SPACE, tmp_path)
    files = preparer.prepare(genotype)
    reference = np.load(files.reference)
    spread = reference["output"].std(axis=0)
    assert spread.min() > 1e-4, "activations died out"
    found = graph_outputs(files.onnx, reference["input"])
    if precision == "fp32":
        assert np.allclose(found, reference["output"], atol=1e-3 * np.abs(found).max())
        assert files.exported_program.exists()
    assert files.quantized is (precision == "int8")
    before = files.onnx.stat().st_mtime_ns
    assert preparer.prepare(genotype) == files
    assert files.onnx.stat().st_mtime_ns == before
    files.onnx.write_bytes(b"damaged")
    digest = sha256_of(preparer.prepare(genotype).onnx)
    assert digest == sha256_of(UntrainedPreparer(SPACE, tmp_path / "other").prepare(genotype).onnx)


def test_a_network_that_takes_too_long_is_a_failure_of_its_own(tmp_path):
    with UntrainedPool(SPACE, tmp_path, processes=1, deadline_s=1e-3) as pool:
        (outcome,) = pool.prepare([SPACE.smallest()])
    assert isinstance(outcome, PreparationFailure)
    assert "longer than" in outcome.message
