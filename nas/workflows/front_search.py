"""From a request to a stored front: search, baselines, verification, predictions, manifests."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from hw_profiles.profile import DeviceProfile
from nas.artifact_store import ArtifactStore
from nas.fronts.front import Baselines, Front, Latency, Member, pareto_members
from nas.fronts.manifest import InputFormat, build_manifest, file_name, manifest_bytes
from nas.jobs.errors import JobCancelledError
from nas.measuring.context import SearchContext
from nas.measuring.device_measurements import DeviceMeasurements
from nas.measuring.preparation_pool import PreparationPool
from nas.progress import Progress
from nas.quantization.onnx_export import INPUT_NAME, OUTPUT_NAME
from nas.search.loop import SearchResult
from nas.search.outcome import Limits, Outcome
from nas.search.pareto import non_dominated
from nas.store.leases import Lease
from nas.store.supernets import StoredSupernet
from nas.training.record import read_record
from nas.workflows.evaluating import evaluator
from nas.workflows.fitting import fit_predictors
from nas.workflows.latency_fitting import FIT_SEED
from nas.workflows.searching import SearchRequest, search, search_id_of
from nas.workflows.verification import Verified, verify
from nas.workspace import Workspace, space_of
from predictors.latency import LatencyPredictor
from search_spaces.errors import NasError
from search_spaces.facts import FloatArray
from search_spaces.space import IntArray

ARTIFACT_PREFIX = "artifacts/"
"""In a stored front an artifact's path is this and its SHA-256, relative to the service's ``/v1/``."""

_RANDOM_SEED_OFFSET = 1_000_003
"""Keeps the random baseline's draws apart from the search's own."""


class InfeasibleError(NasError):
    """Limits that nothing evaluated keeps; the message says the nearest point."""

    code: ClassVar[str] = "infeasible"


class NothingVerifiedError(NasError):
    """A search without one verified member."""

    code: ClassVar[str] = "nothing-verified"


def search_front(
    workspace: Workspace,
    supernet: StoredSupernet,
    profile: DeviceProfile,
    request: SearchRequest,
    pool: PreparationPool,
    progress: Progress,
    *,
    search_id: str | None = None,
    job_id: str | None = None,
    lease: Lease | None = None,
) -> tuple[str, Front]:
    """Searches, verifies and stores; a search whose front is stored already gives that front.

    Returns:
        The front's id and the front, members by rising latency.

    Raises:
        UsageError: for settings that cannot be.
        NasError: where nothing could be evaluated or verified.
    """
    search_id = search_id or search_id_of(request, supernet, profile)
    stored = workspace.store.fronts.of_search(search_id)
    if stored is not None:
        return stored.id, Front.from_bytes(workspace.store.fronts.body(stored.id))
    try:
        front = _search_front(
            workspace, supernet, profile, request, pool, progress, search_id=search_id, job_id=job_id, lease=lease
        )
    except JobCancelledError:
        workspace.store.searches.end(search_id, "cancelled", lease=lease)
        raise
    except (InfeasibleError, NothingVerifiedError):
        workspace.store.searches.end(search_id, "failed", lease=lease)
        raise
    info = workspace.store.fronts.add(search_id, front.to_bytes(), lease=lease)
    workspace.store.searches.end(search_id, "succeeded", lease=lease)
    return info.id, front


def _search_front(
    workspace: Workspace,
    supernet: StoredSupernet,
    profile: DeviceProfile,
    request: SearchRequest,
    pool: PreparationPool,
    progress: Progress,
    *,
    search_id: str,
    job_id: str | None,
    lease: Lease | None,
) -> Front:
    result = search(
        workspace,
        supernet,
        profile,
        request,
        pool,
        progress,
        search_id=search_id,
        job_id=job_id,
        lease=lease,
    )
    finalists = pareto_rows(*_within(request.limits, result))
    random = (
        random_front(workspace, supernet, profile, request, pool, progress, lease) if request.random_baseline else None
    )
    beside = _baseline_rows(supernet, random)
    asked = np.unique(np.concatenate([finalists, *beside.values()]), axis=0)
    context = SearchContext(
        workspace=workspace, supernet=supernet, profile=profile, pool=pool, progress=progress, lease=lease
    )
    verified = verify(context, list(asked))
    known = _members(workspace, supernet, profile, verified, lease)
    space = space_of(supernet)

    def of_rows(rows: IntArray) -> list[Member]:
        ids = [space.candidate(row).id for row in rows]
        return [known[candidate_id] for candidate_id in ids if candidate_id in known]

    found = of_rows(finalists)
    members = _keeping(request.limits, found)
    if not members:
        raise (
            _infeasible(request.limits, found)
            if found
            else NothingVerifiedError("no finalist passed verification, so there is no front; see the failures above.")
        )
    return Front(
        device=profile.id,
        space=supernet.space,
        data=supernet.data_name,
        seed=request.seed,
        evaluations=len(result.outcomes),
        members=pareto_members(members),
        baselines=_baselines({name: of_rows(rows) for name, rows in beside.items()}),
    )


def random_front(
    workspace: Workspace,
    supernet: StoredSupernet,
    profile: DeviceProfile,
    request: SearchRequest,
    pool: PreparationPool,
    progress: Progress,
    lease: Lease | None = None,
) -> IntArray:
    """The front's genotypes of as many uniform random candidates as the search evaluates."""
    space = space_of(supernet)
    rng = np.random.default_rng(request.seed + _RANDOM_SEED_OFFSET)
    drawn = np.empty((0, len(space.genes)), dtype=np.int64)
    while len(drawn) < request.evaluations:
        more = np.concatenate([drawn, space.sample(request.evaluations, rng)])
        _, first = np.unique(more, axis=0, return_index=True)
        drawn = more[np.sort(first)]
    drawn = drawn[: request.evaluations]
    context = SearchContext(
        workspace=workspace, supernet=supernet, profile=profile, pool=pool, progress=progress, lease=lease
    )
    with evaluator(context) as real:
        return pareto_rows(drawn, real.evaluate(drawn))


def pareto_rows(genotypes: IntArray, outcomes: Sequence[Outcome]) -> IntArray:
    """Genotypes that no other one dominates in measured (p50, validation accuracy), shape ``(k, genes)``."""
    good = np.array([outcome.succeeded for outcome in outcomes], dtype=np.bool_)
    points = np.array([[o.latency_p50_ms, -o.accuracy_val] for o in outcomes if o.succeeded]).reshape(-1, 2)
    return genotypes[good][non_dominated(points)]


def _within(limits: Limits, result: SearchResult) -> tuple[IntArray, list[Outcome]]:
    """The evaluated candidates that keep the limits.

    Raises:
        NothingVerifiedError: where every evaluation failed.
        InfeasibleError: where none keeps them.
    """
    rows = [row for row, outcome in enumerate(result.outcomes) if outcome.succeeded]
    outcomes = [result.outcomes[row] for row in rows]
    if not rows:
        raise NothingVerifiedError("no evaluation has succeeded, so there is no front; see the failures above.")
    violations = limits.violations(
        np.array([o.latency_p95_ms for o in outcomes]),
        np.array([float(o.size_bytes) for o in outcomes]),
        np.array([o.accuracy_val for o in outcomes]),
    )
    kept = np.flatnonzero(violations <= 0)
    if not len(kept):
        nearest = outcomes[int(violations.argmin())]
        raise InfeasibleError(
            _nearest_message(nearest.latency_p95_ms, nearest.size_bytes, nearest.accuracy_val, len(outcomes))
        )
    return result.genotypes[rows][kept], [outcomes[row] for row in kept]


def _keeping(limits: Limits, members: Sequence[Member]) -> list[Member]:
    """The members whose verified figures keep the limits."""
    return [member for member in members if _violation(limits, member) <= 0]


def _violation(limits: Limits, member: Member) -> float:
    return float(
        limits.violations(
            np.array([member.latency_p95_ms.best_known]),
            np.array([float(member.size_bytes)]),
            np.array([member.accuracy_val]),
        )[0]
    )


def _infeasible(limits: Limits, members: Sequence[Member]) -> InfeasibleError:
    nearest = min(members, key=lambda member: _violation(limits, member))
    return InfeasibleError(
        _nearest_message(nearest.latency_p95_ms.best_known, nearest.size_bytes, nearest.accuracy_val, len(members))
    )


def _nearest_message(latency_p95_ms: float, size_bytes: int, accuracy_val: float, count: int) -> str:
    return (
        f"none of {count} measured networks keeps all limits; the nearest has p95 {latency_p95_ms:.4g} ms,"
        f" {size_bytes} bytes and validation accuracy {accuracy_val:.1%}. Relax a limit or raise --evaluations."
    )


def _baseline_rows(supernet: StoredSupernet, random: IntArray | None) -> dict[str, IntArray]:
    space = space_of(supernet)
    rows = {
        "largest_fp32": space.largest()[None],
        "largest_int8": space.with_policy(space.largest(), "int8")[None],
    }
    return rows if random is None else rows | {"random": random}


def _baselines(members: Mapping[str, list[Member]]) -> Baselines | None:
    """None where a largest network failed: a baseline is not made up."""
    if not members["largest_fp32"] or not members["largest_int8"]:
        return None
    return Baselines(
        largest_fp32=members["largest_fp32"][0],
        largest_int8=members["largest_int8"][0],
        random=pareto_members(members.get("random", [])),
    )


def _members(
    workspace: Workspace,
    supernet: StoredSupernet,
    profile: DeviceProfile,
    verified: Mapping[str, Verified],
    lease: Lease | None,
) -> dict[str, Member]:
    """Verified candidates as members, each with its predictions and a stored manifest."""
    if not verified:
        return {}
    space = space_of(supernet)
    order = sorted(verified)
    rows = np.stack([verified[candidate_id].genotype for candidate_id in order])
    p50 = fit_predictors(workspace, supernet, profile).latency.predict(rows)
    p95 = _p95_predictor(workspace, supernet, profile).predict(rows)

    def latency(measured: float, low: FloatArray, value: FloatArray, high: FloatArray, row: int) -> Latency:
        return Latency(measured=measured, predicted=float(value[row]), interval_90=(float(low[row]), float(high[row])))

    members: dict[str, Member] = {}
    for row, candidate_id in enumerate(order):
        one = verified[candidate_id]
        manifest = _manifest(workspace, supernet, profile, one, lease)
        members[candidate_id] = Member(
            candidate=candidate_id,
            summary=space.describe(one.genotype),
            precision=space.describe_precision(one.genotype),
            size_bytes=one.measurement.size_bytes,
            latency_p50_ms=latency(one.measurement.latency_p50_ms, p50.low, p50.value, p50.high, row),
            latency_p95_ms=latency(one.measurement.latency_p95_ms, p95.low, p95.value, p95.high, row),
            accuracy_val=one.accuracy_val,
            accuracy_test=one.accuracy_test,
            artifacts={kind: ARTIFACT_PREFIX + file.sha256 for kind, file in one.files.items()}
            | {"manifest": ARTIFACT_PREFIX + manifest},
        )
    return members


def _p95_predictor(workspace: Workspace, supernet: StoredSupernet, profile: DeviceProfile) -> LatencyPredictor:
    space = space_of(supernet)
    samples = DeviceMeasurements(workspace.store, profile, space).samples()
    return LatencyPredictor.fit(space, samples.genotypes, samples.latency_p95_ms, seed=FIT_SEED)


def _manifest(
    workspace: Workspace, supernet: StoredSupernet, profile: DeviceProfile, one: Verified, lease: Lease | None
) -> str:
    """Stores a candidate's manifest; returns its SHA-256."""
    space = space_of(supernet)
    record = read_record(workspace.supernet_folder(supernet))
    manifest = build_manifest(
        candidate=space.candidate(one.genotype),
        canonical=space.to_string(one.genotype),
        summary=f"{space.describe(one.genotype)}, {space.describe_precision(one.genotype)}",
        input_format=InputFormat(
            name=INPUT_NAME,
            task=space.task,
            scale=record.normalization.scale,
            mean=record.normalization.mean,
            std=record.normalization.std,
        ),
        output_name=OUTPUT_NAME,
        classes=record.classes,
        supernet_id=supernet.id,
        data={"name": supernet.data_name, "fingerprint": supernet.data_fingerprint},
        files={
            kind: {"file": file_name(kind), "sha256": file.sha256, "size_bytes": file.size_bytes}
            for kind, file in one.files.items()
        },
        measured={
            "accuracy_val": one.accuracy_val,
            "accuracy_test": one.accuracy_test,
            "device": profile.id,
            "fingerprint": profile.fingerprint,
            "latency_p50_ms": one.measurement.latency_p50_ms,
            "latency_p95_ms": one.measurement.latency_p95_ms,
            "size_bytes": one.measurement.size_bytes,
        },
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "manifest.json"
        path.write_bytes(manifest_bytes(manifest))
        return ArtifactStore(workspace.home, workspace.store).put(path, "manifest", one.candidate_id, lease).sha256
