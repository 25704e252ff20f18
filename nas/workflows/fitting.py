"""Predictors from everything that was evaluated so far; each fit is an immutable revision."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hw_profiles.measurement import Measurement, MeasurementFailure
from hw_profiles.profile import DeviceProfile
from nas.candidates.evaluator import known_latencies
from nas.home import Home, sha256_of
from nas.store.supernets import StoredSupernet
from nas.workflows.workspace import Workspace, space_of
from predictors.accuracy import AccuracyPredictor
from predictors.features import SCHEMA
from predictors.latency import LatencyPredictor
from search_spaces.errors import UsageError
from search_spaces.facts import FloatArray
from search_spaces.space import IntArray, SearchSpace

FIT_SEED = 0


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
        UsageError: where nothing was measured on the device yet.
        NasError: where the samples are too few or say nothing.
    """
    space = space_of(supernet)
    rows, latency_ms, repeatability = latency_samples(workspace, supernet, profile)
    latency = fit_latency(space, rows, latency_ms, repeatability)
    accuracy_rows, accuracies = accuracy_samples(workspace, supernet)
    accuracy = AccuracyPredictor.fit(space, accuracy_rows, accuracies, seed=FIT_SEED)
    return FittedPredictors(
        latency=latency,
        latency_revision=_store(workspace, supernet, latency, profile.id),
        accuracy=accuracy,
        accuracy_revision=_store(workspace, supernet, accuracy, None),
    )


def fit_latency(
    space: SearchSpace, genotypes: IntArray, latency_ms: FloatArray, repeatability: float
) -> LatencyPredictor:
    """The latency predictor of these samples; ``repeatability`` is a relative standard deviation."""
    return LatencyPredictor.fit(space, genotypes, latency_ms, seed=FIT_SEED, repeatability=repeatability)


def latency_samples(
    workspace: Workspace, supernet: StoredSupernet, profile: DeviceProfile
) -> tuple[IntArray, FloatArray, float]:
    """Genotypes, median milliseconds, and the median repeatability, of one space and device.

    Raises:
        UsageError: where nothing was measured there.
    """
    measured = {i: m for i, m in known_latencies(workspace.store, profile).items() if isinstance(m, Measurement)}
    candidates = _of_space(workspace, space_of(supernet), tuple(measured))
    if not candidates:
        raise UsageError(f"nothing of {supernet.space} was measured on {profile.id} yet; run `hwnas measure` first.")
    rows = np.array([genotype for genotype, _ in candidates], dtype=np.int64)
    latency_ms = np.array([measured[i].latency_p50_ms for _, i in candidates])
    return rows, latency_ms, typical_repeatability([measured[i] for _, i in candidates])


def typical_repeatability(outcomes: Iterable[Measurement | MeasurementFailure]) -> float:
    """The median relative standard deviation of a device's measurements; 0 where there are none."""
    known = [outcome.repeatability for outcome in outcomes if isinstance(outcome, Measurement)]
    return float(np.median(known)) if known else 0.0


def accuracy_samples(workspace: Workspace, supernet: StoredSupernet) -> tuple[IntArray, FloatArray]:
    """Genotypes and validation accuracies of one supernet."""
    known = workspace.store.evaluations.of(supernet.id, "val")
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


def _store(
    workspace: Workspace,
    supernet: StoredSupernet,
    predictor: LatencyPredictor | AccuracyPredictor,
    profile_id: str | None,
) -> str:
    """Saves a revision under the hash of its files and notes it in the store; again is harmless."""
    home: Home = workspace.home
    home.predictors.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.predictors, prefix=".new-") as scratch:
        folder = Path(scratch) / "revision"
        predictor.save(folder)
        revision = _folder_hash(folder)
        if not (home.predictors / revision).exists():
            shutil.move(folder, home.predictors / revision)
    workspace.store.predictors.put(
        revision=revision,
        kind="accuracy" if profile_id is None else "latency",
        profile_id=profile_id,
        space=supernet.space,
        supernet_id=supernet.id,
        data_sha256=predictor.data_sha256,
        schema_version=str(SCHEMA),
        metrics=predictor.held_out.as_json(),
        folder=revision,
    )
    return revision


def _folder_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{sha256_of(path)}\n".encode())
    return digest.hexdigest()
