"""Predictors: their accuracy, and predictions for candidates."""

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from api.dependencies import (
    CallerDep,
    DeletionsDep,
    PredictorsDep,
    StoreDep,
    ViewerDep,
    refuse_parameters,
    refuse_repeated_parameters,
    require_scope,
)
from api.json_bodies import require_json
from api.lookups import is_hash, require_stored, space_of_query
from api.pages import next_page, page_of
from api.problems import ProblemError, invalid_field
from api.wire import PredictionOut, PredictionsOut, PredictorOut, PredictorsOut, PredictorsQuery, PredictRequest
from nas.store import Store
from nas.store.predictors import StoredPredictor
from nas.store.tenancy import Viewer
from predictors.errors import RevisionError

if TYPE_CHECKING:
    from nas.workflows.predicting import PredictedCandidate
    from predictors.accuracy import AccuracyPredictor
    from predictors.latency import LatencyPredictor

router = APIRouter(tags=["predictors"], dependencies=[require_scope("read")])


@router.get("/v1/predictors", dependencies=[Depends(refuse_repeated_parameters)])
def list_predictors(
    request: Request,
    response: Response,
    query: Annotated[PredictorsQuery, Query()],
    store: StoreDep,
    viewer: ViewerDep,
) -> PredictorsOut:
    """Lists the revisions of predictors, newest first, a page at a time."""
    found, following = store.predictors.page(
        page_of(query), kind=query.kind, profile_id=query.device, space=space_of_query(query.space), viewer=viewer
    )
    return PredictorsOut(
        predictors=[_predictor_out(stored) for stored in found],
        next_page_token=next_page(request, response, following),
    )


@router.get("/v1/predictors/{predictor_id:segment}", dependencies=[Depends(refuse_parameters)])
def get_predictor(predictor_id: str, store: StoreDep, viewer: ViewerDep) -> PredictorOut:
    """One revision of a predictor: its error on held-out samples, its training samples and their origin."""
    return _predictor_out(_find(store, predictor_id, viewer))


@router.delete(
    "/v1/predictors/{predictor_id:segment}",
    status_code=204,
    dependencies=[require_scope("admin"), Depends(refuse_parameters)],
)
def delete_predictor(predictor_id: str, store: StoreDep, deletions: DeletionsDep, caller: CallerDep) -> None:
    """Deletes a revision and its files. Needs the scope `admin`, as several tenants may have made the same one.

    Problems: `still-referenced` (409) with `referrers` while the calibrations that made it are stored.
    """
    deletions.predictor(_find(store, predictor_id, caller.viewer).id)


@router.post(
    "/v1/predictors/{predictor_id:segment}:predict", dependencies=[Depends(refuse_parameters), Depends(require_json)]
)
def predict_candidates(
    predictor_id: str, asked: PredictRequest, store: StoreDep, predictors: PredictorsDep, viewer: ViewerDep
) -> PredictionsOut:
    """Predicts 1 to 1,000 candidates of the predictor's space, with 90 % intervals.

    `quantity` is what is predicted: p50 latency in milliseconds, or validation accuracy as a fraction. A
    candidate that is not in the space is reported as a wrong field, `candidates.N`, counted from 0. Other
    problems: `unknown-predictor` (404) and `predictor-gone` (410), if its files are missing or of another
    version.
    """
    stored = _find(store, predictor_id, viewer)
    from nas.workflows.predicting import (  # noqa: PLC0415 - brings XGBoost, which other routes do without
        CandidateTextError,
        candidate_genotypes,
        predicted_candidates,
    )

    def question(predictor: "LatencyPredictor | AccuracyPredictor") -> "tuple[PredictedCandidate, ...]":
        return predicted_candidates(predictor, candidate_genotypes(store, predictor.space, asked.candidates))

    try:
        predicted = predictors.ask(stored, question)
    except CandidateTextError as error:
        raise invalid_field("body", f"candidates.{error.row}", error.reason.rstrip(".")) from error
    except RevisionError as error:
        raise ProblemError(HTTPStatus.GONE, "predictor-gone", str(error)) from error
    return PredictionsOut(
        predictor=stored.id,
        device=stored.profile_id,
        space=stored.space,
        quantity="latency_p50_ms" if stored.kind == "latency" else "accuracy_val",
        predictions=[
            PredictionOut(
                candidate=one.candidate_id,
                arch=one.canonical,
                predicted=one.predicted,
                interval_90=one.interval_90,
                outside=one.outside,
            )
            for one in predicted
        ],
    )


def _predictor_out(stored: StoredPredictor) -> PredictorOut:
    return PredictorOut(
        id=stored.id,
        kind=stored.kind,
        device=stored.profile_id,
        space=stored.space,
        supernet=stored.supernet_id,
        schema_version=stored.schema_version,
        data_sha256=stored.data_sha256,
        metrics={name: value for name, value in stored.metrics.items() if name != "provenance"},
        provenance=stored.metrics.get("provenance"),
        created_at=stored.created_at,
    )


def _find(store: Store, predictor_id: str, viewer: Viewer) -> StoredPredictor:
    found = store.predictors.find(predictor_id, viewer) if is_hash(predictor_id) else None
    return require_stored(found, "predictor", predictor_id)
