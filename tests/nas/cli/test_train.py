"""``hwnas train``: options become settings, and settings out of range are one sentence."""

import json

import pytest

from nas.data.npz import export_npz
from nas.data.sources import load_dataset
from nas.training.record import list_supernets
from tests.nas.data.test_sources import image_tree
from tests.nas.training.test_trainer import made_data


@pytest.fixture
def data(tmp_path):
    export_npz(made_data(), tmp_path / "made.npz")
    return f"npz:{tmp_path / 'made.npz'}"


def test_options_become_settings(hwnas, data):
    options = ("--optimizer", "muon", "--flip", "--cutout", 4, "--crop", 1, "--setting", "label_share=0.25")
    for more in ((), options):
        assert hwnas.json("train", "--data", data, "--epochs", 1, "--batch-size", 24, *more)["space"]
    plain, asked = sorted((one.settings for one in list_supernets(hwnas.home / "supernets")), key=lambda s: s.flip)
    # Nobody said that a mirrored image of this data means the same.
    assert (plain.flip, plain.cutout_px, plain.shift_px, plain.optimizer) == (False, 0, 2, "sgd")
    assert (asked.flip, asked.cutout_px, asked.shift_px, asked.optimizer) == (True, 4, 1, "muon")
    assert (plain.label_share, asked.label_share) == (0.5, 0.25)
    assert asked.learning_rate != plain.learning_rate


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--optimizer", "lion"), "optimizer is 'lion'"),
        (("--cutout", -1), "cutout_px is -1"),
        (("--crop", 5000), "shift_px is 5000"),
        (("--setting", "ema=1"), "unknown training setting 'ema'"),
        (("--learning-rate", "nan"), "learning_rate is nan"),
    ],
)
def test_settings_out_of_range_are_refused(hwnas, options, message):
    assert message in hwnas.refused("train", *options)


def test_damaged_images_are_skipped_if_asked_and_named(hwnas, tmp_path):
    root = image_tree(tmp_path / "images", suffix="jpg")
    path = root / "train" / "cat" / "2.jpg"
    path.write_bytes(path.read_bytes()[:300])
    options = ("--data", f"imagefolder:{root}", "--epochs", 1, "--batch-size", 4, "--threads", 1)
    assert "cat/2.jpg is not a readable image" in hwnas.refused("train", *options)
    code, _, errors = hwnas("train", *options, "--skip-damaged")
    assert code == 0, errors
    assert "Left out 1 image that cannot be read: train/cat/2.jpg." in errors
    # Whoever loads the supernet's data later leaves the same image out.
    (source,) = hwnas.home.glob("supernets/*/data.json")
    assert len(load_dataset(json.loads(source.read_text())["data"]).x_train) == 7
    assert "is for folders of images" in hwnas.refused("train", "--skip-damaged", "--data", "fashion-mini")


def test_a_training_starts_from_a_supernet_of_the_same_space(hwnas, data, tmp_path):
    options = ("--epochs", 1, "--batch-size", 24, "--threads", 1)
    source = hwnas.json("train", "--data", data, *options)
    export_npz(made_data(2, classes=5), tmp_path / "other.npz")
    other = ("train", "--data", f"npz:{tmp_path / 'other.npz'}", *options)
    started = hwnas.json(*other, "--init", source["supernet"][:8])
    assert started["supernet"] != hwnas.json(*other)["supernet"]
    # The same request in other words is the same training, and the benchmark's command names it, too.
    again = hwnas.json(*other, "--setting", f"init={source['supernet']}")
    assert again["supernet"] == started["supernet"]
    assert f"init={source['supernet']}" in again["trust"]["benchmark_command"]
    assert "supernet" in hwnas.refused(*other, "--init", "0000")
    assert "setting init is 'best'" in hwnas.refused(*other, "--init", "best")
    export_npz(made_data(2, shape=(64, 64, 3)), tmp_path / "large.npz")
    large = ("train", "--data", f"npz:{tmp_path / 'large.npz'}", "--space", "mobilenet_v3:imagenet", "--epochs", 1)
    message = "is of the space mobilenet_v3:tiny and cannot initialize mobilenet_v3:imagenet"
    assert message in hwnas.refused(*large, "--init", source["supernet"])
