"""A whole run: jobs are asked for over REST, workers and the database fail, and everything is accounted for."""

import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from nas.data.npz import write_npz
from nas.data.sources import load_dataset
from nas.data_uploads import DataUploads
from nas.home import Home
from nas.jobs.queue import Job, JobQueue
from nas.jobs.worker import WorkerSettings, run_worker, worker_name
from nas.progress import Progress
from nas.store import Store, open_store
from nas.store.data_sets import STORED_DATA, StoredDataSet
from nas.store.errors import StoreUnavailableError
from nas.training.settings import TrainingSettings
from nas.workflows.chaos.accounting import ChaosCounts, account
from nas.workflows.chaos.databases import ChaosDatabase, chaos_database
from nas.workflows.chaos.plan import DEVICE, ChaosPlan, Disturbance, PlannedJob
from nas.workflows.chaos.processes import ServiceProcesses
from nas.workflows.job_handlers import job_handlers
from nas.workflows.training import TrainingTask, train
from nas.workspace import Workspace
from search_spaces.errors import NasError

_LOOK_S: Final = 0.5
_AHEAD: Final = 12
"""Jobs that wait or run at once, so that the service is asked throughout."""
_TASK: Final = "jobs"
_DATA: Final = "chaos"


class ChaosStuckError(NasError):
    """No job has ended for a long time."""

    code: ClassVar[str] = "chaos-stuck"

    def __init__(self, seconds: float, log: Path) -> None:
        super().__init__(f"no job has ended for {seconds:.0f} s; see {log}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosReport:
    """A run's counts."""

    database: str
    jobs: int
    disturbances: Mapping[Disturbance, int]
    """Those that were made."""
    refused_writes: int
    """How often a worker that had lost its job was told so."""
    counts: ChaosCounts
    compared: int
    """Trainings and searches that were run again undisturbed."""
    different: int
    """Of these, those with other weights, or with other networks evaluated."""
    seconds: float

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost, doubled, stale, wrong or different."""
        counts = self.counts
        bad = counts.lost + counts.doubled + counts.failed + counts.stale_writes + counts.wrong_results
        return bad == 0 and self.different == 0

    def as_json(self) -> dict[str, Any]:
        """One row."""
        return {
            "database": self.database,
            "jobs": self.jobs,
            **{f"{name}s": count for name, count in self.disturbances.items()},
            "refused_writes": self.refused_writes,
            **self.counts.as_json(),
            "compared": self.compared,
            "different": self.different,
            "seconds": self.seconds,
        }


def run_chaos(kind: str, plan: ChaosPlan, folder: Path, progress: Progress) -> ChaosReport:
    """Runs a plan on a new database of a kind (``sqlite`` or ``postgresql``), in a folder that is empty.

    Raises:
        PostgresMissingError: if PostgreSQL's server programs are not installed.
        ChaosStuckError: if the jobs do not end.
    """
    start_s = time.monotonic()
    home = Home(folder / "home")
    home.root.mkdir(parents=True)
    with chaos_database(kind, home.root) as database, open_store(database.url) as store:
        workspace = Workspace(home, store)
        data_set, supernet_id = _prepared(workspace, folder, progress)
        run = _Run(plan, database, store, home, plan.jobs(f"{STORED_DATA}{data_set.id}", supernet_id), progress)
        run.to_the_end()
        counts = account(store, home, run.accepted)
        compared, different = _compared(store, folder, plan, progress)
        return ChaosReport(
            database=kind,
            jobs=len(run.planned),
            disturbances={name: run.made.count(name) for name in ("kill", "pause", "outage", "server_kill")},
            refused_writes=run.processes.refused_writes(),
            counts=counts,
            compared=compared,
            different=different,
            seconds=time.monotonic() - start_s,
        )


def _prepared(workspace: Workspace, folder: Path, progress: Progress) -> tuple[StoredDataSet, str]:
    """A few images to train on, and a supernet for the searches."""
    full = load_dataset("fashion-mini")
    chosen = np.random.default_rng(0).permutation(len(full.x_train))[:120]
    arrays: dict[str, NDArray[np.generic]] = {
        "x_train": full.x_train[chosen],
        "y_train": full.y_train[chosen],
        "x_test": full.x_test[:40],
        "y_test": full.y_test[:40],
    }
    write_npz(folder / f"{_DATA}.npz", arrays)
    data_set = DataUploads(workspace.store, workspace.home).add(folder / f"{_DATA}.npz", name=_DATA)
    settings = TrainingSettings(epochs=1, batch_size=32, seed=2**31)
    task = TrainingTask(data=f"{STORED_DATA}{data_set.id}", space="mobilenet_v3:tiny", settings=settings)
    return data_set, train(workspace, task, progress).id


@dataclass(slots=True)
class _Run:
    plan: ChaosPlan
    database: ChaosDatabase
    store: Store
    home: Home
    planned: Sequence[PlannedJob]
    progress: Progress
    stuck_s: float = 900.0
    accepted: dict[str, str] = field(default_factory=dict)
    made: list[Disturbance] = field(default_factory=list)
    processes: ServiceProcesses = field(init=False)
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.plan.seed)  # noqa: S311 - nothing secret
        environment = {
            "HWNAS_HOME": str(self.home.root),
            "HWNAS_DATABASE_URL": self.database.url,
            "OMP_NUM_THREADS": "1",
        }
        self.processes = ServiceProcesses(environment, self.home.root, self.plan.lease_s)

    def to_the_end(self) -> None:
        """Until every job has ended and every process is gone."""
        self.processes.start_server()
        for _ in range(self.plan.workers):
            self.processes.start_worker()
        try:
            self._wait_for_device()
            self._loop()
        finally:
            self.processes.end()

    def _wait_for_device(self) -> None:
        """Until a worker has named its devices: the service, which has none, refuses jobs for them before."""
        deadline_s = time.monotonic() + self.stuck_s
        while self.store.devices.find(DEVICE) is None:
            if time.monotonic() > deadline_s:
                raise ChaosStuckError(self.stuck_s, self.processes.log)
            self.processes.tend()
            time.sleep(_LOOK_S)

    def _loop(self) -> None:
        waiting = self.plan.disturbances()
        ended, moved_s = -1, time.monotonic()
        while True:
            self.processes.tend()
            jobs = self._jobs()
            now = sum(job.ended for job in jobs)
            if now != ended:
                ended, moved_s = now, time.monotonic()
                self.progress.update(_TASK, ended, len(self.planned), {"disturbances": str(len(self.made))})
            if ended == len(self.planned) and len(self.accepted) == ended:
                return
            if time.monotonic() - moved_s > self.stuck_s:
                raise ChaosStuckError(self.stuck_s, self.processes.log)
            due = len(self.made) * len(self.planned) <= (ended + 1) * len(self.plan.disturbances())
            if waiting and due and self._disturb(waiting[-1], jobs):
                self.made.append(waiting.pop())
            elif len(self.accepted) < len(self.planned) and len(self.accepted) - ended < _AHEAD:
                self._submit()
            else:
                time.sleep(_LOOK_S)

    def _jobs(self) -> Sequence[Job]:
        while True:
            try:
                return JobQueue(self.store).all()
            except StoreUnavailableError:
                time.sleep(_LOOK_S)

    def _submit(self) -> None:
        number = len(self.accepted)
        found = self.processes.send(self.planned[number], f"job-{number}")
        if found is None:
            time.sleep(_LOOK_S)
        else:
            self.accepted[f"job-{number}"] = found["id"]

    def _disturb(self, what: Disturbance, jobs: Sequence[Job]) -> bool:
        """Whether it was made: a worker is killed or stopped only while it has a job."""
        time.sleep(self.chance.uniform(0.0, 1.0))
        if what == "outage":
            self.database.fail()
            return True
        if what == "server_kill":
            self._kill_server()
            return True
        busy = {job.worker for job in jobs if job.state == "running"}
        workers = [process for process in self.processes.workers if worker_name(process.pid) in busy]
        if not workers:
            return False
        worker = self.chance.choice(workers)
        if what == "kill":
            self.processes.kill_worker(worker)
        else:
            self.processes.pause_worker(worker)
        return True

    def _kill_server(self) -> None:
        """In the middle of a request, where there is one to make: nobody knows whether its job was accepted."""
        if len(self.accepted) < len(self.planned):
            number = len(self.accepted)
            request = threading.Thread(
                target=self.processes.send, args=(self.planned[number], f"job-{number}"), daemon=True
            )
            request.start()
            request.join(self.chance.uniform(0.0, 0.1))
        self.processes.kill_server()


def _compared(store: Store, folder: Path, plan: ChaosPlan, progress: Progress) -> tuple[int, int]:
    """Runs some trainings and searches again where nothing disturbs them; how many, and how many differ."""
    disturbed = [job for kind in ("training", "search") for job in _some(store, kind, plan.references)]
    home = Home(folder / "undisturbed")
    home.root.mkdir()
    with open_store(home.root / "hwnas.db") as alone:
        workspace = Workspace(home, alone)
        data_set, _ = _prepared(workspace, folder, progress)
        queue = JobQueue(alone)
        for job in disturbed:
            own = {"data": f"{STORED_DATA}{data_set.id}"} if job.kind == "training" else {}
            queue.enqueue(job.kind, {**job.request, **own}, job_id=job.id)
        progress.say(f"running {len(disturbed)} jobs again, undisturbed")
        run_worker(alone, job_handlers(workspace), WorkerSettings(until_idle=True))
        same = [_outcome(alone, queue.get(job.id)) == _outcome(store, job) for job in disturbed]
    return len(same), same.count(False)


def _some(store: Store, kind: str, count: int) -> list[Job]:
    """Those that lost the most workers."""
    jobs = [job for job in JobQueue(store).all(state="succeeded") if job.kind == kind]
    return sorted(jobs, key=lambda job: job.fence, reverse=True)[:count]


def _outcome(store: Store, job: Job) -> object:
    """What a job gives if nothing goes wrong, without latencies."""
    if job.kind == "training":
        return None if job.result is None else job.result["supernet"]
    accuracy = job.request["objectives"].index("accuracy")
    return [
        (trial.genotype, None if trial.values is None else trial.values[accuracy])
        for generation in store.searches.generations(job.id)
        for trial in generation.trials
    ]
