import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from nas.evaluation.accuracy import predictions
from nas.families.registry import build_supernet
from nas.training.checkpoint import CheckpointError
from nas.training.compute import Compute
from nas.training.interruption import TrainingInterruptedError
from nas.training.network_training import (
    CHECKPOINT_FILE,
    NetworkPlan,
    NetworkTrainingContext,
    train_networks,
)
from nas.training.prepared_data import prepare
from nas.training.settings import TrainingSettings
from tests.nas.training.test_trainer import DATA, ONE_THREAD, SPACE

SETTINGS = TrainingSettings(batch_size=16, ema_decay=0.9, learning_rate=0.05, checkpoint_every_s=1e6)
PREPARED = prepare(DATA, SETTINGS)
GENOTYPES = [SPACE.smallest(), SPACE.sample(1, np.random.default_rng(0))[0]]


def context_in(folder, **changes):
    context = NetworkTrainingContext(
        space=SPACE, data=PREPARED, data_fingerprint=DATA.fingerprint, folder=folder, compute=ONE_THREAD
    )
    return replace(context, **changes)


def plans_of(steps=3, **changes):
    return [NetworkPlan(genotype=genotype, settings=SETTINGS, steps=steps, **changes) for genotype in GENOTYPES]


def assert_equal_weights(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert all(a.equal(b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_networks_train_alike_beside_each_other_and_alone(tmp_path):
    plans = plans_of()
    together = train_networks(plans, context_in(tmp_path / "a", compute=Compute(device="cpu", threads=2)))
    alone = [train_networks([plan], context_in(tmp_path / "b"))[0] for plan in plans]
    assert_equal_weights(together, alone)
    assert [network.space.to_string(network.genotype) for network in together] == SPACE.to_strings(np.array(GENOTYPES))


def test_training_learns(tmp_path):
    (network,) = train_networks(plans_of(steps=25)[:1], context_in(tmp_path))
    found = predictions(network, PREPARED.validation_images)
    assert (found == PREPARED.validation_labels).double().mean() > 0.8  # 3 classes that differ in brightness


def test_an_interrupted_training_resumes_to_the_same_bits(tmp_path):
    plans = plans_of()
    expected = train_networks(plans, context_in(tmp_path / "whole"))

    def stop(done, _total):
        if done == 4:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(TrainingInterruptedError, match="after step 4 of 6"):
        train_networks(plans, context_in(tmp_path / "parts", on_progress=stop))
    seen = []
    context = context_in(tmp_path / "parts", on_progress=lambda done, total: seen.append((done, total)))
    found = train_networks(plans, context)
    assert seen == [(6, 6)]
    assert_equal_weights(found, expected)
    assert not list((tmp_path / "parts").rglob(CHECKPOINT_FILE))
    again = train_networks(plans, context)
    assert seen == [(6, 6)]
    assert_equal_weights(again, expected)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    (plan, _) = plans_of()
    context = context_in(tmp_path)
    folder = context.plan_folder(plan)
    folder.mkdir(parents=True)
    (folder / CHECKPOINT_FILE).write_bytes(b"")
    with pytest.raises(CheckpointError, match="cannot be read"):
        train_networks([plan], context)


def test_what_changes_the_weights_changes_the_folder(tmp_path):
    (plan, other) = plans_of()
    context = context_in(tmp_path, supernet_id="a")
    folders = {
        context.plan_folder(one)
        for one in (
            plan,
            other,
            replace(plan, steps=4),
            replace(plan, inherit=True),
            replace(plan, teacher_share=0.5),
            replace(plan, settings=replace(SETTINGS, learning_rate=0.1)),
        )
    }
    assert len(folders) == 6
    assert context.plan_folder(plan) == replace(context, supernet_id="b").plan_folder(plan)
    assert context.plan_folder(plan) == context.plan_folder(replace(plan, settings=replace(SETTINGS, random_subnets=5)))
    inherits = replace(plan, inherit=True)
    assert context.plan_folder(inherits) != replace(context, supernet_id="b").plan_folder(inherits)


def test_inherited_weights_are_where_training_starts(tmp_path):
    supernet = build_supernet(SPACE, seed=5)
    still = replace(SETTINGS, learning_rate=1e-8, weight_decay=0.0)
    plan = NetworkPlan(genotype=GENOTYPES[1], settings=still, steps=1, inherit=True, teacher_share=0.5)
    (found,) = train_networks([plan], context_in(tmp_path, supernet=supernet, supernet_id="s"))
    expected = supernet.extract(GENOTYPES[1])
    for (name, a), b in zip(found.named_parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(a, b, msg=name, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("changes", [{"inherit": True}, {"teacher_share": 1.0}])
def test_a_plan_that_needs_a_supernet_says_so(tmp_path, changes):
    with pytest.raises(ValueError, match="the context has no supernet"):
        train_networks(plans_of(**changes), context_in(tmp_path))
