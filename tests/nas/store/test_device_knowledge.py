"""Anchor references and drifts: rows by profile and fingerprint."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from nas.store import Store
from nas.store.errors import StoreError
from tests.databases import SteppedClock
from tests.nas.store.rows import PROFILE, put_candidates, put_device

CHANGED = replace(PROFILE, runtime_version="0.28.0")


def test_the_first_reference_of_an_anchor_holds(store: Store) -> None:
    put_device(store)
    anchor, other = put_candidates(store, 2)
    assert store.anchor_references.find(PROFILE, anchor) is None
    assert store.anchor_references.keep(PROFILE, anchor, 2.5) == 2.5
    assert store.anchor_references.keep(PROFILE, anchor, 9.0) == 2.5
    assert store.anchor_references.find(PROFILE, anchor) == 2.5
    assert store.anchor_references.find(PROFILE, other) is None
    assert store.anchor_references.find(CHANGED, anchor) is None


@pytest.mark.parametrize("latency_ms", [0.0, -1.0, float("nan"), float("inf")])
def test_a_reference_is_a_latency(store: Store, latency_ms: float) -> None:
    put_device(store)
    (anchor,) = put_candidates(store, 1)
    with pytest.raises(StoreError):
        store.anchor_references.keep(PROFILE, anchor, latency_ms)
    assert store.anchor_references.find(PROFILE, anchor) is None


def test_the_last_drift_counts_and_belongs_to_a_fingerprint(store: Store, clock: SteppedClock) -> None:
    put_device(store)
    for last in (3, 8):
        store.drifts.add(PROFILE, last_measurement=last, checked=3, change_pct=20.0, allowed_pct=8.0)
        clock.forward(60)
    latest = store.drifts.latest(PROFILE.id, PROFILE.fingerprint)
    assert latest is not None
    assert (latest.last_measurement, latest.checked, latest.change_pct) == (8, 3, 20.0)
    between = store.drifts.latest(PROFILE.id, PROFILE.fingerprint, before=datetime(2026, 1, 1, 0, 1, tzinfo=UTC))
    assert between is not None
    assert between.last_measurement == 3
    assert store.drifts.latest(PROFILE.id, CHANGED.fingerprint) is None
