"""Measuring on this machine's processor: one clock for all sessions, whatever is deleted between them."""

import shutil

import pytest

from hw_profiles.detect import detect_profiles
from hw_profiles.measurement import Measurement
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
