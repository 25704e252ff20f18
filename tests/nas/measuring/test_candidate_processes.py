"""Processes that die, hang, or lose their owner."""

import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from nas.measuring.candidate_processes import CandidateProcesses

DIES, HANGS, FAILS = 7, 8, 9


def nothing():
    """A process needs nothing here."""


def work(genotype):
    kind = int(genotype[0])
    if kind == DIES:
        os._exit(1)
    if kind == HANGS:
        threading.Event().wait()
    if kind == FAILS:
        raise TimeoutError("the disk does not answer")
    return kind


def own_pid(_genotype):
    return os.getpid()


def rows(*kinds):
    return [np.array([kind]) for kind in kinds]


def failed(genotype, reason):
    return f"{int(genotype[0])}: {reason}"


def test_outcomes_come_in_order_and_the_dead_cost_themselves_alone():
    heard = []
    with CandidateProcesses(nothing, (), processes=2) as processes:
        outcomes = processes.run(work, rows(1, DIES, 2, DIES, 3), failed, heard.append)
    died = f"{DIES}: the process that worked on it died"
    assert outcomes == [1, died, 2, died, 3]
    assert heard[-1] == 5


def test_a_hanging_candidate_is_ended():
    with CandidateProcesses(nothing, (), processes=1, deadline_s=20) as processes:
        assert processes.run(work, rows(HANGS, 2), failed) == [f"{HANGS}: it took longer than 20 s", 2]


def test_a_tasks_own_timeout_is_its_error():
    with CandidateProcesses(nothing, (), processes=1) as processes, pytest.raises(TimeoutError, match="disk"):
        processes.run(work, rows(FAILS), failed)


OWNER = """
import numpy as np
from nas.measuring.candidate_processes import CandidateProcesses
from tests.nas.measuring.test_candidate_processes import failed, nothing, own_pid
if __name__ == "__main__":
    processes = CandidateProcesses(nothing, (), processes=1)
    print(processes.run(own_pid, [np.array([1])], failed)[0], flush=True)
    input()
"""


def test_processes_end_when_their_owner_is_killed(tmp_path):
    script = tmp_path / "owner.py"
    script.write_text(OWNER)
    with subprocess.Popen(
        [sys.executable, script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
    ) as owner:
        pid = int(owner.stdout.readline())
        watched = os.pidfd_open(pid)
        owner.send_signal(signal.SIGKILL)
    ended, _, _ = select.select([watched], [], [], 60)
    os.close(watched)
    assert ended, "the process outlives its owner"
