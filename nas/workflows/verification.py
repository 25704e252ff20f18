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
from nas.candidates.evaluator import known_latencies, prepare_anchor
from nas.candidates.preparation import PreparationFailure, Prepared
from nas.candidates.preparation_pool import PreparationPool
from nas.data.sources import load_dataset
from nas.evaluation.artifact_accuracy import artifact_accuracy
from nas.progress import Progress
from nas.store.artifacts import Artifact
from nas.store.evaluations import Evaluation
from nas.store.leases import Lease
from nas.store.supernets import StoredSupernet
from nas.training.record import read_record
from nas.workflows.evaluating import evaluator, local_bench
from nas.workflows.workspace import Workspace, space_of
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
    verified: dict[str, Verified] = {}
    with local_bench(workspace, supernet, profile, progress) as bench:
        bench.open(prepare_anchor(space, pool))
        for number, genotype in enumerate(genotypes, start=1):
            candidate_id = space.candidate(genotype).id
            ready = prepared[candidate_id]
            library = libraries.get(candidate_id)
            if isinstance(ready, PreparationFailure) or library is None:
                progress.say(f"candidate {candidate_id[:12]} left out: its files could not be made again.")
                continue
            shipped = library if profile.runtime == "tvm" else ready.onnx
            outcome = bench.measure(ready.network_files, shipped)
            workspace.store.measurements.add(outcome, supernet_id=supernet.id, lease=lease)
            if not isinstance(outcome, Measurement):
                progress.say(f"candidate {candidate_id[:12]} left out ({outcome.stage}): {outcome.message}")
                continue
            verified[candidate_id] = Verified(
                genotype=genotype,
                candidate_id=candidate_id,
                prepared=ready,
                measurement=outcome,
                accuracy_val=ready.accuracy_val,
                accuracy_test=_test_accuracy(workspace, supernet, ready),
                files=_keep(ArtifactStore(workspace.home, workspace.store), ready, library, lease),
            )
            progress.update(f"verifying on {profile.id}", number, len(genotypes))
    return verified


def _libraries(
    workspace: Workspace,
    supernet: StoredSupernet,
    genotypes: Sequence[IntArray],
    pool: PreparationPool,
    progress: Progress,
    lease: Lease | None,
) -> dict[str, Path]:
    """Each candidate's TVM library, compiled for this machine; made again where it is gone."""
    tvm = next(profile for profile in detect_profiles() if profile.runtime == "tvm")
    with evaluator(workspace, supernet, tvm, pool, progress, lease) as real:
        real.evaluate(np.stack(genotypes))
        known = known_latencies(workspace.store, tvm, supernet_id=supernet.id)
        return {
            candidate_id: outcome.artifact
            for candidate_id, outcome in known.items()
            if isinstance(outcome, Measurement) and outcome.artifact.exists()
        }


def _test_accuracy(workspace: Workspace, supernet: StoredSupernet, prepared: Prepared) -> float:
    known = workspace.store.evaluations.find(supernet.id, prepared.candidate_id, "test")
    if known is not None:
        return known.accuracy
    record = read_record(workspace.supernet_folder(supernet))
    dataset = load_dataset(workspace.data_spec(supernet))
    images = record.normalization.apply(dataset.x_test)
    accuracy = artifact_accuracy(load_onnx(prepared.onnx), images, dataset.y_test)
    workspace.store.evaluations.put(
        [
            Evaluation(
                supernet_id=supernet.id,
                candidate_id=prepared.candidate_id,
                part="test",
                accuracy=accuracy,
                images=len(images),
            )
        ]
    )
    return accuracy


def _keep(store: ArtifactStore, prepared: Prepared, library: Path, lease: Lease | None) -> dict[str, Artifact]:
    return {
        "onnx": store.put(prepared.onnx, "onnx", prepared.candidate_id, lease),
        "tvm": store.put(library, "tvm", prepared.candidate_id, lease),
        "weights": store.put(prepared.weights, "weights", prepared.candidate_id, lease),
    }
