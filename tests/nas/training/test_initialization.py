"""Starting from another supernet: what is copied, what is not, and what is refused."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from nas.data.sources import load_dataset
from nas.data.validation import checked_dataset
from nas.families.registry import build_supernet
from nas.training.initialization import initialize_from
from nas.training.interruption import TrainingInterruptedError
from nas.training.record import WEIGHTS_FILE, supernet_id
from nas.training.settings import TrainingSettings
from nas.training.trainer import train_supernet
from search_spaces.errors import UnknownNameError, UsageError
from search_spaces.mobilenet_v3 import MobileNetV3Space
from search_spaces.mobilenet_v3_config import TINY
from search_spaces.task import TaskSpec
from tests.nas.training.test_other_tasks import CIFAR
from tests.nas.training.test_trainer import DATA, ONE_THREAD, SETTINGS, SPACE, StopAt, made_data

STEM, CLASSIFIER = {"stem.conv.weight"}, {"head.classifier.weight", "head.classifier.bias"}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The folder of all supernets and the record of one in it."""
    root = tmp_path_factory.mktemp("supernets")
    return root, train_supernet(SPACE, DATA, SETTINGS, root / supernet_id(SPACE, DATA, SETTINGS), compute=ONE_THREAD)


@pytest.mark.parametrize(
    ("task", "afresh"),
    [
        (SPACE.task, CLASSIFIER),
        (SPACE.task.with_classes(7), CLASSIFIER),
        (TaskSpec.image_classification(**{**SPACE.task.as_json(), "height": 32, "width": 40}), CLASSIFIER),
        (TaskSpec.image_classification(**{**SPACE.task.as_json(), "channels": 1, "classes": 16}), CLASSIFIER | STEM),
    ],
)
def test_all_but_what_depends_on_the_data_is_copied(source, task, afresh):
    root, record = source
    trained = load_file(root / record.id / WEIGHTS_FILE)
    supernet = build_supernet(MobileNetV3Space(TINY, task), seed=3)
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    assert initialize_from(supernet, root, record.weights_sha256) == afresh
    for name, tensor in supernet.state_dict().items():
        assert torch.equal(tensor, before[name] if name in afresh else trained[name]), name


def test_the_start_is_part_of_what_a_training_is(source):
    root, record = source
    data = made_data(5, classes=4)
    space = MobileNetV3Space(TINY, data.task)
    started = replace(SETTINGS, init=record.weights_sha256)
    ids = {supernet_id(space, data, settings) for settings in (SETTINGS, started)}
    assert len(ids) == 2
    assert "init" not in SETTINGS.identity()
    found = train_supernet(space, data, started, root / supernet_id(space, data, started), compute=ONE_THREAD)
    assert found.settings.init == record.weights_sha256
    # It resumes without the supernet that it started from, to the same bits.
    parts = root / "parts"
    with pytest.raises(TrainingInterruptedError):
        train_supernet(space, data, started, parts, on_progress=StopAt(2), compute=ONE_THREAD)
    elsewhere = root.parent / f"{root.name}-elsewhere" / found.id
    elsewhere.parent.mkdir()
    parts.rename(elsewhere)
    again = train_supernet(space, data, started, elsewhere, compute=ONE_THREAD)
    assert again.weights_sha256 == found.weights_sha256


def test_weights_that_do_not_fit_are_refused_in_one_sentence(source):
    root, record = source
    with pytest.raises(UnknownNameError, match="supernet"):
        train_supernet(SPACE, DATA, replace(SETTINGS, init="0" * 64), root / "new", compute=ONE_THREAD)
    other = MobileNetV3Space(replace(TINY, name="mobilenet_v3:other"), DATA.task)
    with pytest.raises(UsageError, match=r"of the space mobilenet_v3:tiny and cannot initialize mobilenet_v3:other"):
        initialize_from(build_supernet(other), root, record.weights_sha256)
    wider = build_supernet(MobileNetV3Space(replace(TINY, stem_width=24), DATA.task))
    before = {name: tensor.clone() for name, tensor in wider.state_dict().items()}
    with pytest.raises(UsageError, match=r"on images of 24x28x3, and its weights \(stem"):
        initialize_from(wider, root, record.weights_sha256)
    assert all(tensor.equal(before[name]) for name, tensor in wider.state_dict().items())
    with pytest.raises(UsageError, match="setting init is 'best'"):
        replace(SETTINGS, init="best")


@pytest.mark.slow
@pytest.mark.skipif(not CIFAR.is_file(), reason="CIFAR-10 is not in ../shared")
def test_a_start_from_other_images_is_ahead_after_the_same_steps(tmp_path):
    """Fashion-MNIST's supernet starts one on 1,000 images of CIFAR-10: losses fall faster."""
    fashion = load_dataset("fashion-mini")
    settings = TrainingSettings(epochs=1, learning_rate=0.1)
    space = MobileNetV3Space(TINY, fashion.task)
    record = train_supernet(space, fashion, settings, tmp_path / supernet_id(space, fashion, settings))
    subprocess.run([sys.executable, CIFAR, tmp_path / "cifar.npz"], check=True, capture_output=True)
    whole = load_dataset(f"npz:{tmp_path / 'cifar.npz'}")
    rows = np.arange(1000)
    few = checked_dataset(
        "few",
        {
            "x_train": whole.x_train[rows],
            "y_train": whole.y_train[rows],
            "x_test": whole.x_test,
            "y_test": whole.y_test,
        },
    )
    space = MobileNetV3Space(TINY, few.task)
    found = {}
    for init in ("", record.weights_sha256):
        settings = TrainingSettings(epochs=5, batch_size=50, init=init)
        found[bool(init)] = train_supernet(space, few, settings, tmp_path / supernet_id(space, few, settings))
    assert found[True].accuracy_largest > found[False].accuracy_largest
