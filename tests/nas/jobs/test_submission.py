"""Accepting jobs: all or none, in order, once per key, also where requests race."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from nas.jobs import JobQueue
from nas.jobs.submission import IdempotencyConflictError, NewBatch, NewJob, Origin, QueueFullError, Submissions
from nas.jobs.worker import WorkerSettings, run_worker
from nas.store import Store

JOB = NewJob(kind="search", request={"device": "d"})


def test_members_are_claimed_in_their_order_and_by_batch(store: Store) -> None:
    queue, submissions = JobQueue(store), Submissions(store)
    other = queue.enqueue("search", {})
    jobs = [NewJob(kind="search", request={"number": number}) for number in range(12)]
    batch = submissions.submit(jobs, Origin(), batch=NewBatch(name=None)).resource_id
    ran: list[int] = []

    def handler(context: object) -> dict[str, int]:
        ran.append(context.request["number"])  # type: ignore[attr-defined]
        return {}

    settings = WorkerSettings(name="w:1", until_idle=True, batch_id=batch)
    assert run_worker(store, {"search": handler}, settings) == 12
    assert ran == list(range(12))
    assert queue.get(other.id).state == "queued"


def test_requests_with_one_key_that_race_make_one_job(store: Store) -> None:
    submissions = Submissions(store)
    origin = Origin(tenant="t", idempotency_key="k", fingerprint="0" * 64)
    with ThreadPoolExecutor(8) as pool:
        accepted = list(pool.map(lambda _: submissions.submit([JOB], origin), range(8)))
    assert len({one.resource_id for one in accepted}) == 1
    assert sorted(one.replayed for one in accepted) == [False] + [True] * 7
    assert len(JobQueue(store).all()) == 1
    with pytest.raises(IdempotencyConflictError):
        submissions.submit([JOB], Origin(tenant="t", idempotency_key="k", fingerprint="1" * 64))
    assert not submissions.submit([JOB], Origin(tenant="u", idempotency_key="k", fingerprint="1" * 64)).replayed


def test_a_refused_request_leaves_its_key_unused(store: Store) -> None:
    origin = Origin(idempotency_key="k", fingerprint="0" * 64)
    with pytest.raises(QueueFullError):
        Submissions(store, max_queued=1).submit([JOB, JOB], origin, batch=NewBatch(name="b"))
    assert JobQueue(store).all() == ()
    assert not Submissions(store).submit([JOB, JOB], origin, batch=NewBatch(name="b")).replayed
