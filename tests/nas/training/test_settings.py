import pytest

from nas.training.settings import TrainingSettings, parse_settings
from search_spaces.errors import UsageError


def test_settings_round_trip():
    settings = TrainingSettings(epochs=3, optimizer="adamw")
    assert TrainingSettings.from_json(settings.as_json()) == settings


@pytest.mark.parametrize(
    ("name", "value"),
    [("epochs", 0), ("batch_size", 1), ("learning_rate", float("nan")), ("learning_rate", float("inf")),
     ("dropout", 1.0), ("random_subnets", -1), ("validation_fraction", 0.0), ("seed", -1),
     ("label_share", 1.1), ("largest_first_share", -0.1), ("ema_decay", 1.0), ("cutout_px", -1)],
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


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(UsageError, match="optimizer is 'lion'; allowed are sgd, adamw, muon"):
        TrainingSettings(optimizer="lion")


def test_records_of_earlier_versions_keep_their_meaning():
    earlier = TrainingSettings(flip=True).as_json()
    for name in ("label_share", "largest_first_share", "ema_decay", "cutout_px"):
        del earlier[name]
    assert TrainingSettings.from_json(earlier) == TrainingSettings(flip=True)


def test_an_optimizer_brings_its_own_learning_rate_unless_one_is_given():
    assert TrainingSettings.with_defaults({}) == TrainingSettings()
    assert TrainingSettings.with_defaults({"optimizer": "sgd"}) == TrainingSettings(optimizer="sgd")
    muon = TrainingSettings.with_defaults({"optimizer": "muon"})
    assert (muon.learning_rate, muon.weight_decay) == (0.006, 0.05)
    assert TrainingSettings.with_defaults({"optimizer": "muon", "learning_rate": 0.01}).learning_rate == 0.01
    with pytest.raises(UsageError, match="optimizer is 'lion'"):
        TrainingSettings.with_defaults({"optimizer": "lion"})


def test_settings_are_parsed_by_their_kind():
    found = parse_settings(["ema_decay=0.98", "flip=true", "random_subnets=1", "optimizer=adamw"])
    assert found == {"ema_decay": 0.98, "flip": True, "random_subnets": 1, "optimizer": "adamw"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ema=1", "unknown training setting 'ema'; known are epochs"),
        ("ema_decay", "ema_decay is ''; give a number, such as ema_decay=0.0"),
        ("flip=yes", "flip is 'yes'; give true or false"),
        ("random_subnets=1.5", "random_subnets is '1.5'; give a whole number, such as random_subnets=2"),
    ],
)
def test_texts_that_are_no_settings_are_refused(text, message):
    with pytest.raises(UsageError, match=message):
        parse_settings([text])


@pytest.mark.parametrize(
    ("images", "given", "epochs"),
    [
        (12_000, {}, 20),
        (1_680, {}, 72),
        (1_680, {"batch_size": 32}, 36),
        (1_680, {"validation_fraction": 0.5}, 116),
        (60, {}, 200),
        (1_680, {"epochs": 3}, 3),
        (None, {}, 20),
    ],
)
def test_few_images_are_passed_over_more_often(images, given, epochs):
    assert TrainingSettings.with_defaults(given, images=images).epochs == epochs
