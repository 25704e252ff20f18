"""Training as a step: from a data set and a space to a stored supernet."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

from nas.data.sources import absolute_spec, load_dataset
from nas.families.registry import family_of
from nas.home import write_bytes
from nas.progress import Progress
from nas.store.leases import Lease
from nas.store.supernets import NewSupernet, StoredSupernet
from nas.training.compute import Compute
from nas.training.initialization import check_space
from nas.training.record import supernet_id
from nas.training.settings import TrainingSettings
from nas.training.trainer import TrainingProgress, train_supernet
from nas.workspace import SOURCE_FILE, Workspace
from search_spaces.registry import get_space

_NAMED: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingTask:
    """A training to run."""

    data: str
    """As ``--data`` takes it: with ``stored:ID`` for an uploaded data set, too."""
    space: str
    """A space of one of the families."""
    settings: TrainingSettings
    """Equal settings and data give equal weights; ``init`` may be the start of a supernet's id."""
    compute: Compute | None = None
    """Where, and on how many threads; by default on a GPU if there is one."""


def train(
    workspace: Workspace, task: TrainingTask, progress: Progress, *, lease: Lease | None = None
) -> StoredSupernet:
    """Trains, resumes or finds the supernet of these settings.

    Args:
        workspace: home and store.
        task: what to train.
        progress: updated after each step.
        lease: of the job that trains, whose tenant's the supernet is.

    Raises:
        DataError: if the data cannot be trained on.
        UsageError: if the space has no supernet, or ``init`` is of another space or other images.
        TrainingInterruptedError: after Ctrl-C; the same call resumes.
        LeaseLostError: where ``lease`` no longer holds; the supernet is not stored.
    """
    data = workspace.data_source(task.data)
    settings = task.settings
    dataset = load_dataset(data)
    space = get_space(task.space, dataset.task)
    family_of(space)
    if settings.init:
        source = workspace.supernet(settings.init)
        check_space(source.space, space.name, source.id)
        settings = replace(settings, init=source.id)
    if dataset.skipped:
        progress.say(_skipped(dataset.skipped))
    name = supernet_id(space, dataset, settings)

    def report(at: TrainingProgress) -> None:
        figures = {"epoch": f"{at.step * settings.epochs / at.total_steps:.1f}/{settings.epochs}"}
        figures |= {"loss": f"{at.loss:.3f}"}
        if at.accuracies is not None:
            figures |= {name: f"{value:.1%}" for name, value in asdict(at.accuracies).items()}
        progress.update("training the supernet", at.step, at.total_steps, figures)

    folder = workspace.home.supernets / name
    write_bytes(folder / SOURCE_FILE, json.dumps({"data": absolute_spec(data)}).encode())
    record = train_supernet(space, dataset, settings, folder, on_progress=report, compute=task.compute)
    workspace.store.supernets.put(
        NewSupernet(
            id=record.weights_sha256,
            space=record.space,
            task=record.task,
            data_name=record.dataset,
            data_fingerprint=record.data_fingerprint,
            folder=name,
            metrics={
                "accuracy_smallest": record.accuracy_smallest,
                "accuracy_middle": record.accuracy_middle,
                "accuracy_largest": record.accuracy_largest,
                "images_val": record.images_val,
                "seconds": record.seconds,
                "steps": record.steps,
            },
            data_set_id=workspace.stored_data_set(task.data),
        ),
        lease=lease,
    )
    return workspace.store.supernets.get(record.weights_sha256)


def _skipped(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    return f"Left out {len(names)} {'image' if len(names) == 1 else 'images'} that cannot be read: {shown}."
