"""Training as a step: a data set and a space to a stored supernet."""

import json

from nas.data.sources import absolute_spec, load_dataset
from nas.families.registry import family_of
from nas.home import write_bytes
from nas.progress import Progress
from nas.store.supernets import NewSupernet, StoredSupernet
from nas.training.record import supernet_id
from nas.training.settings import TrainingSettings
from nas.training.trainer import TrainingProgress, train_supernet
from nas.workspace import SOURCE_FILE, Workspace
from search_spaces.registry import get_space


def train(
    workspace: Workspace,
    data: str,
    space_name: str,
    settings: TrainingSettings,
    progress: Progress,
    *,
    threads: int | None = None,
) -> StoredSupernet:
    """Trains, resumes or finds the supernet of these settings.

    Args:
        workspace: home and store.
        data: as ``--data`` takes it.
        space_name: a space of one of the families.
        settings: equal settings and data give equal weights.
        progress: updated after each step.
        threads: torch's threads; None takes its default.

    Raises:
        DataError: where the data cannot be trained on.
        UsageError: where the space has no supernet.
        TrainingInterruptedError: after Ctrl-C; the same call resumes.
    """
    dataset = load_dataset(data)
    space = get_space(space_name, dataset.task)
    family_of(space)
    name = supernet_id(space, dataset, settings)

    def report(at: TrainingProgress) -> None:
        figures = {"loss": f"{at.loss:.3f}"}
        if at.accuracy_smallest is not None and at.accuracy_largest is not None:
            figures |= {"smallest": f"{at.accuracy_smallest:.1%}", "largest": f"{at.accuracy_largest:.1%}"}
        progress.update("training the supernet", at.step, at.total_steps, figures)

    folder = workspace.home.supernets / name
    write_bytes(folder / SOURCE_FILE, json.dumps({"data": absolute_spec(data)}).encode())
    record = train_supernet(space, dataset, settings, folder, on_progress=report, threads=threads)
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
                "accuracy_largest": record.accuracy_largest,
                "seconds": record.seconds,
                "steps": record.steps,
            },
        )
    )
    return workspace.store.supernets.get(record.weights_sha256)
