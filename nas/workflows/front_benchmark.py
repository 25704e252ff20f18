"""Benchmark: speed of the predicted evolution and of Optuna's NSGA-II, including fits.

Samples follow a law of cost facts (launches, work and memory; accuracy that saturates in
size and loses a little by quantized units), so that no device is needed and the truth
is known.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import optuna
from optuna.samplers import NSGAIISampler

from nas.metrics import Objectives
from nas.search.evolution import EvolutionSettings, Scores, evolve
from nas.search.metric_predictors import MetricPredictors
from nas.search.pareto import hypervolume
from nas.search.samplers import default_fits
from nas.search.study import directions, distributions, genotype_from_params
from search_spaces.facts import FACTS, CostFacts, FloatArray
from search_spaces.registry import get_space
from search_spaces.space import IntArray, SearchSpace

_POPULATION: Final = 200
_NOISE: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontBenchmarkRow:
    """One method's run."""

    method: str
    candidates: int
    seconds: float
    """Fits included."""
    fit_seconds: float
    candidates_per_s: float
    hypervolume: float
    """True, of the last population: log latency and lost accuracy against the worst sample."""

    def as_json(self) -> dict[str, Any]:
        """The row as it is written."""
        return asdict(self)


def true_figures(space: SearchSpace, genotypes: IntArray) -> dict[str, FloatArray]:
    """Latency p50 (ms) and accuracy of canonical genotypes under the benchmark's law, each of shape ``(n,)``."""
    facts = dict(zip(FACTS, CostFacts(space).of(genotypes).T, strict=True))
    plain = dict(zip(FACTS, CostFacts(space).of(space.unquantized(genotypes)).T, strict=True))
    quantized = genotypes[:, space.policy_columns].astype(bool).mean(axis=1) if len(space.policy_columns) else 0.0
    float_work = facts["macs:pointwise_fp32"] + 4 * facts["macs:depthwise_fp32"] + facts["macs:spatial_fp32"]
    integer_work = facts["macs:pointwise_int8"] + 4 * facts["macs:depthwise_int8"] + facts["macs:spatial_int8"]
    latency_ms = 0.002 * facts["kernels"] + (float_work + integer_work / 2) / 4e7 + facts["activation_bytes"] / 3e8
    accuracy = 0.95 - 0.6 / np.log10(plain["macs"] * plain["parameters"] / 1e8) ** 2 - 0.01 * quantized
    return {"latency_p50_ms": latency_ms, "accuracy": np.clip(accuracy, 0.01, 0.99)}


def benchmark_front(
    space_name: str, candidates: int, *, samples: int, seed: int, clock: Callable[[], float] = time.perf_counter
) -> list[FrontBenchmarkRow]:
    """Predicts ``candidates`` candidates with each method from the same fitted samples; deterministic but for time.

    Raises:
        UnknownNameError: for an unknown space.
    """
    space, objectives = get_space(space_name), Objectives()
    rng = np.random.default_rng(seed)
    rows = np.unique(space.sample_spread(samples, rng), axis=0)
    truth = true_figures(space, rows)
    measured = {
        "latency_p50_ms": truth["latency_p50_ms"] * np.exp(_NOISE * rng.standard_normal(len(rows))),
        "accuracy": np.clip(truth["accuracy"] + _NOISE / 4 * rng.standard_normal(len(rows)), 0.0, 1.0),
    }
    reference = objectives.losses(truth).max(axis=0)
    start_s = clock()
    fits = default_fits(space)
    predictors = MetricPredictors.fit(
        space,
        fits.latency(rows, measured["latency_p50_ms"]),
        fits.accuracy(rows, measured["accuracy"]),
        (rows, measured),
        objectives.names,
    )
    fit_s = clock() - start_s

    def score(genotypes: IntArray) -> Scores:
        values = {name: one.value for name, one in predictors.predict(genotypes, objectives.names).items()}
        return Scores(objectives=objectives.losses(values), violations=np.zeros(len(genotypes)))

    def row(method: str, begun_s: float, population: IntArray) -> FrontBenchmarkRow:
        seconds = clock() - begun_s + fit_s
        return FrontBenchmarkRow(
            method=method,
            candidates=candidates,
            seconds=seconds,
            fit_seconds=fit_s,
            candidates_per_s=candidates / seconds,
            hypervolume=hypervolume(objectives.losses(true_figures(space, population)), reference),
        )

    begun_s = clock()
    settings = EvolutionSettings(population=_POPULATION, generations=max(candidates // _POPULATION, 1))
    population, _ = evolve(space, score, rows, settings, np.random.default_rng(seed))
    ours = row("hwnas", begun_s, population)
    begun_s = clock()
    return [ours, row("nsga2", begun_s, _optuna_front(space, score, objectives, candidates, seed))]


def _optuna_front(
    space: SearchSpace, score: Callable[[IntArray], Scores], objectives: Objectives, candidates: int, seed: int
) -> IntArray:
    """The best trials of Optuna's NSGA-II with our population, run one generation at a time."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        directions=directions(objectives), sampler=NSGAIISampler(population_size=_POPULATION, seed=seed)
    )
    for _ in range(max(candidates // _POPULATION, 1)):
        trials = [study.ask(distributions(space)) for _ in range(_POPULATION)]
        losses = score(np.stack([genotype_from_params(space, trial.params) for trial in trials])).objectives
        for trial, (log_ms, lost) in zip(trials, losses, strict=True):
            study.tell(trial, [float(np.exp(log_ms)), float(1.0 - lost)])
    return np.stack([genotype_from_params(space, trial.params) for trial in study.best_trials])
