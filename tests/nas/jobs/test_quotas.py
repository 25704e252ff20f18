"""Priorities, and quotas of API keys: jobs that wait, and measurements in a day."""

import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest

from nas.data.dataset import DataError
from nas.data_uploads import DataUploads
from nas.home import Home
from nas.jobs import JobQueue
from nas.jobs.deletion import Deletions
from nas.jobs.quotas import (
    NO_KEY,
    BeyondQuotaError,
    KeyHolder,
    QuotaExceededError,
    planned_measurements,
)
from nas.jobs.submission import NewBatch, NewJob, Origin, Submissions
from nas.store import Store
from nas.store.api_keys import KeyQuota
from nas.store.data_sets import NewDataSet, StoredDataSet
from tests.databases import SteppedClock
from tests.nas.store.rows import measurement, put_candidates, put_device


def search(evaluations: int = 10, priority: int = 0) -> NewJob:
    return NewJob(kind="search", request={"evaluations": evaluations}, priority=priority)


def origin(store: Store, **quota: int) -> Origin:
    key, _ = store.api_keys.create(name="n", tenant="t", scopes=frozenset({"submit"}), quota=KeyQuota(**quota))
    assert {one.id: one.quota for one in store.api_keys.all()}[key.id] == KeyQuota(**quota)
    return Origin(tenant="t", holder=KeyHolder(key_id=key.id, quota=key.quota))


def test_the_highest_priority_comes_first_then_the_oldest(store: Store, clock: SteppedClock) -> None:
    submissions, queue = Submissions(store), JobQueue(store)
    made = []
    for priority in (0, -5, 7, 0, 7):
        made.append(submissions.submit([search(priority=priority)], Origin()).resource_id)
        clock.forward(1)
    claimed = [queue.claim("w", kinds=("search",), lease_s=60) for _ in made]
    assert [job.id for job in claimed] == [made[2], made[4], made[0], made[3], made[1]]
    assert [job.priority for job in claimed] == [7, 7, 0, 0, -5]


def test_a_key_allows_priorities_up_to_its_own(store: Store) -> None:
    submissions = Submissions(store)
    plain, favoured = origin(store), origin(store, max_priority=10)
    submissions.submit([search(priority=-1)], plain)
    with pytest.raises(BeyondQuotaError, match="priority 1 is more than 0"):
        submissions.submit([search(priority=-1), search(priority=1)], plain, batch=NewBatch(name=None))
    submissions.submit([search(priority=10)], favoured)
    assert NO_KEY.quota.max_priority == 100


def test_only_so_many_jobs_of_a_key_wait(store: Store, clock: SteppedClock) -> None:
    submissions, queue = Submissions(store), JobQueue(store)
    mine, other = origin(store, max_queued=2), origin(store, max_queued=2)
    for _ in range(2):
        submissions.submit([search()], mine)
    with pytest.raises(QuotaExceededError, match="2 jobs of this key are waiting") as refused:
        submissions.submit([search()], mine)
    assert refused.value.retry_after_s > 0
    with pytest.raises(BeyondQuotaError, match="3 jobs are more than the 2"):
        submissions.submit([search()] * 3, other, batch=NewBatch(name=None))
    clock.forward(1)  # jobs of one moment are claimed in the order of their random ids
    submissions.submit([search()], other)
    assert queue.claim("w", kinds=("search",), lease_s=60) is not None
    submissions.submit([search()], mine)


def test_unfinished_uploads_and_trainings_take_places(store: Store, tmp_path) -> None:
    submissions, uploads, home = Submissions(store), DataUploads(store, Home(tmp_path)), Home(tmp_path)
    mine, other = origin(store, max_queued=2), origin(store, max_queued=2)

    def upload(name: str, of: Origin) -> StoredDataSet:
        new = NewDataSet(name=name, size_bytes=5, sha256=hashlib.sha256(b"12345").hexdigest())
        return uploads.begin(new, tenant="t", holder=of.holder)[0]

    first = upload("first", mine)
    submissions.submit([NewJob(kind="training", request={})], mine)
    with pytest.raises(QuotaExceededError, match="1 jobs of this key are waiting and 1 of its uploads are unfinished"):
        upload("second", mine)
    with pytest.raises(QuotaExceededError):
        submissions.submit([search()], mine)
    assert upload("first", mine).id == first.id, "an upload that continues is not a new one"
    upload("another key's", other)
    with uploads.append(first, 0) as appending:
        appending.write(b"12345")
        with pytest.raises(DataError):
            uploads.finish(appending)  # refused: that upload has ended as well
    second = upload("second", mine)
    Deletions(store, home).data_set(second.id)
    submissions.submit([search()], mine)


def test_measurements_of_a_day_are_limited(store: Store, clock: SteppedClock, tmp_path) -> None:
    submissions, queue = Submissions(store), JobQueue(store)
    put_device(store)
    candidates = put_candidates(store, 6)
    mine = origin(store, max_measurements_per_day=20)
    with pytest.raises(BeyondQuotaError, match="21 measurements are more than the 20"):
        submissions.submit([search(21)], mine)
    job_id = submissions.submit([search(15)], mine).resource_id
    with pytest.raises(QuotaExceededError, match="its unfinished jobs may take 15 more, and 6 are asked for"):
        submissions.submit([search(6)], mine)
    job = queue.claim("w", kinds=("search",), lease_s=3600)
    for candidate in candidates:
        clock.forward(60)
        one = replace(measurement(candidate), measured_at=clock.now.isoformat())
        store.measurements.add(one, lease=job.lease)
    queue.succeed(job.lease, {})
    # It ended after 6 of 15: the others are not counted any more; nor does deleting the job free what it took.
    Deletions(store, Home(tmp_path)).search(job_id)
    with pytest.raises(QuotaExceededError, match="6 were taken, its unfinished jobs may take 0 more") as refused:
        submissions.submit([search(16)], mine)
    # The first two of the six have to be older than a day; they were taken five and four minutes ago.
    assert refused.value.retry_after_s == timedelta(hours=24).total_seconds() - 4 * 60
    clock.forward(refused.value.retry_after_s - 1)
    with pytest.raises(QuotaExceededError):
        submissions.submit([search(16)], mine)
    clock.forward(1)
    submissions.submit([search(16)], mine)


def test_what_a_request_may_measure() -> None:
    assert planned_measurements({"evaluations": 38}) == 38
    assert planned_measurements({"evaluations": 38, "random_baseline": True}) == 76
    assert planned_measurements({"budget": 20, "supernet": None}) == 20
    assert planned_measurements({"budget": 20, "supernet": "5" * 64}) == 40
