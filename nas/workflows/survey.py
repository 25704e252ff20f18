"""What the accuracy predictor learns before any device is asked: a survey of the supernet.

Networks across the space are evaluated with inherited weights on the validation images,
in fp32 and without exporting them. Accuracy does not depend on the device, so one
survey serves every device and every search of a supernet.
"""

import numpy as np

from nas.candidates.preparation import InheritedAccuracy
from nas.candidates.preparation_pool import PreparationPool
from nas.progress import Progress
from nas.search.design import spread_candidates
from nas.store.evaluations import Evaluation
from nas.store.supernets import StoredSupernet
from nas.workflows.workspace import Workspace, space_of
from search_spaces.facts import FloatArray
from search_spaces.space import IntArray, SearchSpace

DEFAULT_SURVEY = 60
SURVEY_SEED = 1


def survey_candidates(space: SearchSpace, count: int) -> IntArray:
    """The survey's unquantized genotypes, shape ``(count, genes)``: the same for every search."""
    rows = spread_candidates(space, np.random.default_rng(SURVEY_SEED))
    if len(space.policy_columns):
        rows = space.with_policy(rows, space.genes[int(space.policy_columns[0])].choices[0])
    _, first = np.unique(rows, axis=0, return_index=True)
    return rows[np.sort(first)][:count]


def survey(
    workspace: Workspace, supernet: StoredSupernet, pool: PreparationPool, progress: Progress, count: int
) -> tuple[IntArray, FloatArray]:
    """Genotypes and accuracies of the survey; what is in the store is not evaluated again.

    Returns:
        Rows of shape ``(n, genes)`` and fractions of shape ``(n,)``; candidates that failed
        are told to ``progress`` and left out.
    """
    space = space_of(supernet)
    genotypes = survey_candidates(space, count)
    if not len(genotypes):
        return genotypes, np.empty(0)
    ids = workspace.store.candidates.put(space, genotypes)
    known = workspace.store.evaluations.of(supernet.id, "val")
    missing = [row for row, candidate_id in enumerate(ids) if candidate_id not in known]
    outcomes = pool.inherited_accuracies(
        [genotypes[row] for row in missing],
        lambda done: progress.update("surveying the supernet", done, len(missing)),
    )
    for outcome in outcomes:
        if not isinstance(outcome, InheritedAccuracy):
            progress.say(f"candidate {outcome.candidate_id[:12]} left out of the survey: {outcome.message}")
    workspace.store.evaluations.put(
        [
            Evaluation(
                supernet_id=supernet.id,
                candidate_id=outcome.candidate_id,
                part="val",
                accuracy=outcome.accuracy_val,
                images=outcome.images_val,
            )
            for outcome in outcomes
            if isinstance(outcome, InheritedAccuracy)
        ]
    )
    known = workspace.store.evaluations.of(supernet.id, "val")
    kept = [row for row, candidate_id in enumerate(ids) if candidate_id in known]
    return genotypes[kept], np.array([known[ids[row]].accuracy for row in kept])
