from dataclasses import replace

import pytest
import torch

from nas.evaluation import accuracy
from nas.families.registry import build_supernet
from nas.training.finish_settings import FinishSettings
from nas.training.finishing import finish_networks
from search_spaces.errors import UsageError
from tests.nas.training.test_network_training import GENOTYPES, PREPARED, SETTINGS, context_in
from tests.nas.training.test_trainer import SPACE


def test_finished_networks_are_better_where_there_is_something_to_learn(tmp_path):
    context = context_in(tmp_path, supernet=build_supernet(SPACE, seed=1), supernet_id="s")
    settings = FinishSettings(epochs=8, learning_rate_share=1.0, teacher_share=0.0)
    finished = finish_networks(GENOTYPES, SETTINGS, settings, context)
    for genotype, one in zip(GENOTYPES, finished, strict=True):
        assert (one.network.genotype == genotype).all()
        assert one.accuracy_val > one.accuracy_inherited_val
        found = accuracy(one.network, PREPARED.validation_images, PREPARED.validation_labels)
        assert found == pytest.approx(one.accuracy_val)
    again = finish_networks(
        GENOTYPES, SETTINGS, settings, replace(context, on_progress=lambda *_: pytest.fail("trained again"))
    )
    for one, other in zip(finished, again, strict=True):
        assert torch.equal(one.network.head.classifier.weight, other.network.head.classifier.weight)


def test_without_a_supernet_there_is_nothing_to_finish(tmp_path):
    with pytest.raises(ValueError, match="finished from a supernet"):
        finish_networks(GENOTYPES, SETTINGS, FinishSettings(), context_in(tmp_path))


@pytest.mark.parametrize(
    ("name", "value"), [("epochs", 0), ("learning_rate_share", -1), ("teacher_share", 2), ("quantized_share", -1)]
)
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(UsageError, match=f"finishing setting {name} is {value}"):
        FinishSettings(**{name: value})


@pytest.mark.parametrize(
    ("settings", "supernet_steps", "expected"),
    [
        (FinishSettings(), 1_000, (400, 0.5)),
        (FinishSettings(), 30_000, (1_000, 0.1)),
        (FinishSettings(epochs=0.5), 1_000, (50, 0.15)),
        (FinishSettings(epochs=10), 1_000, (1_000, 0.5)),
        (FinishSettings(epochs=0.5, learning_rate_share=0.7), 1_000, (50, 0.7)),
        (FinishSettings(epochs=0.001), 1_000, (1, 0.003)),
    ],
)
def test_length_and_rate_follow_from_the_supernets_steps(settings, supernet_steps, expected):
    schedule = settings.schedule(supernet_steps=supernet_steps, epoch_steps=100)
    assert (schedule.steps, schedule.rate_share) == (expected[0], pytest.approx(expected[1]))
    assert schedule.supernet_share == expected[0] / supernet_steps


def test_no_epochs_are_no_finishing():
    assert FinishSettings.of_epochs(0.0) is None
    assert FinishSettings.of_epochs(None) == FinishSettings()
    assert FinishSettings.of_epochs(2.0) == FinishSettings(epochs=2.0)
