"""What else a processor did while a network was timed, read from files as Linux writes them."""

import pytest

from hw_profiles.conditions import Conditions, ConditionsWatch
from hw_profiles.errors import MeasuringError


@pytest.fixture
def machine(tmp_path):
    """The files of a machine; call it with ticks of user, nice, system, idle, iowait, irq, softirq, steal."""

    def write(*ticks, **files):
        (tmp_path / "proc").mkdir(exist_ok=True)
        (tmp_path / "proc/stat").write_text(f"cpu  {' '.join(map(str, ticks))} 0 0\ncpu0 1 2 3\n")
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def test_use_and_steal_are_of_the_time_since_the_watch_began(machine, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("hw_profiles.conditions.time.monotonic", lambda: now[0])
    watch = ConditionsWatch(machine(1000, 10, 100, 5000, 0, 0, 0, 77))
    now[0] += 2.0  # 2 cores: 400 ticks
    machine(1200, 10, 140, 5090, 10, 5, 5, 127)
    found = watch.conditions()
    assert found.cores_used == pytest.approx(2.5 / 2.0)
    assert found.steal == pytest.approx(50 / 400)
    assert (found.governor, found.turbo, found.smt, found.virtual) == (None, None, None, None)


def test_the_processors_setup_is_told(machine):
    files = {
        "sys__devices__system__cpu__cpu0__cpufreq__scaling_governor": "powersave\n",
        "sys__devices__system__cpu__intel_pstate__no_turbo": "0\n",
        "sys__devices__system__cpu__smt__active": "1\n",
        "proc__cpuinfo": "processor : 0\nflags : fpu hypervisor avx2\n",
    }
    found = ConditionsWatch(machine(*[0] * 8, **files)).conditions()
    assert (found.governor, found.turbo, found.smt, found.virtual) == ("powersave", True, True, True)
    boost = ConditionsWatch(
        machine(
            *[0] * 8,
            sys__devices__system__cpu__intel_pstate__no_turbo="?",
            sys__devices__system__cpu__cpufreq__boost="0",
            proc__cpuinfo="flags : fpu\n",
        )
    ).conditions()
    assert (boost.turbo, boost.virtual) == (False, False)


def test_without_linux_nothing_is_known(tmp_path):
    found = ConditionsWatch(tmp_path).conditions()
    assert set(found.as_json().values()) == {None}
    assert Conditions.from_json(found.as_json()) == found


@pytest.mark.parametrize(
    "change", [{"steal": -1}, {"steal": float("nan")}, {"turbo": 1}, {"governor": 5}, {"cores_used": "many"}]
)
def test_impossible_conditions_are_refused(tmp_path, change):
    row = ConditionsWatch(tmp_path).conditions().as_json()
    with pytest.raises(MeasuringError):
        Conditions.from_json(row | change)
    with pytest.raises(MeasuringError):
        Conditions.from_json({})
