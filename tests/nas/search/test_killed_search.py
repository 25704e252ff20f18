"""A search that is killed at any moment and started again is the undisturbed search."""

import subprocess
import sys
import time

import numpy as np
import pytest

from tests.nas.search.killed_search import generations

KILLS = 20


def start(database_url):
    return subprocess.Popen([sys.executable, "-m", "tests.nas.search.killed_search", database_url])


@pytest.mark.slow
def test_twenty_kills_give_twenty_identical_searches(tmp_path):
    undisturbed = f"sqlite:///{tmp_path / 'undisturbed.db'}"
    started_s = time.monotonic()
    assert start(undisturbed).wait() == 0
    whole_s = time.monotonic() - started_s
    expected = generations(undisturbed)
    moments_s = np.random.default_rng(0).uniform(0, whole_s, KILLS)
    killed = 0
    for number, moment_s in enumerate(moments_s):
        database_url = f"sqlite:///{tmp_path / f'{number}.db'}"
        process = start(database_url)
        try:
            process.wait(timeout=moment_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
        assert start(database_url).wait() == 0
        assert generations(database_url) == expected
    assert killed >= KILLS // 2
