"""Deletion of objects that nothing refers to."""

import shutil
from collections.abc import Sequence
from typing import ClassVar, cast

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from nas.home import Home
from nas.jobs.queue import JobKind, job_address
from nas.store import Store
from nas.store.audit import Change, record_change
from nas.store.data_sets import STORED_DATA
from nas.store.errors import NotStoredError
from nas.store.owners import owner_has_ended
from nas.store.service_tables import BatchRow, DataSetRow, JobEventRow
from nas.store.tables import (
    EvaluationRow,
    FrontMemberRow,
    FrontRow,
    GenerationRow,
    JobRow,
    MeasurementRow,
    PredictorRow,
    SearchRow,
    SupernetOwnerRow,
    SupernetRow,
    TrialRow,
)
from search_spaces.errors import NasError

_NAMED = 5


class StillActiveError(NasError):
    """What is to be deleted has not ended."""

    code: ClassVar[str] = "still-active"

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} has not ended; cancel it and wait until it has, then delete it.")


class StillReferencedError(NasError):
    """Another object refers to what is to be deleted."""

    code: ClassVar[str] = "still-referenced"

    def __init__(self, what: str, referrers: Sequence[str]) -> None:
        self.referrers = tuple(referrers)
        """As addresses of the service."""
        named = ", ".join(self.referrers[:_NAMED])
        more = f" and {len(referrers) - _NAMED} more" if len(referrers) > _NAMED else ""
        refer, them = ("refers", "it") if len(referrers) == 1 else ("refer", "them")
        super().__init__(f"{named}{more} {refer} to {what}; delete {them} first.")


class Deletions:
    """Deletes from one store, each in one transaction. Candidates, measurements and evaluations are kept for ever.

    Methods raise :class:`NotStoredError`, :class:`StillActiveError` and :class:`StillReferencedError`.
    """

    def __init__(self, store: Store, home: Home, change: Change | None = None) -> None:
        """Each deletion is recorded as this change."""
        self._change = change
        self._database = store.database
        self._clock = store.clock
        self._home = home

    def search(self, search_id: str) -> None:
        """Deletes an ended or interrupted search with its trials; fronts and batches refer to it."""
        what = f"search {search_id}"
        with self._database.write() as session:
            job = session.get(JobRow, search_id, with_for_update=True)
            search = session.get(SearchRow, search_id, with_for_update=True)
            if search is None and (job is None or job.kind != "search"):
                raise NotStoredError("search", search_id)
            self._require_ended(job, search, what)
            referrers = [] if job is None or job.batch_id is None else [f"/v1/batches/{job.batch_id}"]
            referrers += _fronts(session, [search_id])
            if referrers:
                raise StillReferencedError(what, referrers)
            _delete_jobs(session, [search_id])
            self._record(session, f"/v1/searches/{search_id}")

    def calibration(self, calibration_id: str) -> None:
        """Deletes an ended calibration; its predictor and measurements stay. A batch refers to it."""
        self._job("calibration", calibration_id)

    def training(self, training_id: str) -> None:
        """Deletes an ended training; its supernet stays."""
        self._job("training", training_id)

    def batch(self, batch_id: str) -> None:
        """Deletes a batch with its members, all of which have ended; fronts of its searches refer to it."""
        what = f"batch {batch_id}"
        with self._database.write() as session:
            batch = session.get(BatchRow, batch_id, with_for_update=True)
            if batch is None:
                raise NotStoredError("batch", batch_id)
            jobs = session.scalars(select(JobRow).where(JobRow.batch_id == batch_id).with_for_update()).all()
            for job in jobs:
                self._require_ended(job, None, what)
            ids = [job.id for job in jobs]
            if referrers := _fronts(session, ids):
                raise StillReferencedError(what, referrers)
            _delete_jobs(session, ids)
            session.delete(batch)
            self._record(session, f"/v1/batches/{batch_id}")

    def front(self, front_id: str) -> None:
        """Deletes a front; its members' artifacts stay with their candidates."""
        with self._database.write() as session:
            front = session.get(FrontRow, front_id, with_for_update=True)
            if front is None:
                raise NotStoredError("front", front_id)
            session.execute(delete(FrontMemberRow).where(FrontMemberRow.front_id == front_id))
            session.delete(front)
            self._record(session, f"/v1/fronts/{front_id}")

    def predictor(self, predictor_id: str) -> None:
        """Deletes a predictor revision and its files; the calibrations that made it refer to it."""
        with self._database.write() as session:
            predictor = session.get(PredictorRow, predictor_id, with_for_update=True)
            if predictor is None:
                raise NotStoredError("predictor", predictor_id)
            made = or_(
                JobRow.result["latency_predictor"].as_string() == predictor_id,
                JobRow.result["accuracy_predictor"].as_string() == predictor_id,
            )
            makers = session.scalars(select(JobRow.id).where(JobRow.kind == "calibration", made))
            if referrers := [f"/v1/calibrations/{job_id}" for job_id in makers]:
                raise StillReferencedError(f"predictor {predictor_id[:12]}", referrers)
            folder = self._home.predictors / predictor.folder
            session.delete(predictor)
            self._record(session, f"/v1/predictors/{predictor_id}")
        # After the row: a crash in between leaves files that nothing names, not a row without files.
        shutil.rmtree(folder, ignore_errors=True)

    def data_set(self, data_set_id: str) -> None:
        """Deletes an uploaded data set and its file; supernets and trainings that use it refer to it."""
        with self._database.write() as session:
            data_set = session.get(DataSetRow, data_set_id, with_for_update=True)
            if data_set is None:
                raise NotStoredError("data set", data_set_id)
            supernets = session.scalars(select(SupernetRow.id).where(SupernetRow.data_set_id == data_set_id))
            referrers = [f"/v1/supernets/{supernet_id}" for supernet_id in supernets]
            uses = select(JobRow.id).where(
                JobRow.kind == "training",
                JobRow.state.in_(("queued", "running")),
                JobRow.request["data"].as_string() == f"{STORED_DATA}{data_set_id}",
            )
            referrers += [job_address("training", job_id) for job_id in session.scalars(uses)]
            if referrers:
                raise StillReferencedError(f"data set {data_set_id}", referrers)
            session.delete(data_set)
            self._record(session, f"/v1/data-sets/{data_set_id}")
        shutil.rmtree(self._home.data_sets / data_set_id, ignore_errors=True)

    def supernet(self, supernet_id: str) -> None:
        """Deletes a supernet with its weights and accuracies; latencies that were measured with it stay.

        Searches, predictors and jobs that wait or run refer to it.
        """
        what = f"supernet {supernet_id[:12]}"
        with self._database.write() as session:
            supernet = session.get(SupernetRow, supernet_id, with_for_update=True)
            if supernet is None:
                raise NotStoredError("supernet", supernet_id)
            if referrers := _users_of_supernet(session, supernet_id):
                raise StillReferencedError(what, referrers)
            session.execute(delete(EvaluationRow).where(EvaluationRow.supernet_id == supernet_id))
            session.execute(
                update(MeasurementRow).where(MeasurementRow.supernet_id == supernet_id).values(supernet_id=None)
            )
            session.execute(delete(SupernetOwnerRow).where(SupernetOwnerRow.supernet_id == supernet_id))
            folder = self._home.supernets / supernet.folder
            session.delete(supernet)
            self._record(session, f"/v1/supernets/{supernet_id}")
        shutil.rmtree(folder, ignore_errors=True)

    def _job(self, kind: JobKind, job_id: str) -> None:
        what = f"{kind} {job_id}"
        with self._database.write() as session:
            job = session.get(JobRow, job_id, with_for_update=True)
            if job is None or job.kind != kind:
                raise NotStoredError(kind, job_id)
            self._require_ended(job, None, what)
            if job.batch_id is not None:
                raise StillReferencedError(what, [f"/v1/batches/{job.batch_id}"])
            _delete_jobs(session, [job_id])
            self._record(session, job_address(kind, job_id))

    def _record(self, session: Session, subject: str) -> None:
        record_change(session, self._change, self._clock(), subject=subject)

    def _require_ended(self, job: JobRow | None, search: SearchRow | None, what: str) -> None:
        if job is not None:
            active = job.state in ("queued", "running")
        else:
            active = search is not None and search.state == "running" and self._is_held(search)
        if active:
            raise StillActiveError(what)

    def _is_held(self, search: SearchRow) -> bool:
        leased = search.lease_until is not None and search.lease_until > self._clock()
        return leased and not (search.owner is not None and owner_has_ended(search.owner))


def _fronts(session: Session, search_ids: Sequence[str]) -> list[str]:
    query = select(FrontRow.id).where(FrontRow.search_id.in_(search_ids)).order_by(FrontRow.created_at, FrontRow.id)
    return [f"/v1/fronts/{front_id}" for front_id in session.scalars(query)]


def _users_of_supernet(session: Session, supernet_id: str) -> list[str]:
    searches = session.scalars(select(SearchRow.id).where(SearchRow.supernet_id == supernet_id))
    predictors = session.scalars(select(PredictorRow.id).where(PredictorRow.supernet_id == supernet_id))
    jobs = select(JobRow).where(
        JobRow.state.in_(("queued", "running")),
        or_(
            JobRow.request["supernet"].as_string() == supernet_id,
            JobRow.request["init"].as_string() == supernet_id,
        ),
    )
    return [
        *(f"/v1/searches/{search_id}" for search_id in searches),
        *(f"/v1/predictors/{predictor_id}" for predictor_id in predictors),
        *(job_address(cast("JobKind", job.kind), job.id) for job in session.scalars(jobs)),
    ]


def _delete_jobs(session: Session, ids: Sequence[str]) -> None:
    """Deletes jobs and searches with these ids, and what is theirs alone."""
    session.execute(update(MeasurementRow).where(MeasurementRow.job_id.in_(ids)).values(job_id=None))
    session.execute(delete(TrialRow).where(TrialRow.search_id.in_(ids)))
    session.execute(delete(GenerationRow).where(GenerationRow.search_id.in_(ids)))
    session.execute(delete(SearchRow).where(SearchRow.id.in_(ids)))
    session.execute(delete(JobEventRow).where(JobEventRow.job_id.in_(ids)))
    session.execute(delete(JobRow).where(JobRow.id.in_(ids)))
