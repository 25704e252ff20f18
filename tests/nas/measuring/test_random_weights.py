"""Networks with random weights: the same files on every run, and activations that stay alive."""

from functools import partial

import numpy as np
import pytest

from hw_profiles.onnx_graph import graph_outputs
from nas.home import sha256_of
from nas.measuring.candidate_processes import CandidateProcesses
from nas.measuring.preparation import NetworkPreparer, PreparationFailure, PreparedFiles
from nas.measuring.preparation_pool import PreparationPool
from nas.measuring.random_weights import RandomWeightSource
from search_spaces.errors import NasError
from search_spaces.registry import get_space

SPACE = get_space("mobilenet_v3:tiny")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_files_are_complete_and_kept(tmp_path, precision):
    genotype = SPACE.with_policy(SPACE.smallest(), precision)
    source = RandomWeightSource.from_space(SPACE, tmp_path)
    preparer = NetworkPreparer(source)
    prepared = preparer.prepare(genotype)
    files = prepared.network_files
    reference = np.load(files.reference)
    assert reference["output"].std(axis=0).min() > 1e-4, "activations died out"
    found = graph_outputs(files.onnx, reference["input"])
    if precision == "fp32":
        assert np.allclose(found, reference["output"], atol=1e-3 * np.abs(found).max())
    assert files.quantized is (precision == "int8")
    assert not prepared.weights.exists()
    before = files.onnx.stat().st_mtime_ns
    assert preparer.prepare(genotype) == prepared == PreparedFiles(source, SPACE).find(genotype)
    assert files.onnx.stat().st_mtime_ns == before
    files.onnx.write_bytes(b"damaged")
    assert PreparedFiles(source, SPACE).find(genotype) is None
    digest = sha256_of(preparer.prepare(genotype).onnx)
    other = NetworkPreparer(RandomWeightSource.from_space(SPACE, tmp_path / "other"))
    assert digest == sha256_of(other.prepare(genotype).onnx)


def test_random_weights_have_no_accuracy(tmp_path):
    preparer = NetworkPreparer(RandomWeightSource.from_space(SPACE, tmp_path))
    prepared = preparer.prepare(SPACE.smallest())
    assert prepared.validation is None
    with pytest.raises(NasError, match="no accuracy"):
        assert prepared.accuracy_val
    with pytest.raises(NasError, match="no accuracy"):
        preparer.inherited_accuracy(SPACE.smallest())


def test_a_network_that_takes_too_long_is_a_failure_of_its_own(tmp_path):
    source = RandomWeightSource.from_space(SPACE, tmp_path)
    with PreparationPool(source, executors=partial(CandidateProcesses, processes=1), deadline_s=1e-3) as pool:
        (outcome,) = pool.prepare([SPACE.smallest()])
    assert isinstance(outcome, PreparationFailure)
    assert "longer than" in outcome.message
