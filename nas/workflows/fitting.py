"""Fits predictors to all evaluations so far; each fit is an immutable revision."""

from dataclasses import dataclass

import numpy as np

from hw_profiles.profile import DeviceProfile
from nas.measuring.context import DeviceContext
from nas.progress import SilentProgress
from nas.store.supernets import StoredSupernet
from nas.workflows.latency_fitting import FIT_SEED, latency_fitter
from nas.workflows.predictor_revisions import store_revision
from nas.workspace import Workspace, space_of
from predictors.accuracy import AccuracyPredictor
from predictors.latency import LatencyPredictor
from search_spaces.errors import UsageError
from search_spaces.facts import FloatArray
from search_spaces.space import IntArray, SearchSpace


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedPredictors:
    """Both predictors with the revisions they are stored as."""

    latency: LatencyPredictor
    latency_revision: str
    accuracy: AccuracyPredictor
    accuracy_revision: str


def fit_predictors(workspace: Workspace, supernet: StoredSupernet, profile: DeviceProfile) -> FittedPredictors:
    """Fits and stores both predictors for a device.

    Raises:
        UsageError: if nothing was measured on the device yet.
        NasError: if the samples are too few, or nothing can be learned from them.
    """
    context = DeviceContext(workspace=workspace, space=space_of(supernet), profile=profile, progress=SilentProgress())
    fitter = latency_fitter(context)
    if not len(fitter.earlier):
        raise UsageError(f"nothing of {supernet.space} was measured on {profile.id} yet; run `hwnas measure` first.")
    latency = fitter.fit_earlier()
    accuracy, accuracy_revision = fit_accuracy(workspace, supernet)
    return FittedPredictors(
        latency=latency,
        latency_revision=store_revision(
            workspace,
            latency,
            profile_id=profile.id,
            supernet_id=supernet.id,
            provenance={
                "fingerprint": profile.fingerprint,
                "samples": len(fitter.earlier),
                "sources": [device.name for device in fitter.known.devices] if latency.sources else [],
            },
        ),
        accuracy=accuracy,
        accuracy_revision=accuracy_revision,
    )


def fit_accuracy(workspace: Workspace, supernet: StoredSupernet) -> tuple[AccuracyPredictor, str]:
    """Fits and stores the accuracy predictor of a supernet; gives its revision too.

    Raises:
        NasError: if the samples are too few, or nothing can be learned from them.
    """
    rows, accuracies = accuracy_samples(workspace, supernet)
    predictor = AccuracyPredictor.fit(space_of(supernet), rows, accuracies, seed=FIT_SEED)
    return predictor, store_revision(workspace, predictor, profile_id=None, supernet_id=supernet.id)


def accuracy_samples(workspace: Workspace, supernet: StoredSupernet) -> tuple[IntArray, FloatArray]:
    """Genotypes and validation accuracies of one supernet: of exported graphs, or else of float networks."""
    evaluations = workspace.store.evaluations
    known = evaluations.of(supernet.id, "float") | evaluations.of(supernet.id, "val")
    candidates = _of_space(workspace, space_of(supernet), tuple(known))
    rows = np.array([genotype for genotype, _ in candidates], dtype=np.int64)
    return rows, np.array([known[i].accuracy for _, i in candidates])


def _of_space(
    workspace: Workspace, space: SearchSpace, candidate_ids: tuple[str, ...]
) -> list[tuple[tuple[int, ...], str]]:
    """Genotypes and ids of the candidates that are of this very space and task."""
    return [
        (stored.genotype, stored.id)
        for stored in workspace.store.candidates.get_many(candidate_ids)
        if stored.candidate.space == space.name and dict(stored.candidate.task) == space.task.as_json()
    ]
