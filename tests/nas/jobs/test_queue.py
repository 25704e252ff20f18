"""The queue, method by method, with a clock that moves when told."""

import threading

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from nas.jobs.figures import job_figures
from nas.jobs.queue import Job, JobQueue
from nas.store import Store, open_store
from nas.store.errors import LeaseLostError, NotStoredError, StoreConflictError, StoreError
from nas.store.leases import Lease
from tests.databases import SteppedClock


@pytest.fixture
def queue(store: Store) -> JobQueue:
    return JobQueue(store)


def claim(queue: JobQueue, worker: str = "one", lease_s: float = 10) -> Job:
    job = queue.claim(worker, kinds=("search", "calibration"), lease_s=lease_s)
    assert job is not None
    return job


def test_jobs_are_claimed_in_order_and_once(queue: JobQueue, clock: SteppedClock) -> None:
    ids = []
    for number in range(3):
        ids.append(queue.enqueue("search", {"number": number}).id)
        clock.forward(1)
    claimed = [claim(queue) for _ in ids]
    assert [job.id for job in claimed] == ids
    assert [job.request["number"] for job in claimed] == [0, 1, 2]
    assert queue.claim("two", kinds=("search",), lease_s=10) is None


def test_a_worker_takes_only_its_kinds(queue: JobQueue) -> None:
    job = queue.enqueue("calibration", {})
    assert queue.claim("one", kinds=("search",), lease_s=10) is None
    assert queue.find(job.id, kind="search") is None
    assert queue.find(job.id, kind="calibration") == job
    assert claim(queue).id == job.id


def test_a_claimed_job_runs_reports_and_succeeds(queue: JobQueue, clock: SteppedClock) -> None:
    queue.enqueue("search", {"seed": 1})
    job = claim(queue)
    assert (job.state, job.worker, job.attempts, job.fence) == ("running", "one", 1, 1)
    assert job.started_at == clock.now
    queue.report(job.lease, {"evaluations": 3})
    assert queue.get(job.id).progress == {"evaluations": 3}
    clock.forward(2)
    done = queue.succeed(job.lease, {"front": "abc"})
    assert (done.state, done.result, done.finished_at) == ("succeeded", {"front": "abc"}, clock.now)
    assert (done.worker, done.lease_until, done.ended) == (None, None, True)
    assert queue.get(job.id) == done


def test_a_failure_keeps_its_reason(queue: JobQueue) -> None:
    queue.enqueue("search", {})
    failed = queue.fail(claim(queue).lease, code="usage", message="no supernet")
    assert (failed.state, failed.error) == ("failed", {"code": "usage", "message": "no supernet"})


def test_an_expired_lease_is_claimed_again_and_fences_the_first_worker_out(
    queue: JobQueue, clock: SteppedClock
) -> None:
    queue.enqueue("search", {})
    first = claim(queue)
    clock.forward(9)
    assert queue.claim("two", kinds=("search",), lease_s=10) is None
    clock.forward(1)
    second = claim(queue, "two")
    assert (second.id, second.fence, second.attempts) == (first.id, first.fence + 1, 2)
    for write in (
        lambda: queue.extend(first.lease, lease_s=10),
        lambda: queue.report(first.lease, {}),
        lambda: queue.succeed(first.lease, {"by": "one"}),
        lambda: queue.fail(first.lease, code="x", message="x"),
        lambda: queue.mark_cancelled(first.lease),
        lambda: queue.release(first.lease),
    ):
        with pytest.raises(LeaseLostError, match=f"fence {first.fence}"):
            write()
    assert queue.succeed(second.lease, {"by": "two"}).result == {"by": "two"}
    with pytest.raises(LeaseLostError):
        queue.succeed(second.lease, {"by": "two again"})


def test_an_expired_lease_that_nobody_claimed_still_holds(queue: JobQueue, clock: SteppedClock) -> None:
    queue.enqueue("search", {})
    job = claim(queue)
    clock.forward(100)
    assert queue.succeed(job.lease, {}).state == "succeeded"


def test_an_extended_lease_is_not_claimed(queue: JobQueue, clock: SteppedClock) -> None:
    queue.enqueue("search", {})
    job = claim(queue)
    clock.forward(9)
    queue.extend(job.lease, lease_s=10)
    clock.forward(9)
    assert queue.claim("two", kinds=("search",), lease_s=10) is None


def test_a_job_that_loses_every_worker_is_given_up(queue: JobQueue, clock: SteppedClock) -> None:
    job = queue.enqueue("search", {}, max_attempts=2)
    for _ in range(2):
        claim(queue)
        clock.forward(11)
    assert queue.claim("one", kinds=("search",), lease_s=10) is None
    ended = queue.get(job.id)
    assert ended.state == "failed"
    assert ended.error is not None
    assert ended.error["code"] == "too-many-attempts"


def test_a_released_job_is_claimed_again_without_losing_an_attempt(queue: JobQueue) -> None:
    queue.enqueue("search", {}, max_attempts=1)
    first = claim(queue)
    released = queue.release(first.lease)
    assert (released.state, released.attempts) == ("queued", 0)
    second = claim(queue)
    assert second.fence == first.fence + 1


def test_cancelling(queue: JobQueue, clock: SteppedClock) -> None:
    queued = queue.enqueue("search", {})
    assert queue.cancel(queued.id).state == "cancelled"
    assert queue.claim("one", kinds=("search",), lease_s=10) is None

    queue.enqueue("search", {})
    running = claim(queue)
    assert queue.cancel(running.id).state == "running"
    assert queue.extend(running.lease, lease_s=10).cancel_requested
    assert queue.mark_cancelled(running.lease).state == "cancelled"

    queue.enqueue("search", {})
    orphan = claim(queue)
    queue.cancel(orphan.id)
    clock.forward(11)
    assert queue.claim("two", kinds=("search",), lease_s=10) is None
    assert queue.get(orphan.id).state == "cancelled"

    queue.enqueue("search", {})
    lost = claim(queue)
    clock.forward(11)
    assert queue.cancel(lost.id).state == "cancelled", "no worker holds it, and there may be none that looks"
    with pytest.raises(LeaseLostError):
        queue.succeed(lost.lease, {})

    queue.enqueue("search", {})
    leaving = claim(queue)
    queue.cancel(leaving.id)
    assert queue.release(leaving.lease).state == "cancelled", "its worker leaves before it looks"

    queue.enqueue("search", {})
    done = queue.succeed(claim(queue).lease, {"kept": True})
    assert queue.cancel(done.id) == done
    with pytest.raises(NotStoredError, match="job 'nothing'"):
        queue.cancel("nothing")


def test_what_cannot_be_a_job_is_refused(queue: JobQueue) -> None:
    queue.enqueue("search", {}, job_id="taken")
    with pytest.raises(StoreConflictError):
        queue.enqueue("search", {}, job_id="taken")
    with pytest.raises(StoreConflictError):
        queue.enqueue("mining", {})  # type: ignore[arg-type]
    with pytest.raises(StoreConflictError):
        queue.enqueue("search", {}, max_attempts=0)
    with pytest.raises(StoreError):
        queue.enqueue("search", {"limit": float("nan")})
    assert [job.id for job in queue.all()] == ["taken"]
    assert queue.all(state="running") == ()


def test_threads_that_race_claim_each_job_once(store_url: str, store: Store) -> None:
    queue = JobQueue(store)
    expected = {queue.enqueue("search", {}).id for _ in range(30)}
    claimed: list[str] = []

    def work() -> None:
        with open_store(store_url) as own:
            own_queue = JobQueue(own)
            while (job := own_queue.claim("thread", kinds=("search",), lease_s=600)) is not None:
                claimed.append(job.id)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == 30
    assert set(claimed) == expected


class _Model(RuleBasedStateMachine):
    """Any order of calls by several workers, some with leases long lost: a job ends once and fences only grow."""

    store: Store
    clock: SteppedClock

    def __init__(self) -> None:
        super().__init__()
        self.queue = JobQueue(self.store)
        self.jobs: list[str] = []
        self.leases: list[Lease] = []
        self.ended: dict[str, Job] = {}
        self.fences: dict[str, int] = {}

    def teardown(self) -> None:
        for job in self.queue.all():
            self.queue.cancel(job.id)
        self.clock.forward(11)
        assert self.queue.claim("worker", kinds=("search",), lease_s=10) is None
        assert all(job.ended for job in self.queue.all())

    @rule()
    def enqueue(self) -> None:
        self.clock.forward(0.001)
        self.jobs.append(self.queue.enqueue("search", {}, max_attempts=4).id)

    @rule()
    def claim(self) -> None:
        job = self.queue.claim("worker", kinds=("search",), lease_s=10)
        if job is not None:
            assert job.id not in self.ended
            assert job.fence == self.fences.get(job.id, 0) + 1
            self.fences[job.id] = job.fence
            self.leases.append(job.lease)

    @rule(seconds=st.sampled_from([1, 11]))
    def wait(self, seconds: int) -> None:
        self.clock.forward(seconds)

    @rule(index=st.integers(0, 30))
    def cancel(self, index: int) -> None:
        if self.jobs:
            self.queue.cancel(self.jobs[index % len(self.jobs)])

    @rule(index=st.integers(0, 30), call=st.sampled_from(["succeed", "fail", "extend", "release", "mark_cancelled"]))
    def write(self, index: int, call: str) -> None:
        if not self.leases:
            return
        lease = self.leases[index % len(self.leases)]
        current = self.queue.get(lease.job_id)
        writes = {
            "succeed": lambda: self.queue.succeed(lease, {"fence": lease.fence}),
            "fail": lambda: self.queue.fail(lease, code="x", message="x"),
            "extend": lambda: self.queue.extend(lease, lease_s=10),
            "release": lambda: self.queue.release(lease),
            "mark_cancelled": lambda: self.queue.mark_cancelled(lease),
        }
        if current.state == "running" and current.fence == lease.fence:
            writes[call]()
        else:
            with pytest.raises(LeaseLostError):
                writes[call]()
            assert self.queue.get(lease.job_id) == current

    @invariant()
    def ended_jobs_stay(self) -> None:
        for job in self.queue.all():
            if job.id in self.ended:
                assert job == self.ended[job.id]
            elif job.ended and job.id in self.jobs:
                self.ended[job.id] = job


def test_any_order_of_calls_ends_a_job_once(store: Store, clock: SteppedClock) -> None:
    machine = type("Machine", (_Model,), {"store": store, "clock": clock})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_a_job_waits_for_the_host_of_its_device(queue: JobQueue, clock: SteppedClock) -> None:
    of_alpha = queue.enqueue("search", {}, host="alpha")
    clock.forward(1)
    anywhere = queue.enqueue("search", {})
    claimed = [queue.claim("b", kinds=("search",), lease_s=10, host="beta") for _ in range(2)]
    assert [job and job.id for job in claimed] == [anywhere.id, None]
    taken = queue.claim("a", kinds=("search",), lease_s=10, host="alpha")
    assert (taken.id, taken.host) == (of_alpha.id, "alpha")
    clock.forward(11)  # the worker of alpha is lost
    again = queue.claim("b", kinds=("search",), lease_s=10, host="beta")
    assert again.id == anywhere.id, "an expired lease does not send a job to another host"
    assert queue.claim("b", kinds=("search",), lease_s=10, host="beta") is None


def test_places_in_the_queue_count_what_the_jobs_host_may_run(
    queue: JobQueue, clock: SteppedClock, store: Store
) -> None:
    jobs = []
    for host in ("alpha", "beta", None, "alpha", "beta"):
        jobs.append(queue.enqueue("search", {}, host=host).id)
        clock.forward(1)
    with store.database.read() as session:
        figures = job_figures(session, jobs)
    assert [figures[job].queue_position for job in jobs] == [1, 1, 1, 3, 3]
