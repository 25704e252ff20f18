"""Training as a step: from a data set and a space to a stored supernet."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Final

from nas.data.sources import absolute_spec, load_dataset
from nas.families.registry import family_of
from nas.home import write_bytes
from nas.progress import Progress
from nas.store.supernets import NewSupernet, StoredSupernet
from nas.training.compute import Compute
from nas.training.initialization import check_space
from nas.training.record import supernet_id
from nas.training.settings import TrainingSettings
from nas.training.trainer import TrainingProgress, train_supernet
from nas.workspace import SOURCE_FILE, Workspace
from search_spaces.registry import get_space

_NAMED: Final = 10


def train(
    workspace: Workspace,
    data: str,
    space_name: str,
    settings: TrainingSettings,
    progress: Progress,
    *,
    compute: Compute | None = None,
) -> StoredSupernet:
    """Trains, resumes or finds the supernet of these settings.

    Args:
        workspace: home and store.
        data: as ``--data`` takes it.
        space_name: a space of one of the families.
        settings: equal settings and data give equal weights; ``init`` may be the start of a supernet's id.
        progress: updated after each step.
        compute: where, and on how many threads; a GPU if there is one by default.

    Raises:
        DataError: if the data cannot be trained on.
        UsageError: if the space has no supernet, or ``init`` is of another space or other images.
        TrainingInterruptedError: after Ctrl-C; the same call resumes.
    """
    dataset = load_dataset(data)
    space = get_space(space_name, dataset.task)
    family_of(space)
    if settings.init:
        source = workspace.supernet(settings.init)
        check_space(source.space, space.name, source.id)
        settings = replace(settings, init=source.id)
    if dataset.skipped:
        progress.say(_skipped(dataset.skipped))
    name = supernet_id(space, dataset, settings)

    def report(at: TrainingProgress) -> None:
        figures = {"loss": f"{at.loss:.3f}"}
        if at.accuracies is not None:
            figures |= {name: f"{value:.1%}" for name, value in asdict(at.accuracies).items()}
        progress.update("training the supernet", at.step, at.total_steps, figures)

    folder = workspace.home.supernets / name
    write_bytes(folder / SOURCE_FILE, json.dumps({"data": absolute_spec(data)}).encode())
    record = train_supernet(space, dataset, settings, folder, on_progress=report, compute=compute)
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
        )
    )
    return workspace.store.supernets.get(record.weights_sha256)


def _skipped(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    return f"Left out {len(names)} {'image' if len(names) == 1 else 'images'} that cannot be read: {shown}."
