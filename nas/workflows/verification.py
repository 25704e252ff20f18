"""Finalists under proof: the files that ship are timed again, and tested once.

A fresh measuring session times the very artifacts that are exported. Test images are
touched here and nowhere else, on the ONNX graph that ships, after every choice is made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from hw_profiles.detect import detect_profiles
from hw_profiles.measurement import Measurement
from hw_profiles.profile import DeviceProfile
from hw_profiles.runtimes.onnxruntime_runtime import load_onnx
from nas.artifact_store import ArtifactStore
from nas.data.sources import load_dataset
from nas.evaluation.artifact_accuracy import artifact_accuracy
from nas.home import sha256_of
from nas.measuring.context import SearchContext
from nas.measuring.network_measurer import local_bench, prepare_anchor
from nas.measuring.preparation import PreparationFailure, Prepared
from nas.measuring.preparation_pool import PreparationPool
from nas.progress import Progress
from nas.store.artifacts import Artifact
from nas.store.evaluations import Evaluation
from nas.store.leases import Lease
from nas.store.supernets import StoredSupernet
from nas.training.record import read_record
from nas.workflows.evaluating import evaluator
from nas.workspace import Workspace, space_of
from search_spaces.space import IntArray

EXPORTED_RUNTIMES: Final = ("onnxruntime", "tvm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A candidate whose shipping files were timed and tested."""

    genotype: IntArray
    candidate_id: str
    prepared: Prepared
    measurement: Measurement
    """Of the artifact that ships, in the verifying session."""
    accuracy_val: float
    accuracy_test: float
    files: Mapping[str, Artifact]
    """``onnx``, ``tvm`` and ``weights`` in the artifact store."""


def verify(
    workspace: Workspace,
    supernet: StoredSupernet,
    profile: DeviceProfile,
    genotypes: Sequence[IntArray],
    pool: PreparationPool,
    progress: Progress,
    lease: Lease | None = None,
) -> dict[str, Verified]:
    """Verified candidates by id; one that fails is told to ``progress`` and left out.

    Args:
        workspace: home and store.
        supernet: whose weights they share.
        profile: the device that they were searched for.
        genotypes: canonical, distinct, evaluated before.
        pool: prepares what the cache no longer holds.
        progress: told each step.
        lease: of the job, where this is one.
    """
    space = space_of(supernet)
    prepared = {outcome.candidate_id: outcome for outcome in pool.prepare(genotypes)}
    libraries = _libraries(workspace, supernet, genotypes, pool, progress, lease)
    timed: dict[str, Measurement] = {}
    context = SearchContext(
        workspace=workspace, supernet=supernet, profile=profile, pool=pool, progress=progress, lease=lease
    )
    with local_bench(context.device, supernet.id) as bench:
        bench.open(prepare_anchor(context.device, pool))
        for number, (candidate_id, ready) in enumerate(prepared.items(), start=1):
            library = libraries.get(candidate_id)
            if isinstance(ready, PreparationFailure) or library is None:
                progress.say(f"candidate {candidate_id[:12]} left out: its files could not be made again.")
                continue
            outcome = bench.measure(ready.network_files, library if profile.runtime == "tvm" else ready.onnx)
            workspace.store.measurements.add(outcome, supernet_id=supernet.id, lease=lease)
            if isinstance(outcome, Measurement):
                timed[candidate_id] = outcome
            else:
                progress.say(f"candidate {candidate_id[:12]} left out ({outcome.stage}): {outcome.message}")
            progress.update(f"verifying on {profile.id}", number, len(genotypes))
    ready_ones = [one for one in prepared.values() if isinstance(one, Prepared) and one.candidate_id in timed]
    accuracy_test = _test_accuracies(workspace, supernet, ready_ones)
    rows = {space.candidate(genotype).id: genotype for genotype in genotypes}
    artifacts = ArtifactStore(workspace.home, workspace.store)
    return {
        one.candidate_id: Verified(
            genotype=rows[one.candidate_id],
            candidate_id=one.candidate_id,
            prepared=one,
            measurement=timed[one.candidate_id],
            accuracy_val=one.accuracy_val,
            accuracy_test=accuracy_test[one.candidate_id],
            files=_keep(artifacts, one, libraries[one.candidate_id], lease),
        )
        for one in ready_ones
    }


def _libraries(
    workspace: Workspace,
    supernet: StoredSupernet,
    genotypes: Sequence[IntArray],
    pool: PreparationPool,
    progress: Progress,
    lease: Lease | None,
) -> dict[str, Path]:
    """Each candidate's TVM library for this machine, by id; measured anew where the cache lost it."""
    tvm = next(profile for profile in detect_profiles() if profile.runtime == "tvm")
    context = SearchContext(
        workspace=workspace, supernet=supernet, profile=tvm, pool=pool, progress=progress, lease=lease
    )
    folder = workspace.compiled_folder(supernet, tvm)
    ids = [space_of(supernet).candidate(genotype).id for genotype in genotypes]

    def at_hand() -> dict[str, Path]:
        known = context.device.measurements().artifacts(supernet.id)
        measured = {i: known[i] for i in ids if i in known}
        return {
            # By its name alone: a home may have moved since.
            candidate_id: folder / outcome.artifact.name
            for candidate_id, outcome in measured.items()
            if _is_file(folder / outcome.artifact.name, outcome.artifact_sha256)
        }

    with evaluator(context) as real:
        real.evaluate(np.stack(genotypes))
        found = at_hand()
        lost = [genotype for candidate_id, genotype in zip(ids, genotypes, strict=True) if candidate_id not in found]
        if lost:
            real.measure_again(lost)
            found = at_hand()
    return found


def _is_file(path: Path, sha256: str) -> bool:
    return path.exists() and sha256_of(path) == sha256


def _test_accuracies(workspace: Workspace, supernet: StoredSupernet, ready: Sequence[Prepared]) -> dict[str, float]:
    """Fractions of the test images by candidate; each is counted once in a supernet's life."""
    known = {i: one.accuracy for i, one in workspace.store.evaluations.of(supernet.id, "test").items()}
    missing = [one for one in ready if one.candidate_id not in known]
    if missing:
        dataset = load_dataset(workspace.data_spec(supernet))
        images = read_record(workspace.supernet_folder(supernet)).normalization.apply(dataset.x_test)
        known |= {one.candidate_id: artifact_accuracy(load_onnx(one.onnx), images, dataset.y_test) for one in missing}
        workspace.store.evaluations.put(
            [
                Evaluation(
                    supernet_id=supernet.id,
                    candidate_id=one.candidate_id,
                    part="test",
                    accuracy=known[one.candidate_id],
                    images=len(images),
                )
                for one in missing
            ]
        )
    return known


def _keep(store: ArtifactStore, prepared: Prepared, library: Path, lease: Lease | None) -> dict[str, Artifact]:
    return {
        "onnx": store.put(prepared.onnx, "onnx", prepared.candidate_id, lease),
        "tvm": store.put(library, "tvm", prepared.candidate_id, lease),
        "weights": store.put(prepared.weights, "weights", prepared.candidate_id, lease),
    }
