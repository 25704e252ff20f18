"""Training on images that stay files: the weights are those of a training in memory, to the bit."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.data.image_memory import IMAGE_MEMORY_VARIABLE
from nas.data.images import ImageFiles
from nas.data.sources import load_dataset
from nas.training.compute import Compute
from nas.training.interruption import TrainingInterruptedError
from nas.training.learning_curve import CURVE_CSV
from nas.training.network_training import NetworkPlan, NetworkTrainingContext, train_networks
from nas.training.prepared_data import prepare
from nas.training.record import supernet_id
from nas.training.trainer import train_supernet
from search_spaces.mobilenet_v3 import MobileNetV3Space
from search_spaces.mobilenet_v3_config import TINY
from tests.nas.training.test_trainer import DATA, ONE_THREAD, SETTINGS, StopAt

AUGMENTED = replace(SETTINGS, flip=True, cutout_px=4)


def made_folder(root: Path) -> Path:
    """The made data as PNG files."""
    for part, images, labels in (("train", DATA.x_train, DATA.y_train), ("test", DATA.x_test, DATA.y_test)):
        for number, (image, label) in enumerate(zip(images[:], labels, strict=True)):
            path = root / part / f"class{label}" / f"{number:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    return root


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made_folder(tmp_path_factory.mktemp("images"))


@pytest.fixture
def both(folder, tmp_path, monkeypatch):
    """The same data in memory and as files."""
    monkeypatch.setenv("HWNAS_HOME", str(tmp_path / "home"))
    memory = load_dataset(f"imagefolder:{folder}")
    monkeypatch.setenv(IMAGE_MEMORY_VARIABLE, "0")
    files = load_dataset(f"imagefolder:{folder}")
    assert isinstance(files.x_train, ImageFiles)
    return memory, files


def test_a_supernet_is_the_same_from_memory_and_from_files_resumed_anywhere(both, tmp_path):
    memory, files = both
    space = MobileNetV3Space(TINY, memory.task)
    assert supernet_id(space, memory, AUGMENTED) == supernet_id(space, files, AUGMENTED)
    expected = train_supernet(space, memory, AUGMENTED, tmp_path / "memory", compute=ONE_THREAD)
    streamed = tmp_path / "files"
    for step in (1, 4):
        with pytest.raises(TrainingInterruptedError):
            train_supernet(space, files, AUGMENTED, streamed, on_progress=StopAt(step), compute=ONE_THREAD)
    found = train_supernet(space, files, AUGMENTED, streamed, compute=ONE_THREAD)
    assert found.weights_sha256 == expected.weights_sha256
    assert found.normalization == expected.normalization
    assert (streamed / CURVE_CSV).read_text() == (tmp_path / "memory" / CURVE_CSV).read_text()


def test_networks_trained_alone_are_the_same_from_memory_and_from_files(both, tmp_path):
    memory, files = both
    space = MobileNetV3Space(TINY, memory.task)
    trained = []
    for name, dataset in (("memory", memory), ("files", files)):
        context = NetworkTrainingContext(
            space=space,
            data=prepare(dataset, SETTINGS),
            data_fingerprint=dataset.fingerprint,
            folder=tmp_path / name,
            compute=Compute(device="cpu", threads=2),
        )
        plans = [
            NetworkPlan(genotype=genotype, settings=AUGMENTED, steps=4)
            for genotype in (space.smallest(), space.middle())
        ]
        trained.append(train_networks(plans, context))
    for one, other in zip(*trained, strict=True):
        theirs = other.state_dict()
        assert all(tensor.equal(theirs[name]) for name, tensor in one.state_dict().items())


def test_preparation_holds_no_validation_image_as_float(both):
    for dataset in both:
        data = prepare(dataset, SETTINGS)
        again = prepare(dataset, SETTINGS, data.normalization)
        assert type(data.validation_images.images) is type(dataset.x_train)
        assert np.array_equal(data.validation_images.images[:], again.validation_images.images[:])
        assert isinstance(data.recalibration_images.images, np.ndarray)
        assert np.array_equal(data.recalibration_images[:], again.recalibration_images[:])
    memory, files = (prepare(dataset, SETTINGS) for dataset in both)
    assert np.array_equal(memory.recalibration_images[:], files.recalibration_images[:])
    assert np.array_equal(memory.validation_images[:], files.validation_images[:])
    assert json.dumps(memory.normalization.as_json()) == json.dumps(files.normalization.as_json())
