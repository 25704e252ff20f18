"""From repeated timings to a verdict on a device."""

import math

import numpy as np
import pytest

from hw_profiles.agreement import Agreement
from hw_profiles.bench import Rounds, Timing
from hw_profiles.conditions import Conditions
from hw_profiles.measuring_settings import MeasuringSettings
from nas.home import Home
from nas.measuring.context import DeviceContext
from nas.progress import SilentProgress
from nas.workflows.device_check import RepeatedNetwork, check_device, middle_network, summarize_timings
from nas.workspace import open_workspace
from search_spaces.errors import UsageError
from search_spaces.facts import CostFacts
from tests.nas.store.rows import PROFILE, SPACE

QUIET = Conditions(cores_used=1.02, steal=0.0, governor="performance", turbo=False, smt=False, virtual=False)
REPEATS = 8


@pytest.fixture
def context(tmp_path):
    with open_workspace(Home(tmp_path)) as workspace:
        yield DeviceContext(workspace=workspace, space=SPACE, profile=PROFILE, progress=SilentProgress())


def timing(candidate_ms, anchor_ms, conditions=QUIET, busy=1.0):
    rounds = 4
    return Timing(
        attempts=(
            Rounds(
                candidate_ms=((candidate_ms,) * 3,) * rounds, anchor_ms=((anchor_ms,) * 3,) * rounds,
                busy=(busy,) * rounds,
            ),
        ),
        agreement=Agreement(max_abs_error=0.0, top1_agreement=1.0),
        load_time_ms=None,
        peak_memory_bytes=None,
        conditions=conditions,
    )  # fmt: skip


def judged(context, own, machine, conditions=QUIET, busy=1.0):
    """Two networks of 1 and 3 ms; ``own`` slows each reading, ``machine`` the anchor beside it as well."""
    networks = [
        RepeatedNetwork(
            candidate_id=str(number) * 64,
            size=size,
            timings=tuple(
                timing(base_ms * (1 + own[repeat]) * slowness, 9.0 * slowness, conditions, busy)
                for repeat in range(REPEATS)
                for slowness in [1 + machine[2 * repeat + number]]
            ),
        )
        for number, (size, base_ms) in enumerate((("smallest", 1.0), ("middle", 3.0)))
    ]
    return summarize_timings(context, networks, MeasuringSettings(rounds=4))


def test_repeatability_is_the_spread_of_corrected_readings(context):
    rng = np.random.default_rng(0)
    own, machine = rng.normal(0, 0.01, REPEATS), rng.normal(0, 0.05, 2 * REPEATS)
    found = judged(context, own, machine)
    expected_pct = np.std(np.log1p(own), ddof=1) * 100
    assert found.repeatability_pct == pytest.approx(expected_pct)
    assert found.uncorrected_pct > 3 * found.repeatability_pct, "the anchor shows what slows everything"
    assert found.anchor_spread_pct == pytest.approx(np.std(np.log1p(machine), ddof=1) * 100)
    assert found.distinguishable_pct == pytest.approx(1.645 * math.sqrt(2) * expected_pct)
    assert [one.size for one in found.networks] == ["smallest", "middle"]
    assert [round(one.latency_p50_ms) for one in found.networks] == [1, 3]
    assert found.anchor_drift_pct is None
    assert (found.grade, found.advice()) == ("good", ())
    assert "repeats within" in found.verdict
    assert "(good)" in found.verdict


@pytest.mark.parametrize(("spread", "grade"), [(0.01, "good"), (0.03, "usable"), (0.2, "poor")])
def test_the_grade_follows_repeatability(context, spread, grade):
    own = np.resize([spread, -spread], REPEATS)
    assert judged(context, own, np.zeros(2 * REPEATS)).grade == grade


def test_noisy_timings_are_not_good_however_well_they_repeat(context):
    found = judged(context, np.zeros(REPEATS), np.zeros(2 * REPEATS), busy=0.5)
    assert (found.repeatability_pct, found.noisy, found.grade) == (0.0, 2 * REPEATS, "usable")
    assert f"though {2 * REPEATS} of {2 * REPEATS} timings were noisy (usable)" in found.verdict


def test_a_drift_is_told_from_chance(context):
    none = np.zeros(REPEATS)
    drifted = judged(context, none, np.linspace(0, 0.2, 2 * REPEATS))
    assert drifted.anchor_drift_pct == pytest.approx(20, abs=1)
    assert "slower during the check" in drifted.advice()[0]
    noise = np.random.default_rng(1).normal(0, 0.05, 2 * REPEATS)
    assert judged(context, none, noise).anchor_drift_pct is None


def test_what_disturbs_is_named_with_what_to_do(context):
    conditions = Conditions(cores_used=1.9, steal=0.08, governor="powersave", turbo=True, smt=True, virtual=True)
    found = judged(context, np.resize([0.1, -0.1], REPEATS), np.zeros(2 * REPEATS), conditions, busy=0.5)
    steal, programs, governor, turbo, smt = found.advice()
    assert "8%" in steal
    assert "1.4 of 2 cores" in programs, "the timing thread had half of one"
    assert "'powersave'" in governor
    assert "turbo is on" in turbo
    assert "SMT" in smt
    assert (found.busy, found.noisy) == (0.5, 2 * REPEATS)
    document = found.as_json()
    assert document["setup"]["governor"] == "powersave"
    assert document["advice"] == list(found.advice())


def test_what_nobody_told_is_unknown(context):
    found = judged(context, np.zeros(REPEATS), np.zeros(2 * REPEATS), conditions=None)
    assert (found.other_cores, found.steal, found.setup, found.advice()) == (None, None, None, ())


def test_two_timings_say_nothing(context):
    with pytest.raises(UsageError, match="at least 3"):
        check_device(context, 2)


def test_the_middle_network_is_between_the_ends():
    small, middle, large = CostFacts(SPACE).column(
        "macs", np.stack([SPACE.smallest(), middle_network(SPACE), SPACE.largest()])
    )
    assert small < middle < large
