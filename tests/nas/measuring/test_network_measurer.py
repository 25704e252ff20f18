"""Measuring on this machine's processor: one clock for all sessions, whatever is deleted between them."""

import shutil

import numpy as np
import pytest

from hw_profiles.detect import detect_profiles
from hw_profiles.errors import MeasuringError
from hw_profiles.measurement import Measurement, MeasurementFailure
from nas.home import Home
from nas.measuring.context import DeviceContext
from nas.measuring.network_measurer import AnchorError, prepare_anchor, random_weight_measurer
from nas.measuring.preparation import PreparationFailure
from nas.progress import SilentProgress
from nas.workspace import open_workspace
from search_spaces.registry import get_space

SPACE = get_space("mobilenet_v3:tiny")
PROFILE = next(profile for profile in detect_profiles() if profile.id == "local-cpu/onnxruntime")
ANCHOR = SPACE.candidate(SPACE.largest()).id
REFERENCE_MS = 1000.0
"""Far from what the anchor takes on any machine."""


@pytest.fixture
def context(tmp_path):
    with open_workspace(Home(tmp_path)) as workspace:
        yield DeviceContext(workspace=workspace, space=SPACE, profile=PROFILE, progress=SilentProgress())


def measured(context, genotype):
    with random_weight_measurer(context) as measurer:
        (latency_ms,) = measurer.latencies_ms(genotype[None])
    return latency_ms


def test_the_anchors_reference_outlives_the_cache(context):
    first_ms = measured(context, SPACE.smallest())
    reference_ms = context.store.anchor_references.find(PROFILE, ANCHOR)
    assert 0 < first_ms < reference_ms
    shutil.rmtree(context.workspace.home.cache)
    assert measured(context, SPACE.smallest()) > 0
    assert context.store.anchor_references.find(PROFILE, ANCHOR) == reference_ms
    stored = context.store.measurements.of(PROFILE.id)
    assert [one.supernet_id for one in stored] == [None, None]
    assert all(isinstance(one.outcome, Measurement) for one in stored)


def test_readings_are_scaled_to_the_stored_reference(context):
    context.store.devices.put(PROFILE)
    context.store.candidates.put(SPACE, SPACE.largest()[None])
    context.store.anchor_references.keep(PROFILE, ANCHOR, REFERENCE_MS)
    assert measured(context, SPACE.largest()) == pytest.approx(REFERENCE_MS, rel=0.5)


class FailingPool:
    """A pool whose processes prepare nothing."""

    def prepare(self, genotypes):
        return [PreparationFailure(candidate_id=SPACE.candidate(row).id, message="no room") for row in genotypes]


def test_an_anchor_that_cannot_be_prepared_is_said(context):
    with pytest.raises(AnchorError, match="no room"):
        prepare_anchor(context, FailingPool())


def _genotypes(count):
    return SPACE.sample(count, np.random.default_rng(0))


def _failures(context):
    return [
        one.outcome for one in context.store.measurements.of(PROFILE.id) if isinstance(one.outcome, MeasurementFailure)
    ]


def test_a_cache_that_is_deleted_before_networks_are_measured_fails_none(context):
    context.store.candidates.put(SPACE, _genotypes(2))
    with random_weight_measurer(context) as measurer:
        batch = measurer.prepare(list(_genotypes(2)))
        shutil.rmtree(context.workspace.home.cache)
        outcomes = measurer.measure(batch)
    assert all(isinstance(one, Measurement) for one in outcomes.values())
    assert _failures(context) == []


def _fill_with_garbage(folder):
    for path in folder.rglob(f"*.{PROFILE.runtime}.*"):
        path.write_bytes(b"garbage")


@pytest.mark.parametrize("harm", [shutil.rmtree, _fill_with_garbage], ids=["deleted", "garbage"])
def test_harm_to_the_cache_while_networks_are_measured_fails_none(context, harm):
    context.store.candidates.put(SPACE, _genotypes(3))
    with random_weight_measurer(context) as measurer:
        batch = measurer.prepare(list(_genotypes(3)))
        outcomes = measurer.measure(
            batch, lambda done, _outcome: harm(context.workspace.home.cache) if done == 1 else None
        )
    assert len(outcomes) == 3
    assert all(isinstance(one, Measurement) for one in outcomes.values())
    assert _failures(context) == []


def test_a_folder_that_cannot_be_written_fails_the_job_and_no_network(context):
    context.store.candidates.put(SPACE, _genotypes(1))
    with random_weight_measurer(context) as measurer:
        batch = measurer.prepare(list(_genotypes(1)))
        compiled = context.workspace.home.cache / "compiled"
        shutil.rmtree(compiled, ignore_errors=True)
        compiled.write_text("no folder")
        with pytest.raises((MeasuringError, OSError)):
            measurer.measure(batch)
    assert _failures(context) == []
