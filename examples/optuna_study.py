"""Our samplers in a study of your own: replace ``evaluate`` by whatever gives latency and accuracy.

    python examples/optuna_study.py

Takes about a minute. The study is an ordinary Optuna study: give it a storage to keep it, plot
it with ``optuna.visualization``, or swap the sampler for Optuna's own to compare.
"""

import numpy as np
import optuna

from nas.metrics import Constraints, Objectives
from nas.search.samplers import GuidedSampler, SamplerSettings
from nas.search.study import directions, distributions, genotype_from_params
from search_spaces.facts import CostFacts
from search_spaces.registry import get_space

SPACE = get_space("mobilenet_v3:tiny")
FACTS = CostFacts(SPACE)
OBJECTIVES = Objectives.from_names(["latency_p50_ms", "accuracy"])


def evaluate(genotype: np.ndarray) -> dict[str, float]:
    """A stand-in for a device and a data set: build, measure and evaluate the network here."""
    macs = float(FACTS.column("macs", genotype[None])[0])
    weights = float(FACTS.column("weight_bytes", genotype[None])[0])
    return {"latency_p50_ms": 0.02 + macs / 4e7, "accuracy": 0.93 - 0.5 / np.log10(macs) ** 2, "size_bytes": weights}


def objective(trial: optuna.Trial) -> tuple[float, ...]:
    """One real evaluation."""
    params = {
        name: trial.suggest_int(name, gene.low, gene.high)  # the sampler's parameters: an index per gene
        for name, gene in distributions(SPACE).items()
    }
    figures = evaluate(genotype_from_params(SPACE, params))
    trial.set_user_attr("metrics", figures)  # figures that are constrained but are no objectives
    return tuple(figures[name] for name in OBJECTIVES.names)


def run(trials: int = 24, storage: optuna.storages.BaseStorage | None = None) -> optuna.Study:
    """A study of the guided sampler; with a storage it can be interrupted and run again."""
    sampler = GuidedSampler(
        SPACE,
        settings=SamplerSettings(
            objectives=OBJECTIVES,
            constraints=Constraints.from_limits({"max_size_bytes": 400_000}),
            startup=12,
            batch_size=6,
            seed=0,
        ),
    )
    study = optuna.create_study(
        study_name="tiny", directions=directions(OBJECTIVES), sampler=sampler, storage=storage, load_if_exists=True
    )
    study.optimize(objective, n_trials=trials)
    return study


if __name__ == "__main__":
    for best in sorted(run().best_trials, key=lambda trial: trial.values[0]):
        size = best.user_attrs["metrics"]["size_bytes"]
        print(f"{best.values[0]:.3f} ms  {best.values[1]:.1%}  {size / 1024:.0f} KiB")  # noqa: T201
