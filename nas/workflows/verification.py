"""Verification of finalists: the exported files are timed again and evaluated once on test images.

A fresh measuring session times the very artifacts that are exported. Test images are
touched here and nowhere else, by the artifact that ships, after every choice is made.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from hw_profiles.bench import CompiledNetwork
from hw_profiles.compiling import CompileOutcome, CompilePool
from hw_profiles.detect import detect_profiles
from hw_profiles.measurement import Measurement, MeasurementFailure
from hw_profiles.network_files import NetworkFiles
from hw_profiles.profile import DeviceProfile
from hw_profiles.runtimes.registry import get_runtime
from nas.artifact_store import ArtifactStore
from nas.data.normalization import FloatImages
from nas.data.normalized_images import NormalizedImages
from nas.data.sources import load_dataset
from nas.home import sha256_of
from nas.measuring.anchored_bench import AnchoredBench
from nas.measuring.context import SearchContext
from nas.measuring.device_bench import device_bench
from nas.measuring.device_measurements import DeviceMeasurements
from nas.measuring.float_units import float_units
from nas.measuring.network_measurer import prepare_anchor
from nas.measuring.preparation import PreparationFailure, Prepared
from nas.measuring.preparation_pool import PreparationPool
from nas.measuring.shipping_check import shipping_files, shipping_images
from nas.store.artifacts import Artifact
from nas.training.record import read_record
from search_spaces.errors import NasError
from search_spaces.space import IntArray

_TESTED_BYTES: Final = 4 << 20
"""Size of the float32 test images that all networks classify before the next ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A candidate whose exported files were timed and tested."""

    genotype: IntArray
    candidate_id: str
    prepared: Prepared
    measurement: Measurement
    """Of the artifact that ships, in the verifying session."""
    accuracy_val: float
    accuracy_test: float
    """Of the artifact that ships, on all test images."""
    float_units: Mapping[str, str]
    """Units that the device computes in float in spite of their precision, each with the reason."""
    files: Mapping[str, Artifact]
    """In the artifact store, by kind: ``onnx``, ``weights``, the device runtime's own kind, and extras.

    Extras are artifacts of the other runtimes on this machine, where they compile and agree.
    """


def verify(
    context: SearchContext,
    genotypes: Sequence[IntArray],
    *,
    finished: PreparationPool | None = None,
    shipping: Collection[str] | None = None,
) -> dict[str, Verified]:
    """Verified candidates by id; one that fails is reported as progress and left out.

    The device's own runtime decides: a candidate whose artifact it compiles, checks and times
    is verified, whatever other runtimes there are.

    Args:
        context: the supernet whose weights they share, and the device that they were searched for.
        genotypes: canonical and distinct, at least one.
        finished: prepares the same candidates with finished weights, which then are what ships.
        shipping: ids of the candidates that get extras, all by default; baselines do not ship.
    """
    pool = finished or context.pool
    # Baselines may be networks that no search has met, such as the largest in int8 beside a search of float networks.
    context.store.candidates.put(context.space, np.stack(genotypes))
    ready: list[Prepared] = []
    for outcome in pool.prepare(genotypes):
        if isinstance(outcome, PreparationFailure):
            context.progress.say(f"candidate {outcome.candidate_id[:12]} left out: {outcome.message}")
        else:
            ready.append(outcome)
    images = shipping_images(context)
    files = {one.candidate_id: shipping_files(one, images) for one in ready}
    timed = _timed(context, ready, files, pool.source.key)
    proven = [one for one in ready if one.candidate_id in timed]
    shipped = [one for one in proven if shipping is None or one.candidate_id in shipping]
    extras = _extra_artifacts(context, shipped, files, pool.source.key)
    kind = get_runtime(context.profile.runtime).artifact_kind
    rows = {context.space.candidate(genotype).id: genotype for genotype in genotypes}
    store = ArtifactStore(context.workspace.home, context.store)

    def kept(one: Prepared) -> dict[str, Artifact]:
        own = {kind: timed[one.candidate_id].measurement.artifact}
        paths = extras.get(one.candidate_id, {}) | own | {"onnx": one.onnx, "weights": one.weights}
        return {name: store.put(path, name, one.candidate_id, context.lease) for name, path in sorted(paths.items())}

    return {
        one.candidate_id: Verified(
            genotype=rows[one.candidate_id],
            candidate_id=one.candidate_id,
            prepared=one,
            measurement=timed[one.candidate_id].measurement,
            accuracy_val=one.accuracy_val,
            accuracy_test=timed[one.candidate_id].accuracy_test,
            float_units=float_units(one, context.space.unit_precisions(rows[one.candidate_id]), context.profile),
            files=kept(one),
        )
        for one in proven
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _TimedFinalist:
    measurement: Measurement
    accuracy_test: float


def _timed(
    context: SearchContext, ready: Sequence[Prepared], files: Mapping[str, NetworkFiles], weights: str
) -> dict[str, _TimedFinalist]:
    """What ships of each candidate, first timed on a quiet machine, then tested; all readings are stored."""
    with device_bench(context.device, weights) as bench:
        shipped = _artifacts(context, ready, bench, weights)
        bench.open(_anchor(context, ready))
        measured: dict[str, Measurement] = {}
        for number, one in enumerate(ready, start=1):
            compiled = shipped[one.candidate_id]
            outcome = (
                compiled
                if isinstance(compiled, MeasurementFailure)
                else bench.measure(files[one.candidate_id], compiled)
            )
            context.store.measurements.add(outcome, supernet_id=context.supernet.id, lease=context.lease)
            if isinstance(outcome, MeasurementFailure):
                _say_left_out(context, outcome)
            else:
                measured[one.candidate_id] = outcome
            context.progress.update(f"verifying on {context.profile.id}", number, len(ready))
        return _tested(context, bench, files, measured)


def _tested(
    context: SearchContext,
    bench: AnchoredBench,
    files: Mapping[str, NetworkFiles],
    measured: Mapping[str, Measurement],
) -> dict[str, _TimedFinalist]:
    """What was measured, with the fraction of the test images that each artifact gets right."""
    dataset = load_dataset(context.workspace.data_spec(context.supernet))
    record = read_record(context.workspace.supernet_folder(context.supernet))
    images = NormalizedImages(images=dataset.x_test, normalization=record.normalization)
    together = max(16, _TESTED_BYTES // images[:1].nbytes)
    networks = [CompiledNetwork(files=files[name], artifact=one.artifact) for name, one in measured.items()]

    def shown(batches: Iterable[FloatImages]) -> Iterator[FloatImages]:
        total = -(-len(images) // together)
        for number, batch in enumerate(batches):
            context.progress.update(f"testing on {context.profile.id}", number, total)
            yield batch
        context.progress.update(f"testing on {context.profile.id}", total, total)

    timed: dict[str, _TimedFinalist] = {}
    found = bench.classify(networks, shown(images.batches(together)))
    for (name, measurement), classes in zip(measured.items(), found, strict=True):
        if isinstance(classes, MeasurementFailure):
            _say_left_out(context, classes)
        else:
            timed[name] = _TimedFinalist(
                measurement=measurement, accuracy_test=float(np.mean(classes == dataset.y_test))
            )
    return timed


def _say_left_out(context: SearchContext, failure: MeasurementFailure) -> None:
    context.progress.say(f"candidate {failure.candidate_id[:12]} left out ({failure.stage}): {failure.message}")


def _anchor(context: SearchContext, ready: Sequence[Prepared]) -> NetworkFiles:
    """The anchor's files: a candidate's own where it is one, since both are compiled under one name."""
    anchor = prepare_anchor(context.device, context.pool)
    return next((one.network_files for one in ready if one.candidate_id == anchor.name), anchor)


def _artifacts(
    context: SearchContext, ready: Sequence[Prepared], bench: AnchoredBench, weights: str
) -> dict[str, CompileOutcome]:
    """The artifact of each candidate that ships to the device; compiled again if the cache lost it."""
    if get_runtime(context.profile.runtime).artifact_kind == "onnx":
        return {one.candidate_id: one.onnx for one in ready}
    found: dict[str, CompileOutcome] = dict(_compiled_before(context, context.profile, ready, weights))
    lost = [one for one in ready if one.candidate_id not in found]
    compiled = bench.compile([one.network_files for one in lost]) if lost else []
    return found | {one.candidate_id: outcome for one, outcome in zip(lost, compiled, strict=True)}


def _compiled_before(
    context: SearchContext, profile: DeviceProfile, ready: Sequence[Prepared], weights: str
) -> dict[str, Path]:
    """The artifacts that were measured under a profile and are still in the cache, by candidate."""
    folder = context.workspace.compiled_folder(weights, profile)
    known = DeviceMeasurements(context.store, profile, context.space).artifacts(context.supernet.id)
    measured = {one.candidate_id: known[one.candidate_id] for one in ready if one.candidate_id in known}
    return {
        # By its name alone: a home may have moved since.
        candidate_id: folder / outcome.artifact.name
        for candidate_id, outcome in measured.items()
        if _is_file(folder / outcome.artifact.name, outcome.artifact_sha256)
    }


def _extra_artifacts(
    context: SearchContext, shipped: Sequence[Prepared], files: Mapping[str, NetworkFiles], weights: str
) -> dict[str, dict[str, Path]]:
    """Artifacts of this machine's other runtimes, by candidate and kind; a failure is a message and no more."""
    extras: dict[str, dict[str, Path]] = {one.candidate_id: {} for one in shipped}
    for other in detect_profiles():
        kind = get_runtime(other.runtime).artifact_kind
        if other.id == context.profile.id or other.device != context.profile.device or kind == "onnx":
            continue
        for candidate_id, path in _artifacts_for(context, other, shipped, files, weights).items():
            extras[candidate_id][kind] = path
    return extras


def _artifacts_for(
    context: SearchContext,
    other: DeviceProfile,
    shipped: Sequence[Prepared],
    files: Mapping[str, NetworkFiles],
    weights: str,
) -> dict[str, Path]:
    """The candidates' artifacts for another runtime, as far as they compile and agree."""
    say, kind = context.progress.say, get_runtime(other.runtime).artifact_kind
    made = _compiled_before(context, other, shipped, weights)
    folder = context.workspace.compiled_folder(weights, other)
    try:
        with CompilePool(other, folder, on_warning=lambda name, what: say(f"candidate {name[:12]}: {what}")) as pool:
            outcomes = pool.compile([files[one.candidate_id] for one in shipped], check=True, made=made)
    except NasError as error:
        say(f"no {kind} files are exported beside the others: {error}")
        return {}
    found: dict[str, Path] = {}
    for one, outcome in zip(shipped, outcomes, strict=True):
        if isinstance(outcome, MeasurementFailure):
            say(f"candidate {one.candidate_id[:12]} has no {kind} file ({outcome.stage}): {outcome.message}")
        else:
            found[one.candidate_id] = outcome
    return found


def _is_file(path: Path, sha256: str) -> bool:
    return path.exists() and sha256_of(path) == sha256
