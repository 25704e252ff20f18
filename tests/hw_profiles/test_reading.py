import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_profiles.bench import Rounds
from hw_profiles.measuring_settings import MeasuringSettings
from hw_profiles.reading import Reading

ROUNDS, CALLS = 6, 40
SETTINGS = MeasuringSettings(min_busy=0.95)


def _rounds(latency_ms, slowdown, seed):
    noise = np.random.default_rng(seed).lognormal(0, 0.01, (ROUNDS, CALLS))
    return (latency_ms * np.asarray(slowdown)[:, None] * noise).tolist()


def _read(slowdown, busy=(1.0,) * ROUNDS):
    return _reading(_rounds(0.5, slowdown, 0), _rounds(2.0, slowdown, 1), busy)


def _reading(anchor_ms, candidate_ms, busy):
    taken = Rounds.from_json({"anchor_ms": anchor_ms, "candidate_ms": candidate_ms, "busy": busy})
    return Reading.from_rounds(taken, 0.5, SETTINGS)


@given(st.lists(st.floats(0.5, 3.0), min_size=ROUNDS, max_size=ROUNDS))
def test_what_slows_both_cancels(slowdown):
    reading = _read(slowdown)
    assert reading.p50_ms == pytest.approx(2.0, rel=0.02)
    assert reading.spread < 0.02
    assert reading.p50_ms < reading.p95_ms < 2.1


def test_a_slowed_machine_shows_in_the_factor():
    assert _read([2.0] * ROUNDS).anchor_factor == pytest.approx(0.5, rel=0.02)
    assert _read([1.0, 2.0] * 3).anchor_spread > 0.3


def test_rounds_shared_with_others_are_left_out():
    candidate = _rounds(2.0, [1, 1, 1, 1, 9, 9], 1)
    reading = _reading(_rounds(0.5, [1] * ROUNDS, 0), candidate, (1, 1, 1, 1, 0.5, 0.5))
    assert reading.quiet_rounds == 4
    assert reading.p95_ms < 2.1
    assert reading.samples_ms == tuple(call for calls in candidate for call in calls)


def test_without_quiet_rounds_all_count_and_none_is_claimed():
    reading = _read([1.0] * ROUNDS, busy=(0.5,) * ROUNDS)
    assert reading.quiet_rounds == 0
    assert reading.p50_ms == pytest.approx(2.0, rel=0.02)


def test_a_network_timed_alone_is_not_corrected():
    reading = _reading([], _rounds(2.0, [1.0] * ROUNDS, 1), (1.0,) * ROUNDS)
    assert (reading.anchor_factor, reading.anchor_spread) == (1.0, 0.0)
    assert reading.p50_ms == pytest.approx(2.0, rel=0.02)
    assert reading.passes(SETTINGS)
