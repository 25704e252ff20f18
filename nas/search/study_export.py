"""A search as an Optuna journal file, for Optuna's visualizations and optuna-dashboard."""

from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from nas.home import write_atomically
from nas.metrics import Objectives
from nas.search.generation import Generation
from nas.search.study import directions, trials_from_generations
from search_spaces.space import SearchSpace


def export_study(
    space: SearchSpace, generations: Sequence[Generation], objectives: Objectives, path: Path, name: str
) -> None:
    """Writes a finished or running search as one study; a file that exists is replaced.

    Open it with ``optuna-dashboard PATH``, or ``optuna.load_study(study_name=NAME,
    storage=JournalStorage(JournalFileBackend(PATH)))``. Parameters are gene choices by index; each
    trial has its figures, and each failed one its reason, as user attributes.

    Args:
        space: the space searched.
        generations: what was evaluated, failures too.
        objectives: the study's objectives, in order; their names are the study's metric names.
        path: the journal file.
        name: the study's name.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def write(temporary: Path) -> None:
        temporary.unlink(missing_ok=True)
        study = optuna.create_study(
            study_name=name,
            storage=JournalStorage(JournalFileBackend(str(temporary))),
            directions=directions(objectives),
        )
        study.set_user_attr("space", space.name)
        study.set_user_attr("metrics", list(objectives.names))
        for gene in space.genes:
            study.set_user_attr(f"choices:{gene.name}", list(gene.choices))
        study.add_trials(trials_from_generations(space, generations, objectives))

    write_atomically(path, write)
