"""The whole way from arrays to an evaluated sub-network, for many shapes and class counts."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nas.data.sources import load_dataset
from nas.data.validation import checked_dataset
from nas.evaluation import evaluate_subnet
from nas.families.registry import build_supernet
from nas.training.prepared_data import prepare
from nas.training.record import load_supernet
from nas.training.settings import TrainingSettings
from nas.training.trainer import train_supernet
from search_spaces.errors import UnsupportedTaskError
from search_spaces.mobilenet_v3 import MobileNetV3Space
from search_spaces.mobilenet_v3_config import TINY
from search_spaces.registry import get_space
from tests.nas.training.test_trainer import ONE_THREAD

CIFAR = Path(__file__).parents[4] / "shared" / "data" / "images" / "unpack_cifar10.py"


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [
        ("mobilenet_v3:tiny", (28, 28, 1), 2),
        ("mobilenet_v3:tiny", (32, 48, 3), 100),
        ("mobilenet_v3:tiny", (96, 96, 3), 4),
        ("mobilenet_v3:tiny", (24, 33, 4), 7),
        ("resnet:tiny", (24, 33, 4), 7),
        ("vit:tiny", (33, 24, 3), 5),
        ("resnet:imagenet", (64, 70, 3), 2),
    ],
)
def test_any_shape_and_class_count_trains(tmp_path, name, shape, classes):
    rng = np.random.default_rng(0)
    count = max(40, 3 * classes)
    arrays = {
        "x_train": rng.integers(0, 256, (count, *shape), dtype=np.uint8),
        "y_train": np.arange(count) % classes,
        "x_test": rng.integers(0, 256, (classes, *shape), dtype=np.uint8),
        "y_test": np.arange(classes),
        "groups_train": np.arange(count) // classes // 2 * classes + np.arange(count) % classes
        if count >= 4 * classes
        else np.arange(count),
    }
    dataset = checked_dataset("made", arrays)
    space = get_space(name, dataset.task)
    settings = TrainingSettings(epochs=1, batch_size=count // 3, random_subnets=1)
    record = train_supernet(space, dataset, settings, tmp_path, compute=ONE_THREAD)
    assert 0 <= record.accuracy_smallest <= 1
    supernet, _ = load_supernet(tmp_path)
    data = prepare(dataset, settings)
    _, found = evaluate_subnet(
        supernet,
        space.largest(),
        recalibration_images=data.recalibration_images,
        images=data.validation_images,
        labels=data.validation_labels,
    )
    assert found == record.accuracy_largest


def test_images_that_are_too_small_are_refused():
    arrays = {
        "x_train": np.arange(4 * 16 * 40, dtype=np.uint8).reshape(4, 16, 40),
        "y_train": np.arange(4) % 2,
        "x_test": np.zeros((2, 16, 40), np.uint8),
        "y_test": np.arange(2),
    }
    dataset = checked_dataset("small", arrays)
    with pytest.raises(UnsupportedTaskError, match="at least 24 pixels"):
        build_supernet(MobileNetV3Space(TINY, dataset.task))


@pytest.mark.skipif(not CIFAR.is_file(), reason="CIFAR-10 is not in ../shared")
def test_cifar10_trains_and_learns(tmp_path):
    subprocess.run([sys.executable, CIFAR, tmp_path / "all.npz"], check=True, capture_output=True)
    with np.load(tmp_path / "all.npz") as arrays:
        part = {name: arrays[name][:400] for name in arrays.files}
    np.savez(tmp_path / "cifar.npz", **part)
    dataset = load_dataset(f"npz:{tmp_path / 'cifar.npz'}")
    assert dataset.task.input.shape == (3, 32, 32)
    losses: list[float] = []
    train_supernet(
        MobileNetV3Space(TINY, dataset.task),
        dataset,
        TrainingSettings(epochs=3, batch_size=32, random_subnets=1),
        tmp_path / "supernet",
        on_progress=lambda progress: losses.append(progress.loss),
        compute=ONE_THREAD,
    )
    assert np.mean(losses[-8:]) < np.mean(losses[:8])
