"""Policies by integer programming against all policies, one by one."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.search.integer_programming import (
    PolicyProgram,
    additive_latencies,
    policy_program,
    present_policy_columns,
    programmed_policies,
    spread_order,
)
from search_spaces.errors import UsageError
from search_spaces.facts import CostFacts
from search_spaces.registry import get_space

SPACE = get_space("mobilenet_v3:tiny")


def program(seed, units, choices):
    rng = np.random.default_rng(seed)
    unit_ms, sensitivity = rng.normal(-0.02, 0.05, (units, choices)), rng.exponential(size=(units, choices))
    pair_ms = rng.normal(0, 0.03, (units - 1, choices, choices))
    unit_ms[:, 0] = sensitivity[:, 0] = pair_ms[:, 0] = pair_ms[:, :, 0] = 0.0
    return PolicyProgram(sensitivity=sensitivity, unit_ms=unit_ms, pair_ms=pair_ms)


def every_policy(one):
    units, choices = one.sensitivity.shape
    return [np.array(policy) for policy in itertools.product(range(choices), repeat=units)]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(2, 3), st.floats(0.0, 1.0))
def test_no_policy_is_faster_or_less_sensitive_within_the_limit(seed, units, choices, share):
    one = program(seed, units, choices)
    policies = every_policy(one)
    times = np.array([one.latency_ms(policy) for policy in policies])
    assert one.latency_ms(one.fastest()) == pytest.approx(times.min(), abs=1e-7)
    limit_ms = float(times.min() + share * (times.max() - times.min()))
    found = one.least_sensitive(limit_ms)
    assert one.latency_ms(found) <= limit_ms + 1e-6
    kept = [one.loss(policy) for policy, time in zip(policies, times, strict=True) if time <= limit_ms]
    assert one.loss(found) <= min(kept) + 1e-6
    assert one.least_sensitive(float(times.min()) - 0.01) is None


def test_a_unit_that_cannot_be_quantized_stays_float():
    one = program(3, 4, 2)
    fixed = one.sensitivity.copy()
    fixed[2, 1] = np.inf
    limited = PolicyProgram(sensitivity=fixed, unit_ms=one.unit_ms, pair_ms=one.pair_ms)
    assert limited.fastest()[2] == 0
    assert limited.least_sensitive(limited.latency_ms(limited.fastest()))[2] == 0


@pytest.mark.parametrize("broken", [np.nan, -np.inf])
def test_sensitivities_that_are_no_numbers_are_refused(broken):
    with pytest.raises(UsageError, match="sensitivities"):
        PolicyProgram(sensitivity=np.array([[broken, 1.0]]), unit_ms=np.zeros((1, 2)), pair_ms=np.zeros((0, 2, 2)))


def test_unit_latencies_with_their_conversions_add_up_to_the_network():
    """Latency that is a sum of facts is a sum over units and neighbours, whatever the policy."""
    facts = CostFacts(SPACE)

    def latencies(rows):
        names = ("macs:pointwise_fp32", "macs:pointwise_int8", "conversion_elements", "activation_bytes")
        columns = [facts.column(name, rows) for name in names]
        return 0.1 + columns[0] / 1e7 + columns[1] / 3e7 + columns[2] / 1e6 + columns[3] / 1e6

    rng = np.random.default_rng(0)
    plain = SPACE.unquantized(SPACE.sample(4, rng))
    for architecture in plain:
        columns = present_policy_columns(SPACE, architecture)
        choices = np.array([0, 1])
        sensitivity = rng.exponential(size=(len(SPACE.units), 2))
        one = policy_program(SPACE, architecture, sensitivity, latencies, choices)
        for _ in range(5):
            policy = rng.integers(0, 2, len(columns))
            row = architecture.copy()
            row[columns] = policy
            change = latencies(row[None])[0] - latencies(architecture[None])[0]
            assert one.latency_ms(policy) == pytest.approx(change, abs=1e-9)
        found = [row.tobytes() for row in programmed_policies(SPACE, architecture, one, choices)]
        fastest = architecture.copy()
        fastest[columns] = one.fastest()
        assert found[0] == fastest.tobytes()
        assert len(set(found)) > 3


def test_latencies_fitted_to_measured_networks_follow_them():
    rng = np.random.default_rng(1)
    rows = np.unique(SPACE.sample_spread(60, rng), axis=0)
    facts = CostFacts(SPACE)
    truth = 0.02 + facts.column("macs", rows) / 4e7 + facts.column("kernels", rows) * 0.002
    fitted = additive_latencies(SPACE, rows[:40], truth[:40])
    np.testing.assert_allclose(fitted(rows[40:]), truth[40:], rtol=0.1)


@pytest.mark.parametrize("count", [1, 2, 5, 16])
def test_spread_orders_are_permutations(count):
    assert sorted(spread_order(count)) == list(range(count))
