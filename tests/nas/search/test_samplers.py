"""Our samplers in ordinary Optuna studies, and searches as Optuna's own journal files."""

import importlib.util
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from nas.metrics import Objectives
from nas.search.evolution import EvolutionSettings
from nas.search.generation import Generation
from nas.search.outcome import Outcome
from nas.search.samplers import GuidedSampler, LinasSampler, SamplerSettings, SpreadSampler
from nas.search.study import distributions, genotype_from_params
from nas.search.study_export import export_study
from search_spaces.errors import UsageError
from search_spaces.facts import CostFacts
from search_spaces.registry import get_space

SPACE = get_space("mobilenet_v3:tiny")
QUICK = SamplerSettings(startup=8, batch_size=4, seed=3, evolution=EvolutionSettings(population=30, generations=4))
EXAMPLE = Path(__file__).parents[3] / "examples" / "optuna_study.py"


def objective(trial):
    params = {name: trial.suggest_int(name, gene.low, gene.high) for name, gene in distributions(SPACE).items()}
    macs = float(CostFacts(SPACE).column("macs", genotype_from_params(SPACE, params)[None])[0])
    return 0.02 + macs / 4e7, 0.93 - 0.5 / np.log10(macs) ** 2


def optimized(sampler, trials, storage=None):
    study = optuna.create_study(
        study_name="s", directions=["minimize", "maximize"], sampler=sampler, storage=storage, load_if_exists=True
    )
    study.optimize(objective, n_trials=trials)
    return study


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.mark.parametrize("sampler", [GuidedSampler, LinasSampler])
def test_a_study_optimizes_with_our_sampler(sampler):
    study = optimized(sampler(SPACE, settings=QUICK), 16)
    params = [tuple(trial.params.values()) for trial in study.trials]
    assert len(set(params)) == 16  # nothing is evaluated twice
    again = optimized(sampler(SPACE, settings=QUICK), 16)
    assert [tuple(trial.params.values()) for trial in again.trials] == params


def test_a_study_in_a_journal_file_goes_on_in_another_process(tmp_path):
    file = str(tmp_path / "study.log")
    optimized(GuidedSampler(SPACE, settings=QUICK), 12, JournalStorage(JournalFileBackend(file)))
    resumed = optimized(GuidedSampler(SPACE, settings=QUICK), 4, JournalStorage(JournalFileBackend(file)))
    whole = optimized(GuidedSampler(SPACE, settings=QUICK), 16)
    assert [t.params for t in resumed.trials] == [t.params for t in whole.trials]


def test_random_draws_are_spread_over_the_space():
    study = optimized(SpreadSampler(SPACE, seed=1), 40)
    macs = [trial.values[0] for trial in study.trials]
    assert max(macs) > 4 * min(macs)


def test_studies_of_other_directions_are_refused():
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=GuidedSampler(SPACE, settings=QUICK))
    with pytest.raises(UsageError, match="directions"):
        study.ask(distributions(SPACE))


def test_a_constrained_metric_that_is_missing_is_named():
    settings = SamplerSettings(objectives=Objectives.from_names(["latency_p50_ms", "size_bytes"]), startup=2)
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=GuidedSampler(SPACE, settings=settings))
    for _ in range(2):
        study.tell(study.ask(distributions(SPACE)), [1.0, 2.0])
    with pytest.raises(UsageError, match="has no accuracy"):
        study.ask(distributions(SPACE))


def test_the_example_runs():
    spec = importlib.util.spec_from_file_location("optuna_study", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    study = example.run(trials=18)
    sizes = [trial.user_attrs["metrics"]["size_bytes"] for trial in study.trials[12:]]
    assert np.mean(np.array(sizes) <= 400_000) >= 0.5


def test_an_exported_search_opens_in_optunas_visualizations(tmp_path):
    rows = np.unique(SPACE.sample(8, np.random.default_rng(0)), axis=0)
    good = [
        Outcome(candidate_id=str(n), metrics={"latency_p50_ms": 1.0 + n, "accuracy": 0.5 + n / 100, "size_bytes": 10.0})
        for n in range(len(rows) - 1)
    ]
    outcomes = (*good, Outcome(candidate_id="bad", failure="does not compile"))
    generations = [Generation(number=0, genotypes=rows, outcomes=outcomes)]
    path = tmp_path / "study.log"
    for _ in range(2):  # again replaces the file
        export_study(SPACE, generations, Objectives(), path, "search-1")
    study = optuna.load_study(study_name="search-1", storage=JournalStorage(JournalFileBackend(str(path))))
    assert [t.values for t in study.trials[:-1]] == [[o.metrics["latency_p50_ms"], o.accuracy_val] for o in good]
    assert study.trials[-1].user_attrs["failure"] == "does not compile"
    assert [genotype_from_params(SPACE, t.params).tolist() for t in study.trials] == rows.tolist()
    figure = optuna.visualization.plot_pareto_front(study, target_names=study.user_attrs["metrics"])
    assert sum(len(trace.x) for trace in figure.data) >= len(good)
