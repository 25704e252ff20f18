"""Candidates on the two nodes of a Ray cluster, one of which is killed in the middle."""

import os
import time

import numpy as np
import pytest

from nas.measuring.ray_cluster import RayClusterError, ray_cluster
from tests.ray_nodes import missing_ray, running_cluster

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(missing_ray() is not None, reason=str(missing_ray())),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]
DIES, HANGS, FAILS = 7, 8, 9


def remember(offset):
    os.environ["RAY_TEST_OFFSET"] = str(offset)


def work(genotype):
    kind = int(genotype[0])
    if kind == DIES:
        os._exit(1)
    if kind == HANGS:
        time.sleep(600)
    if kind == FAILS:
        raise TimeoutError("the disk does not answer")
    time.sleep(0.5)
    return kind + int(os.environ["RAY_TEST_OFFSET"])


def rows(*kinds):
    return [np.array([kind]) for kind in kinds]


def failed(genotype, reason):
    return f"{int(genotype[0])}: {reason}"


def test_a_node_that_is_killed_costs_nothing():
    with running_cluster() as nodes, ray_cluster(nodes.address) as cluster:
        with cluster(remember, (100,), deadline_s=300) as executor:
            outcomes = executor.run(work, rows(1, DIES, 2), failed)
            assert outcomes == [101, f"{DIES}: the process that worked on it died", 102]
            with pytest.raises(TimeoutError, match="disk"):
                executor.run(work, rows(FAILS, 1), failed)
        with cluster(remember, (200,), deadline_s=20) as executor:
            assert executor.run(work, rows(HANGS, 1), failed) == [f"{HANGS}: it took longer than 20 s", 201]
        heard = []

        def kill_at_the_third(done):
            heard.append(done)
            if done == 3:
                nodes.kill_second()

        kinds = [1, 2, 3, 4, 5, 6] * 3
        with cluster(remember, (300,), deadline_s=300) as executor:
            assert executor.run(work, rows(*kinds), failed, kill_at_the_third) == [300 + kind for kind in kinds]
        assert heard == list(range(1, 19))


def test_a_cluster_that_does_not_answer_is_said():
    for address in ("127.0.0.2:1", "nowhere", "127.0.0.2:x"):
        with pytest.raises(RayClusterError, match="no Ray cluster answers"), ray_cluster(address):
            pass
