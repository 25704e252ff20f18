"""A search whose process is killed (SIGKILL) at random moments ends as if nothing had happened."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

KILLS = 20


def begin(folder):
    """The search's process, once it is about to search."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.nas.search.killable_search", f"sqlite:///{folder / 'hwnas.db'}"],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "begun\n"
    return process


def finish(folder):
    process = begin(folder)
    out, _ = process.communicate()
    assert process.returncode == 0
    return out


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_searches_killed_at_random_moments_find_the_same_front(tmp_path):
    (tmp_path / "whole").mkdir()
    process = begin(tmp_path / "whole")
    begun_s = time.monotonic()
    whole, _ = process.communicate()
    searching_s = time.monotonic() - begun_s
    assert process.returncode == 0
    assert len(whole) > 1000

    interrupted = 0
    for number, share in enumerate(np.random.default_rng(0).random(KILLS)):
        folder = tmp_path / f"killed-{number}"
        folder.mkdir()
        process = begin(folder)
        try:
            process.wait(timeout=float(share) * searching_s)
        except subprocess.TimeoutExpired:
            process.kill()
            interrupted += 1
        process.communicate()
        assert finish(folder) == whole
    assert interrupted >= KILLS // 2
