"""Which hosts jobs wait for."""

from nas.jobs import JobQueue
from nas.jobs.absent_hosts import AbsentHostNotices, absent_hosts
from nas.store import Store
from nas.store.hosts import HOST_ALIVE_S
from tests.databases import SteppedClock


def test_hosts_without_a_worker_are_counted_by_what_waits_for_them(store: Store, clock: SteppedClock) -> None:
    queue = JobQueue(store)
    for host in ("beta", "beta", "alpha", None):
        queue.enqueue("calibration", {}, host=host)
        clock.forward(1)
    store.hosts.announce("alpha", machine="m", home="h")
    assert absent_hosts(store, queue.all()) == {"beta": 2}
    # A worker of beta takes one job and dies: that job waits for a worker again once its lease has ended.
    job = queue.claim("beta:1", kinds=("calibration",), lease_s=30, host="beta")
    assert job is not None
    assert absent_hosts(store, queue.all()) == {"beta": 1}
    clock.forward(31)
    assert absent_hosts(store, queue.all()) == {"beta": 2}
    queue.cancel(job.id)
    clock.forward(HOST_ALIVE_S)
    assert absent_hosts(store, queue.all()) == {"alpha": 1, "beta": 1}, "that one ended"


def test_a_change_is_said_once(store: Store, clock: SteppedClock) -> None:
    queue, said = JobQueue(store), list[str]()
    notices = AbsentHostNotices(store, said.append)
    notices.look(queue.all())
    assert said == []
    for host in ("gamma", "beta", "beta"):
        queue.enqueue("calibration", {}, host=host)
    for _ in range(2):
        notices.look(queue.all())
    assert said == ["waiting for hosts without a worker: beta (2 jobs), gamma (1 job); start `hwnas worker` there."]
    queue.enqueue("calibration", {}, host="beta")
    notices.look(queue.all())
    assert len(said) == 1, "another job for the same hosts is no news"
    store.hosts.announce("beta", machine="m", home="h")
    notices.look(queue.all())
    assert said[1:] == ["waiting for hosts without a worker: gamma (1 job); start `hwnas worker` there."]
    store.hosts.announce("gamma", machine="n", home="h")
    notices.look(queue.all())
    assert said[2:] == ["every host that jobs wait for has a worker now."]
    clock.forward(HOST_ALIVE_S)
    notices.look(queue.all())
    assert "beta (3 jobs), gamma (1 job)" in said[3]
