"""Finishing of a search's finalists: each is fine-tuned separately before it is verified."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from nas.data.sources import load_dataset
from nas.measuring.context import SearchContext
from nas.measuring.finished_weights import FinishedWeightSource
from nas.measuring.preparation_pool import PreparationPool
from nas.measuring.supernet_weights import SupernetWeightSource
from nas.training.finish_settings import FinishSettings
from nas.training.finishing import finish_plans
from nas.training.interruption import TrainingInterruptedError
from nas.training.network_training import WEIGHTS_FILE, NetworkTrainingContext, train_networks
from nas.training.prepared_data import prepare
from nas.training.record import load_supernet
from search_spaces.errors import NasError
from search_spaces.space import IntArray


@contextlib.contextmanager
def finished_pool(context: SearchContext, genotypes: IntArray, settings: FinishSettings) -> Iterator[PreparationPool]:
    """Finishes the architectures of candidates beside each other; the pool prepares the candidates with those weights.

    What was finished is kept in the cache, so that an interrupted call resumes, and candidates of one
    architecture, or of several searches, share one finished network.

    Args:
        context: the supernet, whose weights are the start and whose largest network teaches.
        genotypes: canonical, shape ``(n, genes)``.
        settings: for how long, how fast, and how much the teacher counts.

    Raises:
        NasError: if the supernet or its data cannot be loaded.
        KeyboardInterrupt: after Ctrl-C, between two steps.
    """
    inherited = context.pool.source
    if not isinstance(inherited, SupernetWeightSource):
        raise NasError("only networks with a supernet's weights can be finished.")
    source = FinishedWeightSource(
        supernet=inherited,
        recipe=json.dumps(asdict(settings), sort_keys=True),
        files=_finished_files(context, inherited.space.unquantized(genotypes), settings),
    )
    with context.pool.with_source(source) as pool:
        yield pool


def _finished_files(context: SearchContext, architectures: IntArray, settings: FinishSettings) -> dict[str, Path]:
    """Weight files of finished networks by their genes as text."""
    supernet, record = load_supernet(context.workspace.supernet_folder(context.supernet))
    dataset = load_dataset(context.workspace.data_spec(context.supernet))
    distinct = list(np.unique(architectures, axis=0))
    task = f"finishing {len(distinct)} networks"
    training = NetworkTrainingContext(
        space=context.space,
        data=prepare(dataset, record.settings, record.normalization),
        data_fingerprint=dataset.fingerprint,
        folder=context.workspace.home.cache / "networks",
        supernet=supernet,
        supernet_id=record.weights_sha256,
        on_progress=lambda done, total: context.progress.update(task, done, total),
    )
    plans = finish_plans(distinct, record.settings, settings, training)
    try:
        train_networks(plans, training)
    except TrainingInterruptedError as error:
        raise KeyboardInterrupt from error
    return {context.space.to_string(plan.genotype): training.plan_folder(plan) / WEIGHTS_FILE for plan in plans}
