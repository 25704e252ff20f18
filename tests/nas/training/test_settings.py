import pytest

from nas.training.settings import TrainingSettings
from search_spaces.errors import UsageError


def test_settings_round_trip():
    settings = TrainingSettings(epochs=3, optimizer="adamw")
    assert TrainingSettings.from_json(settings.as_json()) == settings


@pytest.mark.parametrize(
    ("name", "value"),
    [("epochs", 0), ("batch_size", 1), ("learning_rate", float("nan")), ("learning_rate", float("inf")),
     ("dropout", 1.0), ("random_subnets", -1), ("validation_fraction", 0.0), ("seed", -1)],
)  # fmt: skip
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(UsageError, match=f"training setting {name} is"):
        TrainingSettings(**{name: value})


def test_an_unknown_setting_is_refused():
    with pytest.raises(UsageError, match="unknown training setting 'epoch'"):
        TrainingSettings.from_json({"epoch": 3})


def test_identity_holds_what_changes_weights_alone():
    assert TrainingSettings(checkpoint_every_s=1).identity() == TrainingSettings(evaluate_every_epochs=2).identity()
    assert TrainingSettings(seed=1).identity() != TrainingSettings(seed=2).identity()
