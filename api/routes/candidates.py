"""Candidates with their measurements, accuracies and artifacts."""

from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response

from api.dependencies import StoreDep, ViewerDep, refuse_parameters, refuse_repeated_parameters, require_scope
from api.lookups import is_hash, require_stored, space_of_query
from api.pages import next_page, page_of
from api.wire import (
    ArtifactOut,
    CandidateInfoOut,
    CandidateOut,
    CandidatesOut,
    CandidatesQuery,
    EvaluationOut,
    MeasurementOut,
)
from hw_profiles.measurement import Measurement
from nas.store.candidates import StoredCandidate
from nas.store.measurements import Outcome
from search_spaces.registry import get_space
from search_spaces.task import TaskSpec

router = APIRouter(tags=["candidates"], dependencies=[require_scope("read")])


@router.get("/v1/candidates", dependencies=[Depends(refuse_repeated_parameters)])
def list_candidates(
    request: Request,
    response: Response,
    query: Annotated[CandidatesQuery, Query()],
    store: StoreDep,
    viewer: ViewerDep,
) -> CandidatesOut:
    """Lists the candidates that were evaluated or measured, newest first, a page at a time."""
    found, following = store.candidates.page(page_of(query), space=space_of_query(query.space), viewer=viewer)
    entries = [
        CandidateInfoOut(
            id=stored.id,
            url=f"/v1/candidates/{stored.id}",
            space=stored.candidate.space,
            canonical=stored.canonical,
            summary=_summary(stored),
            created_at=stored.created_at,
        )
        for stored in found
    ]
    return CandidatesOut(candidates=entries, next_page_token=next_page(request, response, following))


@router.get("/v1/candidates/{candidate_id}", dependencies=[Depends(refuse_parameters)])
def get_candidate(candidate_id: str, store: StoreDep, viewer: ViewerDep) -> CandidateOut:
    """One candidate: genes, accuracies, latencies on every device, and the addresses of its files."""
    found = store.candidates.find(candidate_id, viewer) if is_hash(candidate_id) else None
    stored = require_stored(found, "candidate", candidate_id)
    candidate = stored.candidate
    return CandidateOut(
        id=stored.id,
        space=candidate.space,
        task=dict(candidate.task),
        canonical=stored.canonical,
        summary=_summary(stored),
        genotype=list(stored.genotype),
        architecture=dict(candidate.architecture),
        policy=dict(candidate.policy),
        evaluations=[
            EvaluationOut(supernet=entry.supernet_id, part=entry.part, accuracy=entry.accuracy, images=entry.images)
            for entry in store.evaluations.of_candidate(stored.id)
        ],
        measurements=[_measurement(entry.outcome) for entry in store.measurements.of_candidate(stored.id)],
        artifacts=[
            ArtifactOut(
                kind=file.kind, sha256=file.sha256, size_bytes=file.size_bytes, url=f"/v1/artifacts/{file.sha256}"
            )
            for file in store.artifacts.of_candidate(stored.id)
        ],
    )


def _summary(stored: StoredCandidate) -> str:
    space = get_space(stored.candidate.space, TaskSpec.from_json(stored.candidate.task))
    return space.describe(np.array(stored.genotype, dtype=np.int64))


def _measurement(outcome: Outcome) -> MeasurementOut:
    measured = outcome if isinstance(outcome, Measurement) else None
    return MeasurementOut.model_validate(
        {
            "device": outcome.profile_id,
            "fingerprint": outcome.fingerprint,
            "measured_at": outcome.measured_at,
            "latency_p50_ms": None if measured is None else measured.latency_p50_ms,
            "latency_p95_ms": None if measured is None else measured.latency_p95_ms,
            "quality": None if measured is None else measured.quality,
            "failure": None if isinstance(outcome, Measurement) else f"{outcome.stage}: {outcome.message}",
        }
    )
