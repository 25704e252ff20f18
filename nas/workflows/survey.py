"""Float accuracies of architectures with a supernet's weights, before any measurement on a device.

Networks are evaluated on the validation images, in fp32 and without exporting them.
Accuracy does not depend on the device, so what is known serves every device and every
search of a supernet.
"""

from datetime import datetime
from typing import Final

import numpy as np

from nas.measuring.context import SearchContext
from nas.measuring.preparation import InheritedAccuracy
from nas.search.design import designed_candidates
from nas.store.evaluations import Evaluation
from nas.workflows.evaluating import DEFAULT_DESIGN, DESIGN_SEED
from predictors.known_accuracy import KnownAccuracies
from search_spaces.facts import FloatArray
from search_spaces.space import IntArray, SearchSpace

SURVEY_SEED: Final = 1
_SPREAD: Final = 2000
"""Drawn at once, so that a smaller survey is the beginning of a larger one."""


def survey(context: SearchContext, count: int) -> KnownAccuracies:
    """The architectures of the designed set and a spread over the space: the same for every search."""
    return float_accuracies(context, survey_architectures(context.space, count), task="surveying the supernet")


def survey_architectures(space: SearchSpace, count: int) -> IntArray:
    """The survey's distinct unquantized genotypes, shape ``(count, genes)``.

    The designed set's come first: measured in both precisions, they show what a policy costs.
    """
    designed = designed_candidates(space, DEFAULT_DESIGN, DESIGN_SEED)
    rows = space.unquantized(
        np.concatenate([designed, space.sample_spread(_SPREAD, np.random.default_rng(SURVEY_SEED))])
    )
    _, first = np.unique(rows, axis=0, return_index=True)
    return rows[np.sort(first)][:count]


def float_accuracies(context: SearchContext, genotypes: IntArray, *, task: str) -> KnownAccuracies:
    """Accuracies of unquantized genotypes, shape ``(n, genes)``; what is in the store is not evaluated again.

    Candidates that fail are reported to the context's progress and left out.
    """
    space, supernet, progress = context.space, context.supernet, context.progress
    ids = context.store.candidates.put(space, genotypes) if len(genotypes) else []
    stored = context.store.evaluations.of(supernet.id, "float")
    missing = [row for row, candidate_id in enumerate(ids) if candidate_id not in stored]
    outcomes = context.pool.inherited_accuracies(
        [genotypes[row] for row in missing], lambda done: progress.update(task, done, len(missing))
    )
    for outcome in outcomes:
        if not isinstance(outcome, InheritedAccuracy):
            progress.say(f"candidate {outcome.candidate_id[:12]} could not be evaluated in fp32: {outcome.message}")
    context.store.evaluations.put(
        [
            Evaluation(
                supernet_id=supernet.id,
                candidate_id=outcome.candidate_id,
                part="float",
                accuracy=outcome.accuracy_val,
                images=outcome.images_val,
            )
            for outcome in outcomes
            if isinstance(outcome, InheritedAccuracy)
        ]
    )
    stored = context.store.evaluations.of(supernet.id, "float")
    kept = [row for row, candidate_id in enumerate(ids) if candidate_id in stored]
    accuracy: FloatArray = np.array([stored[ids[row]].accuracy for row in kept], dtype=np.float64)
    return KnownAccuracies(space=space, genotypes=genotypes[kept], accuracy=accuracy)


def evaluated_accuracies(context: SearchContext, *, before: datetime) -> KnownAccuracies:
    """Candidates, quantized ones too, that ``hwnas`` searches of a supernet evaluated before a time, on any device.

    What baselines evaluated is left out: a search must not be given what it is compared with.
    """
    space, store = context.space, context.store
    counted = store.evaluations.of(context.supernet.id, "val", before=before)
    asked: dict[str, None] = {}
    for search in sorted(store.searches.all(), key=lambda one: (one.created_at, one.id)):
        if search.supernet_id == context.supernet.id and search.settings.get("method", "hwnas") == "hwnas":
            for generation in store.searches.generations(search.id):
                asked |= dict.fromkeys(trial.candidate_id for trial in generation.trials if trial.candidate_id)
    known = {candidate_id: counted[candidate_id] for candidate_id in asked if candidate_id in counted}
    stored = store.candidates.get_many(tuple(sorted(known)))
    return KnownAccuracies(
        space=space,
        genotypes=np.array([one.genotype for one in stored], dtype=np.int64).reshape(len(stored), len(space.genes)),
        accuracy=np.array([known[one.id].accuracy for one in stored], dtype=np.float64),
    )
