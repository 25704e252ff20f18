"""What became of the jobs: each one that was accepted has ended once, and nobody else wrote of it."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from nas.home import Home, sha256_of
from nas.jobs.events import JobEvents
from nas.jobs.queue import Job, JobQueue
from nas.store import Store
from nas.store.pages import PageRequest
from nas.training.record import WEIGHTS_FILE

_ENDED: Final = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosCounts:
    """Counts that a run ends with; everything from ``lost`` on should be 0."""

    succeeded: int
    claims: int
    """Of all jobs; as many more than jobs as workers were lost."""
    lost: int = 0
    """Accepted, and not stored or not ended."""
    doubled: int = 0
    """Jobs that ended twice, or that one request made two of."""
    failed: int = 0
    stale_writes: int = 0
    """Events of a job after its end."""
    wrong_results: int = 0
    """Searches with another number of evaluations or not one front; supernets or predictors that are not there."""
    problems: tuple[str, ...] = field(default=())
    """What was found wrong, in words."""

    def as_json(self) -> dict[str, Any]:
        """One JSON object."""
        return asdict(self) | {"problems": list(self.problems)}


def account(store: Store, home: Home, accepted: Mapping[str, str]) -> ChaosCounts:
    """Counts over the jobs of a store, all of which were asked for in the run.

    Args:
        store: when everything has ended.
        home: where the supernets lie.
        accepted: id of the job by idempotency key.
    """
    jobs = {job.id: job for job in JobQueue(store).all()}
    problems: list[str] = []
    lost = [job_id for job_id in accepted.values() if job_id not in jobs or jobs[job_id].state not in _ENDED]
    problems += [f"job {job_id} was lost" for job_id in lost]
    extra = [job_id for job_id in jobs if job_id not in set(accepted.values())]
    problems += [f"job {job_id} was made by no request, or by one that made another" for job_id in extra]
    failed = [job for job in jobs.values() if job.state != "succeeded"]
    problems += [f"job {job.id} ({job.kind}) is {job.state}: {job.error}" for job in failed]
    twice, stale = 0, 0
    for job in jobs.values():
        ends, late = _ends(store, job)
        twice += ends > 1
        stale += late
        if ends > 1 or late:
            problems.append(f"job {job.id} ended {ends} times, and {late} events came late")
    wrong = [f"job {job.id} ({job.kind}): {reason}" for job in jobs.values() for reason in _wrong(store, home, job)]
    return ChaosCounts(
        succeeded=sum(job.state == "succeeded" for job in jobs.values()),
        claims=sum(job.fence for job in jobs.values()),
        lost=len(lost),
        doubled=twice + len(extra),
        failed=len(failed),
        stale_writes=stale,
        wrong_results=len(wrong),
        problems=tuple(problems + wrong),
    )


def _ends(store: Store, job: Job) -> tuple[int, int]:
    """How often a job ended, and how many events came after that."""
    ends, late = 0, 0
    for event in JobEvents(store).after(job.id, 0):
        late += ends > 0
        ends += event.kind == "state" and event.data["state"] in _ENDED
    return ends, late


def _wrong(store: Store, home: Home, job: Job) -> Collection[str]:
    if job.state != "succeeded" or job.result is None:
        return ()
    if job.kind == "training":
        supernet = store.supernets.find(job.result["supernet"])
        if supernet is None:
            return ("its supernet is not stored",)
        if sha256_of(home.supernets / supernet.folder / WEIGHTS_FILE) != supernet.id:
            return ("its weights have another hash",)
        return ()
    if job.kind == "calibration":
        found = store.predictors.find(job.result["latency_predictor"])
        return () if found is not None else ("its predictor is not stored",)
    return _wrong_search(store, job)


def _wrong_search(store: Store, job: Job) -> list[str]:
    reasons = []
    generations = store.searches.generations(job.id)
    done = sum(generation.evaluations for generation in generations)
    if done != job.request["evaluations"]:
        reasons.append(f"{done} evaluations in place of {job.request['evaluations']}")
    if [generation.number for generation in generations] != list(range(len(generations))):
        reasons.append("a generation is missing")
    trials = Counter(trial.genotype for generation in generations for trial in generation.trials)
    if trials and max(trials.values()) > 1:
        reasons.append("a network was evaluated twice")
    fronts, _ = store.fronts.page(PageRequest(size=2), search_id=job.id)
    if len(fronts) != 1:
        reasons.append("no front" if not fronts else "more than one front")
    return reasons
