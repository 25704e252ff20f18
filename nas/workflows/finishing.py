"""Finishing of a search's finalists: each is fine-tuned separately before it is verified."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from nas.data.sources import load_dataset
from nas.measuring.context import SearchContext
from nas.measuring.finished_weights import FinishedWeightSource
from nas.measuring.preparation_pool import PreparationPool
from nas.measuring.supernet_weights import SupernetWeightSource
from nas.progress import Progress
from nas.quantization.onnx_export import ExportError
from nas.search.finished_accuracy import LEAST_SHARE, FinishedAccuracy, pilot_networks
from nas.training.finish_settings import FinishSettings
from nas.training.finishing import (
    FinishedNetwork,
    finish_networks,
    finish_plans,
    finish_schedule,
    quantization_aware_plans,
)
from nas.training.interruption import TrainingInterruptedError
from nas.training.network_training import (
    WEIGHTS_FILE,
    NetworkTrainingContext,
    train_networks,
    try_train_networks,
)
from nas.training.prepared_data import prepare
from nas.training.record import load_supernet
from nas.training.settings import TrainingSettings
from search_spaces.errors import NasError
from search_spaces.precision import SPECS
from search_spaces.space import IntArray, SearchSpace


@contextlib.contextmanager
def finished_pool(context: SearchContext, genotypes: IntArray, settings: FinishSettings) -> Iterator[PreparationPool]:
    """Finishes candidates as :func:`finished_source` does; the pool prepares them with those weights.

    Args:
        context: the supernet, whose weights are the start and whose largest network teaches.
        genotypes: canonical, shape ``(n, genes)``.
        settings: for how long, how fast, and how much the teacher counts.

    Raises:
        NasError: if the supernet or its data cannot be loaded.
        KeyboardInterrupt: after Ctrl-C, between two steps.
    """
    source = finished_source(_inherited(context), genotypes, settings, context.workspace.home.cache, context.progress)
    with context.pool.with_source(source) as pool:
        yield pool


def finished_source(
    inherited: SupernetWeightSource, genotypes: IntArray, settings: FinishSettings, cache: Path, progress: Progress
) -> FinishedWeightSource:
    """Finishes the architectures of candidates beside each other, then the candidates with integer units.

    What was finished is kept in the cache, so that an interrupted call resumes, and candidates of one
    architecture, or of several searches, share one finished float network. Each candidate with integer
    units continues from it with quantization-aware training; one that cannot is reported as progress and keeps
    the float network's weights.

    Args:
        inherited: the supernet.
        genotypes: canonical, shape ``(n, genes)``.
        settings: for how long, how fast, and how much the teacher counts.
        cache: of the home.
        progress: is called after each step.

    Raises:
        NasError: where the supernet or its data cannot be loaded.
        KeyboardInterrupt: after Ctrl-C, between two steps.
    """
    training, trained = _training(inherited, cache)
    schedule = finish_schedule(settings, trained, training.data)
    try:
        return FinishedWeightSource(
            supernet=inherited,
            recipe=json.dumps([asdict(settings), *schedule], sort_keys=True),
            files=_finished(genotypes, trained, settings, training, progress),
            quantized=_quantized(genotypes, trained, settings, training, progress),
        )
    except TrainingInterruptedError as error:
        raise KeyboardInterrupt from error


def finish_pilots(context: SearchContext, settings: FinishSettings) -> FinishedAccuracy | None:
    """Finishes a few float networks of the supernet; how accurate networks become, as they tell.

    The networks are the same for all searches of a supernet and kept in the cache. None is finished, and None
    returned, if finishing takes less than a tenth of the supernet's steps.

    Args:
        context: the supernet, whose weights are the start and whose largest network teaches.
        settings: as for the networks of the front.

    Raises:
        NasError: if the supernet or its data cannot be loaded.
        KeyboardInterrupt: after Ctrl-C, between two steps.
    """
    training, trained = _training(_inherited(context), context.workspace.home.cache)
    if finish_schedule(settings, trained, training.data).supernet_share < LEAST_SHARE:
        return None
    pilots = pilot_networks(training.space)
    reporting = _reporting(training, context.progress, f"finishing {len(pilots)} pilots")
    try:
        found = finish_networks(list(pilots), trained, settings, reporting)
    except TrainingInterruptedError as error:
        raise KeyboardInterrupt from error
    return fit_finished_accuracy(training.space, found)


def fit_finished_accuracy(space: SearchSpace, pilots: Sequence[FinishedNetwork]) -> FinishedAccuracy | None:
    """What finished networks tell of accuracies after finishing; None if they are too few."""
    return FinishedAccuracy.fit(
        space,
        np.stack([one.network.genotype for one in pilots]),
        np.array([one.accuracy_inherited_val for one in pilots]),
        np.array([one.accuracy_val for one in pilots]),
    )


def _inherited(context: SearchContext) -> SupernetWeightSource:
    source = context.pool.source
    if not isinstance(source, SupernetWeightSource):
        raise NasError("only networks with a supernet's weights can be finished.")
    return source


def _training(inherited: SupernetWeightSource, cache: Path) -> tuple[NetworkTrainingContext, TrainingSettings]:
    """Where networks of a supernet are finished, and how it was trained."""
    supernet, record = load_supernet(inherited.folder)
    dataset = load_dataset(inherited.data)
    training = NetworkTrainingContext(
        space=inherited.space,
        data=prepare(dataset, record.settings, record.normalization),
        data_fingerprint=dataset.fingerprint,
        folder=cache / "networks",
        supernet=supernet,
        supernet_id=record.weights_sha256,
    )
    return training, record.settings


def _finished(
    genotypes: IntArray,
    trained: TrainingSettings,
    settings: FinishSettings,
    training: NetworkTrainingContext,
    progress: Progress,
) -> dict[str, Path]:
    """Weight files of finished float networks by their genes as text."""
    space = training.space
    distinct = list(np.unique(space.unquantized(genotypes), axis=0))
    plans = finish_plans(distinct, trained, settings, training)
    train_networks(plans, _reporting(training, progress, f"finishing {len(distinct)} networks"))
    return {space.to_string(plan.genotype): training.plan_folder(plan) / WEIGHTS_FILE for plan in plans}


def _quantized(
    genotypes: IntArray,
    trained: TrainingSettings,
    settings: FinishSettings,
    training: NetworkTrainingContext,
    progress: Progress,
) -> dict[str, Path]:
    """Weight files of networks after quantization-aware training, by their genes as text."""
    space = training.space
    integer = [
        one for one in genotypes if any(SPECS[precision].quantized for precision in space.unit_precisions(one).values())
    ]
    if not settings.quantized_share or not integer:
        return {}
    plans = quantization_aware_plans(integer, trained, settings, training)
    task = f"finishing {len(plans)} quantized networks"
    found: dict[str, Path] = {}
    for plan, network in zip(plans, try_train_networks(plans, _reporting(training, progress, task)), strict=True):
        if isinstance(network, ExportError):
            candidate = space.candidate(plan.genotype).id[:12]
            progress.say(f"candidate {candidate} gets no quantization-aware training: {network}")
        else:
            found[space.to_string(plan.genotype)] = training.plan_folder(plan) / WEIGHTS_FILE
    return found


def _reporting(training: NetworkTrainingContext, progress: Progress, task: str) -> NetworkTrainingContext:
    return replace(training, on_progress=lambda done, total: progress.update(task, done, total))
