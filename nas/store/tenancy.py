"""Tenancy: which objects a caller may see.

A job belongs to the tenant whose API key submitted it, and with it its search, its fronts, and the candidates and
predictors that nobody else has found. A data set belongs to the tenant who uploaded it, a supernet to those who trained
it. What has no tenant (made on the command line, or over loopback without keys) is visible to everyone. Devices and
measurements are shared: they are facts about the machines.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Select, exists, not_, or_, select

from nas.store.service_tables import DataSetRow
from nas.store.tables import (
    ArtifactUseRow,
    CandidateRow,
    FrontRow,
    JobRow,
    PredictorRow,
    SearchRow,
    SupernetOwnerRow,
    SupernetRow,
    TrialRow,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """The caller of a request."""

    tenant: str | None
    sees_all: bool = False
    """Whether objects of every tenant are visible: for administrators, and where no keys are required."""

    def owns(self, tenant: str | None) -> bool:
        """Whether the viewer may change an object of this tenant."""
        return self.sees_all or tenant == self.tenant


EVERYTHING: Final = Viewer(tenant=None, sees_all=True)

_Conditions = tuple[ColumnElement[bool], ...]


def visible_jobs(viewer: Viewer) -> _Conditions:
    """Conditions on :class:`JobRow`."""
    return () if viewer.sees_all else (or_(JobRow.tenant.is_(None), JobRow.tenant == viewer.tenant),)


def visible_data_sets(viewer: Viewer) -> _Conditions:
    """Conditions on :class:`DataSetRow`."""
    return () if viewer.sees_all else (or_(DataSetRow.tenant.is_(None), DataSetRow.tenant == viewer.tenant),)


def visible_supernets(viewer: Viewer) -> _Conditions:
    """Conditions on :class:`SupernetRow`."""
    if viewer.sees_all:
        return ()
    ours = exists().where(SupernetOwnerRow.supernet_id == SupernetRow.id, SupernetOwnerRow.tenant == viewer.tenant)
    return (or_(SupernetRow.shared, ours),)


def visible_fronts(viewer: Viewer) -> _Conditions:
    """Conditions on :class:`FrontRow`."""
    return () if viewer.sees_all else (FrontRow.search_id.not_in(_hidden_searches(viewer)),)


def visible_candidates(viewer: Viewer) -> _Conditions:
    """Conditions on :class:`CandidateRow`: hidden are those that only searches of other tenants evaluated."""
    if viewer.sees_all:
        return ()
    hidden = _hidden_searches(viewer)
    theirs = exists().where(TrialRow.candidate_id == CandidateRow.id, TrialRow.search_id.in_(hidden))
    ours = exists().where(TrialRow.candidate_id == CandidateRow.id, TrialRow.search_id.not_in(hidden))
    return (or_(not_(theirs), ours),)


def visible_artifacts(viewer: Viewer) -> _Conditions:
    """Conditions on :class:`ArtifactUseRow`."""
    if viewer.sees_all:
        return ()
    return (ArtifactUseRow.candidate_id.in_(select(CandidateRow.id).where(*visible_candidates(viewer))),)


def visible_predictors(viewer: Viewer) -> _Conditions:
    """Conditions on :class:`PredictorRow`: hidden are those that only calibrations of other tenants made."""
    if viewer.sees_all:
        return ()
    hidden = _hidden_jobs(viewer)
    made = or_(
        JobRow.result["latency_predictor"].as_string() == PredictorRow.id,
        JobRow.result["accuracy_predictor"].as_string() == PredictorRow.id,
    )
    theirs = exists().where(JobRow.kind == "calibration", made, JobRow.id.in_(hidden))
    ours = exists().where(JobRow.kind == "calibration", made, JobRow.id.not_in(hidden))
    return (or_(not_(theirs), ours),)


def _hidden_jobs(viewer: Viewer) -> Select[str]:
    # SQL's comparison with NULL is not true: jobs without a tenant are not hidden.
    others = JobRow.tenant.is_not(None) if viewer.tenant is None else JobRow.tenant != viewer.tenant
    return select(JobRow.id).where(others).correlate(None)


def _hidden_searches(viewer: Viewer) -> Select[str]:
    return select(SearchRow.id).where(SearchRow.job_id.in_(_hidden_jobs(viewer))).correlate(None)
