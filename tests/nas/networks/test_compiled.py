"""Compiled networks of the spaces without a supernet say what the torch modules say."""

import warnings

import numpy as np
import pytest

from hw_profiles.detect import detect_profiles
from hw_profiles.runtimes.registry import get_runtime
from nas.measuring.preparation import NetworkPreparer
from nas.measuring.random_weights import RandomWeightSource
from nas.workflows.population import population
from tests.nas.networks.spaces import ODD_SPACES, SMALL_SPACES, label

PROFILES = {profile.runtime: profile for profile in detect_profiles()}
MORE_SPACES = (*SMALL_SPACES[1:], ODD_SPACES[0])
SPACES = (SMALL_SPACES[0], *(pytest.param(space, marks=pytest.mark.slow) for space in MORE_SPACES))


@pytest.mark.parametrize("runtime", ["tvm", "onnxruntime"])
@pytest.mark.parametrize("space", SPACES, ids=label)
def test_a_compiled_network_reproduces_the_reference(space, runtime, tmp_path):
    pool = population(space, 0)
    genotype = pool[np.random.default_rng(3).integers(len(pool))]
    compiler, profile = get_runtime(runtime), PROFILES[runtime]
    with warnings.catch_warnings():  # the exporters' own deprecations
        warnings.simplefilter("ignore")
        files = NetworkPreparer(RandomWeightSource.from_space(space, tmp_path)).prepare(genotype).network_files
        executable = compiler.load(compiler.compile(files, profile, tmp_path), profile)
    reference = np.load(files.reference)
    found = np.concatenate([executable.run(image[None]) for image in reference["input"]])
    allowed = files.relative_tolerance * np.abs(reference["output"]).max()
    assert np.abs(found - reference["output"]).max() < allowed
