"""From a search task to a stored front: search, baselines, verification, predictions, manifests."""

import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from nas.artifact_store import ArtifactStore
from nas.fronts.front import Accuracy, Baselines, Budget, Front, Latency, Member, pareto_members
from nas.fronts.manifest import InputFormat, ModelInterface, build_manifest, file_name, manifest_bytes
from nas.jobs.errors import JobCancelledError
from nas.measuring.context import SearchContext
from nas.measuring.preparation import PreparationFailure, Prepared
from nas.metrics import ACCURACY, Constraints, columns
from nas.search.judging import Evaluated, check_metrics, front_rows, guaranteed, nearest_message
from nas.search.metric_predictors import needed_metrics
from nas.search.outcome import Outcome
from nas.search.posterior import AccuracyPosterior, AccuracyReadings, finished_posterior
from nas.search.provable_limits import infeasible_limits
from nas.training.finish_settings import FinishSettings
from nas.training.record import read_record
from nas.workflows.member_predictions import predict_latencies, search_accuracies
from nas.workflows.random_baseline import RandomBaseline, random_baseline
from nas.workflows.searching import LATENCY_MARGIN_STDS, SearchRun, SearchTask, search, search_id_of
from nas.workflows.verification import Verified, verify
from predictors.prediction import Prediction
from search_spaces.errors import NasError
from search_spaces.facts import FloatArray
from search_spaces.space import IntArray

ARTIFACT_PREFIX = "artifacts/"
"""In a stored front an artifact's path is this and its SHA-256, relative to the service's ``/v1/``."""

_MIN_PAIRS = 5
"""Finalists measured twice from which on they say how well the device repeats p95."""
_NORMAL_MAD = 1.4826


class InfeasibleError(NasError):
    """No network meets the limits; the message names the closest one."""

    code: ClassVar[str] = "infeasible"


class NothingVerifiedError(NasError):
    """A search without one verified member."""

    code: ClassVar[str] = "nothing-verified"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Judged:
    """A verified candidate as a member, and what limits are compared with."""

    member: Member
    guaranteed_accuracy: float
    slowest_ms: Mapping[str, float]
    """The largest reading of each latency metric."""


def search_front(
    context: SearchContext, task: SearchTask, *, search_id: str | None = None, job_id: str | None = None
) -> tuple[str, Front]:
    """Searches, verifies and stores; a search whose front is stored already, with this budget, gives that front.

    Returns:
        The front's id and the front, members by rising latency.

    Raises:
        UsageError: for settings that cannot be.
        InfeasibleError: if no network keeps the limits.
        NasError: if nothing could be evaluated or verified.
    """
    check_limits(context, task)
    store, lease = context.store, context.lease
    search_id = search_id or search_id_of(task, context.supernet, context.profile)
    stored = store.fronts.of_search(search_id)
    if stored is not None:
        front = Front.from_bytes(store.fronts.body(stored.id))
        if front.evaluations >= task.evaluations:
            return stored.id, front
    try:
        front = _search_front(context, task, search_id, job_id)
    except JobCancelledError:
        store.searches.end(search_id, "cancelled", lease=lease)
        raise
    except (InfeasibleError, NothingVerifiedError):
        store.searches.end(search_id, "failed", lease=lease)
        raise
    info = store.fronts.add(search_id, front.to_bytes(), lease=lease)
    store.searches.end(search_id, "succeeded", lease=lease)
    return info.id, front


def check_limits(context: SearchContext, task: SearchTask) -> None:
    """Refuses limits that cost facts prove infeasible, before anything is evaluated.

    Raises:
        InfeasibleError: names each such limit.
        UsageError: for precisions that the space does not have or the device does not run.
    """
    restriction = task.restriction(context.space, context.profile)
    reasons = infeasible_limits(context.space, task.constraints, context.profile, restriction)
    if reasons:
        raise InfeasibleError(f"{'; '.join(reasons.values())}.")


def _search_front(context: SearchContext, task: SearchTask, search_id: str, job_id: str | None) -> Front:
    run = search(context, task, search_id=search_id, job_id=job_id)
    budget = Budget(evaluations=len(run.result.outcomes), lookups=run.lookups)
    finalists = _finalists(context, task, run)
    random = random_baseline(context, task, budget) if task.random_baseline else None
    beside = _baseline_rows(context, random)
    asked = np.unique(np.concatenate([finalists, *beside.values()]), axis=0)
    finishing = task.finishing()
    shipping = {context.space.candidate(row).id for row in finalists}
    verified = verify_finished(context, asked, finishing, shipping)
    judged = _judge(context, run, verified, finished=finishing is not None)

    def of_rows(rows: IntArray) -> list[_Judged]:
        ids = [context.space.candidate(row).id for row in rows]
        return [judged[candidate_id] for candidate_id in ids if candidate_id in judged]

    names = task.objectives.names
    members = pareto_members(_keeping(context, task.constraints, run, of_rows(finalists)), names)
    return Front(
        device=context.profile.id,
        space=context.supernet.space,
        data=context.supernet.data_name,
        seed=task.seed,
        evaluations=budget.evaluations,
        members=members,
        baselines=_baselines({name: [one.member for one in of_rows(rows)] for name, rows in beside.items()}, names),
        supernet=context.supernet.id,
        fingerprint=context.profile.fingerprint,
        method=task.method,
        budget=budget,
        random_budget=None if random is None else random.budget,
        objectives=names,
        limits=task.constraints.as_limits(),
    )


def verify_finished(
    context: SearchContext,
    genotypes: IntArray,
    finishing: FinishSettings | None,
    shipping: Collection[str] | None = None,
) -> dict[str, Verified]:
    """Candidates finished, if asked for, and verified; by id.

    Args:
        context: supernet, device, preparation.
        genotypes: canonical and distinct, evaluated before, shape ``(n, genes)``.
        finishing: how they are finished; None where they ship with inherited weights.
        shipping: see :func:`nas.workflows.verification.verify`.
    """
    if finishing is None:
        return verify(context, list(genotypes), shipping=shipping)
    from nas.workflows.finishing import finished_pool  # noqa: PLC0415 - imports torch

    with finished_pool(context, genotypes, finishing) as pool:
        return verify(context, list(genotypes), finished=pool, shipping=shipping)


def _finalists(context: SearchContext, task: SearchTask, run: SearchRun) -> IntArray:
    """The evaluated candidates on the front of those that keep the limits with their margins.

    A limit on accuracy is for the networks that ship: where they are finished, it is compared afterwards.

    Raises:
        NothingVerifiedError: if every evaluation failed.
        InfeasibleError: if none keeps them.
    """
    evaluated = Evaluated.succeeded(run.result.genotypes, run.result.outcomes)
    if not evaluated.outcomes:
        raise NothingVerifiedError("no evaluation has succeeded, so there is no front; see the failures above.")
    names = needed_metrics(task.objectives, task.constraints)
    check_metrics(evaluated, names)
    posterior = search_accuracies(context, run)
    expected = posterior.expected
    if run.finished is not None:
        expected = run.finished.of(evaluated.genotypes, expected)
    values = evaluated.values(names, expected)
    limits = task.constraints if task.finishing() is None else task.constraints.without(ACCURACY.name)
    if limits:
        margin = LATENCY_MARGIN_STDS * context.device.measurements().repeatability_of(evaluated.genotypes)
        safe = guaranteed(values, posterior.guaranteed, margin)
        kept = np.flatnonzero(limits.violations(safe) <= 0)
        if not len(kept):
            raise InfeasibleError(nearest_message(limits, safe, "measured networks"))
    else:
        kept = np.arange(len(evaluated.outcomes))
    chosen = front_rows({name: column[kept] for name, column in values.items()}, task.objectives)
    return evaluated.genotypes[kept][chosen]


def _judge(
    context: SearchContext, run: SearchRun, verified: Mapping[str, Verified], *, finished: bool
) -> dict[str, _Judged]:
    """Verified candidates by id as members, each with its predictions and a stored manifest."""
    if not verified:
        return {}
    order = sorted(verified)
    rows = np.stack([verified[candidate_id].genotype for candidate_id in order])
    latencies = predict_latencies(context, run, rows)
    shipped = [verified[candidate_id].prepared for candidate_id in order]
    inherited = _inherited(context, rows) if finished else shipped
    accuracies = _accuracies(context, run, rows, inherited)
    if finished:
        if run.finished is not None:
            accuracies = replace(accuracies, expected=run.finished.of(rows, accuracies.expected))
        accuracies = finished_posterior(accuracies, _readings(shipped))
    before = {outcome.candidate_id: outcome for outcome in run.result.outcomes if outcome.succeeded}
    judged: dict[str, _Judged] = {}
    for row, candidate_id in enumerate(order):
        one = verified[candidate_id]
        metrics = _metrics(one, before.get(candidate_id)) | {ACCURACY.name: float(accuracies.expected[row])}
        member = Member(
            candidate=candidate_id,
            summary=context.space.describe(one.genotype),
            precision=context.space.describe_precision(one.genotype),
            size_bytes=one.measurement.size_bytes,
            latency_p50_ms=_latency(one.measurement.latency_p50_ms, latencies.latency_p50_ms, row),
            latency_p95_ms=_latency(one.measurement.latency_p95_ms, latencies.latency_p95_ms, row),
            accuracy_val=one.accuracy_val,
            accuracy_test=one.accuracy_test,
            accuracy_inherited_val=inherited[row].accuracy_val if finished else None,
            accuracy=Accuracy(
                expected=float(accuracies.expected[row]),
                interval_90=(float(accuracies.low[row]), float(accuracies.high[row])),
            ),
            metrics=metrics,
            quality=one.measurement.quality,
            float_units=tuple(one.float_units),
            artifacts={kind: ARTIFACT_PREFIX + file.sha256 for kind, file in one.files.items()}
            | {"manifest": ARTIFACT_PREFIX + _manifest(context, one)},
        )
        earlier = before[candidate_id].metrics if candidate_id in before else metrics
        slowest = {name: max(metrics[name], earlier[name]) for name in metrics if name.startswith("latency_")}
        judged[candidate_id] = _Judged(
            member=member, guaranteed_accuracy=float(accuracies.guaranteed[row]), slowest_ms=slowest
        )
    return judged


def _metrics(verified: Verified, before: Outcome | None) -> dict[str, float]:
    """Measured figures: the verification's where it measured them, else the search's."""
    measurement = verified.measurement
    measured = {
        "latency_p50_ms": measurement.latency_p50_ms,
        "latency_p95_ms": measurement.latency_p95_ms,
        "size_bytes": measurement.size_bytes,
        "peak_memory_bytes": measurement.peak_memory_bytes,
        "load_time_ms": measurement.load_time_ms,
    }
    return (dict(before.metrics) if before is not None else {}) | {
        name: float(value) for name, value in measured.items() if value is not None
    }


def _latency(measured: float, predicted: Prediction, row: int) -> Latency:
    return Latency(
        measured=measured,
        predicted=float(predicted.value[row]),
        interval_90=(float(predicted.low[row]), float(predicted.high[row])),
    )


def _inherited(context: SearchContext, genotypes: IntArray) -> list[Prepared]:
    """The candidates' files with inherited weights; made again where the cache lost them."""
    prepared = context.pool.prepare(list(genotypes))
    for one in prepared:
        if isinstance(one, PreparationFailure):
            raise NasError(f"candidate {one.candidate_id[:12]} could be prepared before, but not now: {one.message}")
    return [one for one in prepared if isinstance(one, Prepared)]


def _accuracies(
    context: SearchContext, run: SearchRun, genotypes: IntArray, inherited: Sequence[Prepared]
) -> AccuracyPosterior:
    """Posteriors with inherited weights, in order; those of candidates that the search evaluated are the search's."""
    evaluated = Evaluated.succeeded(run.result.genotypes, run.result.outcomes)
    ids = [outcome.candidate_id for outcome in evaluated.outcomes]
    unseen = [row for row, one in enumerate(inherited) if one.candidate_id not in set(ids)]
    others = Evaluated(
        genotypes=genotypes[unseen],
        outcomes=tuple(
            Outcome(
                candidate_id=inherited[row].candidate_id,
                metrics={ACCURACY.name: inherited[row].accuracy_val},
                images_val=inherited[row].images_val,
            )
            for row in unseen
        ),
    )
    posterior = search_accuracies(context, run, others)
    place = {name: row for row, name in enumerate([*ids, *(inherited[row].candidate_id for row in unseen)])}
    return posterior.take(np.array([place[one.candidate_id] for one in inherited], dtype=np.int64))


def _readings(prepared: Sequence[Prepared]) -> AccuracyReadings:
    return AccuracyReadings(
        accuracy=np.array([one.accuracy_val for one in prepared], dtype=np.float64),
        images=np.array([one.images_val for one in prepared], dtype=np.int64),
    )


def _keeping(
    context: SearchContext, constraints: Constraints, run: SearchRun, found: Sequence[_Judged]
) -> list[Member]:
    """The members whose verified figures keep the limits with their margins.

    Raises:
        NothingVerifiedError: if no finalist was verified.
        InfeasibleError: if none keeps them.
    """
    if not found:
        raise NothingVerifiedError("no finalist passed verification, so there is no front; see the failures above.")
    if not constraints:
        return [one.member for one in found]
    names = [constraint.metric.name for constraint in constraints.items]
    values = columns([one.member.values | dict(one.slowest_ms) for one in found], names)
    accuracy = np.array([one.guaranteed_accuracy for one in found])
    safe = guaranteed(values, accuracy, LATENCY_MARGIN_STDS * _repeatability(context, run, found))
    kept = np.flatnonzero(constraints.violations(safe) <= 0)
    if not len(kept):
        raise InfeasibleError(nearest_message(constraints, safe, "verified networks"))
    return [found[int(row)].member for row in kept]


def _repeatability(context: SearchContext, run: SearchRun, found: Sequence[_Judged]) -> float:
    """Relative standard deviation of one reading: the device's, or that of p95 between search and verification."""
    evaluated = Evaluated.succeeded(run.result.genotypes, run.result.outcomes)
    device = context.device.measurements().repeatability_of(evaluated.genotypes)
    before = {outcome.candidate_id: outcome.latency_p95_ms for outcome in evaluated.outcomes}
    pairs = [
        (one.member.latency_p95_ms.best_known, before[one.member.candidate])
        for one in found
        if one.member.candidate in before
    ]
    if len(pairs) < _MIN_PAIRS:
        return device
    ratios: FloatArray = np.log(np.array(pairs)) @ np.array([1.0, -1.0])
    return max(device, _NORMAL_MAD * float(np.median(np.abs(ratios))) / float(np.sqrt(2.0)))


def _baseline_rows(context: SearchContext, random: RandomBaseline | None) -> dict[str, IntArray]:
    space = context.space
    rows = {
        "largest_fp32": space.largest()[None],
        "largest_int8": space.with_policy(space.largest(), "int8")[None],
    }
    return rows if random is None else rows | {"random": random.front}


def _baselines(members: Mapping[str, list[Member]], objectives: Sequence[str]) -> Baselines | None:
    """None where a largest network failed: a baseline is not made up."""
    if not members["largest_fp32"] or not members["largest_int8"]:
        return None
    return Baselines(
        largest_fp32=members["largest_fp32"][0],
        largest_int8=members["largest_int8"][0],
        random=pareto_members(members.get("random", []), objectives),
    )


def _manifest(context: SearchContext, one: Verified) -> str:
    """Stores a candidate's manifest; returns its SHA-256."""
    space, workspace, supernet, profile = context.space, context.workspace, context.supernet, context.profile
    record = read_record(workspace.supernet_folder(supernet))
    manifest = build_manifest(
        space,
        one.genotype,
        interface=ModelInterface(
            input=InputFormat(
                tensor=space.task.input,
                scale=record.normalization.scale,
                mean=record.normalization.mean,
                std=record.normalization.std,
            ),
            output=space.task.output,
            classes=record.classes,
        ),
        supernet=supernet,
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
            "top1_agreement": one.measurement.top1_agreement,
            "float_units": dict(one.float_units),
        },
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "manifest.json"
        path.write_bytes(manifest_bytes(manifest))
        return (
            ArtifactStore(workspace.home, workspace.store).put(path, "manifest", one.candidate_id, context.lease).sha256
        )
