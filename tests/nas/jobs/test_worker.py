"""Real worker processes: killed and paused at random moments, drained and cancelled."""

import os
import random
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from nas.jobs import JobContext, JobQueue, WorkerSettings, run_worker
from nas.jobs.worker import StopSignal
from nas.store import Store, open_store
from nas.store.errors import StoreUnavailableError
from search_spaces.errors import UsageError
from tests.nas.store.rows import put_device, put_supernet

_SILENCE_S = 2.0


class Workers:
    """Worker processes whose lines are read as they come."""

    def __init__(self, url: str, lease_s: float) -> None:
        self._url = url
        self._lease_s = lease_s
        self._selector = selectors.DefaultSelector()
        self._paused: list[subprocess.Popen[bytes]] = []
        self.running: list[subprocess.Popen[bytes]] = []
        self.wake_on_silence = False
        """For pauses at random: one that was paused inside a transaction holds the others up."""

    def start(self, *options: str, lease_s: float | None = None) -> subprocess.Popen[bytes]:
        program = [sys.executable, "-m", "tests.nas.jobs.worker_program", self._url, str(lease_s or self._lease_s)]
        process = subprocess.Popen([*program, *options], stdout=subprocess.PIPE, bufsize=0)
        assert process.stdout is not None
        self._selector.register(process.stdout, selectors.EVENT_READ, process)
        self.running.append(process)
        return process

    def lines(self) -> Iterator[tuple[int, str]]:
        """``(pid, words)`` until every worker is gone; paused ones go on when no other is left."""
        while self._selector.get_map():
            if not self.running:
                self.wake()
            events = self._selector.select(timeout=_SILENCE_S)
            if not events and self.wake_on_silence:
                self.wake()
            for key, _ in events:
                if key.fileobj.closed:  # type: ignore[union-attr] # killed since
                    continue
                line = key.fileobj.readline()  # type: ignore[union-attr]
                if line:
                    pid, _, words = line.decode().strip().partition(" ")
                    yield int(pid), words
                else:
                    self._forget(key.data)

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        self._forget(process)

    def pause(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)  # stopped now, not soon
        self.running.remove(process)
        self._paused.append(process)

    def wake(self) -> None:
        """Lets every paused worker go on."""
        while self._paused:
            process = self._paused.pop()
            process.send_signal(signal.SIGCONT)
            self.running.append(process)

    def _forget(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self._selector.unregister(process.stdout)
        process.stdout.close()
        process.wait()
        self.running.remove(process)

    def close(self) -> None:
        self.wake()
        for process in list(self.running):
            self.kill(process)
        self._selector.close()


@contextmanager
def workers_on(url: str, *, lease_s: float) -> Iterator[Workers]:
    workers = Workers(url, lease_s)
    try:
        yield workers
    finally:
        workers.close()


@pytest.fixture
def live_store(store_url: str) -> Iterator[Store]:
    """A store on the real clock: leases of other processes run out on it."""
    with open_store(store_url) as store:
        put_device(store)
        put_supernet(store)
        yield store


def _survive(store: Store, url: str, *, jobs: int, kills: int, pauses: int, seed: int) -> None:
    rng = random.Random(seed)
    queue = JobQueue(store)
    ids = [queue.enqueue("search", {"steps": rng.randint(1, 4)}, max_attempts=1000).id for _ in range(jobs)]
    blows = ["kill"] * kills + ["pause"] * pauses
    rng.shuffle(blows)
    with workers_on(url, lease_s=1.0) as workers:
        workers.wake_on_silence = True
        for _ in range(2):
            workers.start("--until-idle")
        countdown = rng.randint(0, 5)
        for _pid, _words in workers.lines():
            countdown -= 1
            if countdown <= 0 and blows and workers.running:
                victim = rng.choice(workers.running)
                if blows.pop() == "kill":
                    workers.kill(victim)
                else:
                    workers.pause(victim)
                workers.start("--until-idle")
                countdown = rng.randint(1, 2 * jobs // (kills + pauses))
            elif rng.random() < 0.1:
                workers.wake()
        assert not blows, "every kill and pause fell while jobs were running"
        while any(not job.ended for job in queue.all()):
            workers.start("--until-idle")
            for _line in workers.lines():
                pass
    ended = {job.id: job for job in queue.all()}
    assert set(ended) == set(ids)
    for job in ended.values():
        assert job.state == "succeeded"
        assert job.result is not None
        assert job.result["fence"] == job.fence, "the last claim, and no other, ended the job"
        generations = store.searches.generations(job.id)
        assert [entry.number for entry in generations] == list(range(job.request["steps"]))
        fences = [entry.trials[0].genotype[1] for entry in generations]
        assert fences == sorted(fences), "a fenced-out worker wrote nothing after its successor"
        assert store.searches.get(job.id).evaluations == job.request["steps"]
    assert any(job.attempts > 1 for job in ended.values())


def test_nothing_is_lost_or_ended_twice_under_kills_and_pauses(live_store: Store, store_url: str) -> None:
    _survive(live_store, store_url, jobs=24, kills=4, pauses=3, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_three_hundred_jobs_survive_sixty_kills_and_thirty_pauses(live_store: Store, store_url: str, seed: int) -> None:
    _survive(live_store, store_url, jobs=300, kills=60, pauses=30, seed=seed)


def _is_locked(store: Store, job_id: str) -> bool:
    """Whether another process is inside a transaction that writes this job."""
    on_sqlite = store.database.engine.dialect.name == "sqlite"
    with store.database.engine.connect() as connection:
        try:
            connection.execute(text("PRAGMA busy_timeout = 0" if on_sqlite else "SET LOCAL lock_timeout = 10"))
            connection.execute(text("UPDATE jobs SET id = id WHERE id = :id"), {"id": job_id})
        except OperationalError:
            return True
        finally:
            connection.invalidate()
        return False


def _until(lines: Iterator[tuple[int, str]], word: str) -> int:
    """Reads up to a line that starts with a word; gives the worker that said it."""
    return next(pid for pid, words in lines if words.startswith(word))


def test_a_worker_paused_past_its_lease_is_fenced_out(live_store: Store, store_url: str) -> None:
    queue = JobQueue(live_store)
    job = queue.enqueue("search", {"steps": 1, "ask": True})
    with workers_on(store_url, lease_s=0.3) as workers:
        first = workers.start()
        lines = workers.lines()
        _until(lines, "through")
        workers.pause(first)
        while _is_locked(live_store, job.id):  # paused inside a transaction: not what is tested here
            workers.wake()
            workers.pause(first)
        second = workers.start(lease_s=6)
        while _until(lines, "claimed") != second.pid:
            pass
        workers.wake()
        queue.cancel(job.id)
        for process in list(workers.running):
            process.terminate()
        assert [words for _, words in lines if words == "left"] == ["left", "left"]
    ended = queue.get(job.id)
    assert ended.state == "cancelled"
    assert ended.fence == ended.attempts >= 2


def test_a_signal_drains_and_a_second_one_releases(live_store: Store, store_url: str) -> None:
    queue = JobQueue(live_store)
    job = queue.enqueue("search", {"steps": 1, "ask": True})
    waiting = queue.enqueue("search", {"steps": 1})
    with workers_on(store_url, lease_s=30) as workers:
        process = workers.start()
        lines = workers.lines()
        _until(lines, "through")
        process.send_signal(signal.SIGTERM)
        assert queue.get(job.id).state == "running"
        process.send_signal(signal.SIGINT)
        assert [words for _, words in lines] == ["left"]
    released = queue.get(job.id)
    assert (released.state, released.attempts, released.fence) == ("queued", 0, 1)
    assert queue.get(waiting.id).fence == 0


def _work(store: Store, handler: Any, **options: Any) -> int:
    settings = WorkerSettings(name="here", lease_s=30, until_idle=True)
    return run_worker(store, {"search": handler}, settings, **options)


def test_a_handlers_error_fails_its_job_and_the_next_one_runs(live_store: Store) -> None:
    queue = JobQueue(live_store)
    ids = [queue.enqueue("search", {"kind": kind}).id for kind in ("usage", "defect", "not json", "good")]

    def handler(context: JobContext) -> Mapping[str, Any]:
        match context.request["kind"]:
            case "usage":
                raise UsageError("no such space.")
            case "defect":
                raise ZeroDivisionError("division by zero")
            case "not json":
                return {"value": float("nan")}
        context.report_progress({"done": 1})
        return {"ok": True}

    assert _work(live_store, handler) == 4
    jobs = [queue.get(job_id) for job_id in ids]
    assert [job.state for job in jobs] == ["failed", "failed", "failed", "succeeded"]
    assert jobs[0].error == {"code": "usage", "message": "no such space."}
    assert jobs[1].error == {"code": "internal", "message": "ZeroDivisionError: division by zero"}
    assert (jobs[2].error or {})["code"] == "store"
    assert jobs[3].progress == {"done": 1}


def test_a_job_cancelled_while_it_runs_ends_cancelled(live_store: Store) -> None:
    queue = JobQueue(live_store)
    job = queue.enqueue("search", {})

    def handler(context: JobContext) -> Mapping[str, Any]:
        queue.cancel(context.job_id)
        assert context.beat(30)
        context.check_cancelled()
        raise AssertionError

    assert _work(live_store, handler) == 1
    assert queue.get(job.id).state == "cancelled"


def test_a_lost_lease_ends_the_handler_and_nothing_else(live_store: Store) -> None:
    queue = JobQueue(live_store)
    job = queue.enqueue("search", {})

    def handler(context: JobContext) -> Mapping[str, Any]:
        if context.lease.fence == 1:
            queue.release(context.lease)
            assert not context.beat(30)
            context.check_cancelled()
        return {"fence": context.lease.fence}

    assert _work(live_store, handler) == 1
    assert queue.get(job.id).result == {"fence": 2}


def test_a_database_that_goes_away_ends_the_worker_and_not_the_job(live_store: Store) -> None:
    queue = JobQueue(live_store)
    job = queue.enqueue("search", {})

    def handler(_context: JobContext) -> Mapping[str, Any]:
        raise StoreUnavailableError("the database is away.")

    with pytest.raises(StoreUnavailableError):
        _work(live_store, handler)
    assert queue.get(job.id).state == "running"


def test_a_stopped_worker_claims_nothing(live_store: Store) -> None:
    queue = JobQueue(live_store)
    ids = [queue.enqueue("search", {}).id for _ in range(2)]
    stop = StopSignal()

    def handler(_context: JobContext) -> Mapping[str, Any]:
        stop.drain()
        return {}

    assert _work(live_store, handler, stop=stop) == 1
    assert [queue.get(job_id).state for job_id in ids] == ["succeeded", "queued"]


def test_a_worker_that_leaves_with_a_lease_it_has_lost_ends_as_usual(live_store: Store) -> None:
    queue = JobQueue(live_store)
    job = queue.enqueue("search", {})
    stop = StopSignal()

    def handler(context: JobContext) -> Mapping[str, Any]:
        queue.release(context.lease)  # the fence is not this worker's any more
        stop.release()
        context.check_cancelled()
        raise AssertionError

    assert _work(live_store, handler, stop=stop) == 0
    assert queue.get(job.id).state == "queued"
