"""A whole search on a folder of images that stay on disk; its accuracies are those of the images in memory."""

import json

import pytest

from hw_profiles.onnx_graph import load_onnx
from nas.data.image_memory import IMAGE_MEMORY_VARIABLE
from nas.data.sources import load_dataset
from nas.evaluation.artifact_accuracy import artifact_accuracy
from nas.home import Home
from nas.training.prepared_data import prepare
from nas.training.record import read_record
from nas.workspace import open_workspace
from tests.nas.training.test_streamed_training import made_folder
from tests.nas.workflows.conftest import SEARCH


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory):
    """This file's own."""
    return tmp_path_factory.mktemp("home")


@pytest.mark.slow
def test_accuracies_do_not_depend_on_where_the_images_are(hwnas, tmp_path, monkeypatch):
    spec = f"imagefolder:{made_folder(tmp_path / 'images')}"
    training = ("train", "--data", spec, "--epochs", 1, "--batch-size", 16, "--threads", 1)
    monkeypatch.setenv(IMAGE_MEMORY_VARIABLE, "0")
    trained = hwnas.json(*training)
    front = hwnas.json(*SEARCH[:-1], 0.5, "--evaluations", 6)
    monkeypatch.delenv(IMAGE_MEMORY_VARIABLE)
    assert hwnas.json(*training) == trained
    assert list(hwnas.home.glob("cache/imagefolders/*.json"))
    with open_workspace(Home(hwnas.home)) as workspace:
        record = read_record(workspace.supernet_folder(workspace.supernet()))
    dataset = load_dataset(spec)
    data = prepare(dataset, record.settings)
    checked = 0
    for path in hwnas.home.glob("cache/candidates/*/*/*/*.json"):
        reading = json.loads(path.read_text()).get("validation")
        (graph,) = path.parent.glob("*.onnx") if len(list(path.parent.glob("*.onnx"))) == 1 else (None,)
        if not reading or graph is None:
            continue
        found = artifact_accuracy(load_onnx(graph), data.validation_images, data.validation_labels.numpy())
        assert reading["accuracy"] == found
        assert reading["images"] == len(data.validation_images) == 12
        checked += 1
    assert checked
    assert {round(member["accuracy_test"] * 12, 6).is_integer() for member in front["members"]} == {True}
