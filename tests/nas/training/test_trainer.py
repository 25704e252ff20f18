import csv
import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from nas.data.dataset import ImageDataset
from nas.data.validation import checked_dataset
from nas.training.checkpoint import CheckpointError
from nas.training.compute import Compute
from nas.training.interruption import TrainingInterruptedError
from nas.training.learning_curve import CURVE_CSV, CURVE_PNG
from nas.training.record import (
    CHECKPOINT_FILE,
    RECORD_FILE,
    WEIGHTS_FILE,
    SupernetError,
    list_supernets,
    load_supernet,
    read_record,
    supernet_id,
)
from nas.training.settings import TrainingSettings
from nas.training.trainer import TrainingDivergedError, TrainingProgress, train_supernet
from search_spaces.mobilenet_v3 import MobileNetV3Space
from search_spaces.mobilenet_v3_config import TINY

ONE_THREAD = Compute(device="cpu", threads=1)
SETTINGS = TrainingSettings(epochs=2, batch_size=16, evaluate_every_epochs=1, checkpoint_every_s=1e6)


def made_data(seed: int = 0, classes: int = 3, shape: tuple[int, int, int] = (24, 28, 3)) -> ImageDataset:
    """Classes differ in brightness, so that a few steps learn something."""
    rng = np.random.default_rng(seed)
    y_train, y_test = np.arange(60) % classes, np.arange(12) % classes

    def images(labels: np.ndarray) -> np.ndarray:
        base = (labels * 200 // classes)[:, None, None, None]
        return (base + rng.integers(0, 50, (len(labels), *shape))).astype(np.uint8)

    arrays = {"x_train": images(y_train), "y_train": y_train, "x_test": images(y_test), "y_test": y_test}
    return checked_dataset("made", arrays)


DATA = made_data()
SPACE = MobileNetV3Space(TINY, DATA.task)


class StopAt:
    """Sends the real signal of Ctrl-C after a step."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.seen: list[TrainingProgress] = []

    def __call__(self, progress: TrainingProgress) -> None:
        self.seen.append(progress)
        if progress.step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("supernets") / "one"
    record = train_supernet(SPACE, DATA, SETTINGS, folder, compute=ONE_THREAD)
    return folder, record


@pytest.fixture
def interrupted(tmp_path):
    with pytest.raises(TrainingInterruptedError, match="after step 2 of 6") as stopped:
        train_supernet(SPACE, DATA, SETTINGS, tmp_path, on_progress=StopAt(2), compute=ONE_THREAD)
    assert stopped.value.step == 2
    return tmp_path


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "adamw", "learning_rate": 0.003},
        {"optimizer": "muon", "learning_rate": 0.005, "ema_decay": 0.9},
        {"largest_first_share": 0.5, "label_share": 0.5, "cutout_px": 4, "flip": True},
    ],
)
def test_an_interrupted_training_continues_to_the_same_bits(tmp_path, changes):
    settings = replace(SETTINGS, **changes)
    whole = tmp_path / "whole"
    train_supernet(SPACE, DATA, settings, whole, compute=ONE_THREAD)
    parts = tmp_path / "parts"
    for step in (2, 5):
        with pytest.raises(TrainingInterruptedError):
            train_supernet(SPACE, DATA, settings, parts, on_progress=StopAt(step), compute=ONE_THREAD)
        assert (parts / CHECKPOINT_FILE).is_file()
        assert not (parts / RECORD_FILE).exists()
    stop = StopAt(-1)
    record = train_supernet(SPACE, DATA, settings, parts, on_progress=stop, compute=ONE_THREAD)
    assert [p.step for p in stop.seen] == [6]
    assert not (parts / CHECKPOINT_FILE).exists()
    expected, found = load_file(whole / WEIGHTS_FILE), load_file(parts / WEIGHTS_FILE)
    assert expected.keys() == found.keys()
    assert all(expected[name].equal(found[name]) for name in expected)
    for name in (CURVE_CSV, CURVE_PNG):
        assert (parts / name).read_bytes() == (whole / name).read_bytes()
    assert record.weights_sha256 == json.loads((whole / RECORD_FILE).read_text())["weights_sha256"]


def test_a_keyboard_interrupt_from_the_callback_is_a_stop_too(tmp_path):
    def stop(_progress: TrainingProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(TrainingInterruptedError, match="after step 1 of 6"):
        train_supernet(SPACE, DATA, SETTINGS, tmp_path, on_progress=stop, compute=ONE_THREAD)
    assert (tmp_path / CHECKPOINT_FILE).is_file()


def test_a_finished_training_is_loaded_and_not_repeated(uninterrupted):
    folder, record = uninterrupted
    stop = StopAt(-1)
    assert train_supernet(SPACE, DATA, SETTINGS, folder, on_progress=stop) == record
    assert not stop.seen
    supernet, loaded = load_supernet(folder)
    assert loaded == record
    assert loaded.id == supernet_id(SPACE, DATA, SETTINGS)
    assert loaded.task == DATA.task
    assert supernet.space.task == DATA.task
    assert list_supernets(folder.parent) == [record]


def test_progress_tells_steps_and_accuracies(tmp_path):
    stop = StopAt(-1)
    record = train_supernet(SPACE, DATA, SETTINGS, tmp_path, on_progress=stop, compute=ONE_THREAD)
    assert [p.step for p in stop.seen] == [1, 2, 3, 4, 5, 6]
    assert {p.total_steps for p in stop.seen} == {6}
    assert stop.seen[0].accuracies is None
    last = stop.seen[-1].accuracies
    assert last is not None
    assert (last.smallest, last.middle, last.largest) == (
        record.accuracy_smallest,
        record.accuracy_middle,
        record.accuracy_largest,
    )
    assert record.images_val == 12
    assert stop.seen[-1].seconds_left == 0
    assert all(p.seconds_left >= 0 and np.isfinite(p.loss) for p in stop.seen)


def test_a_truncated_checkpoint_is_refused(interrupted):
    path = interrupted / CHECKPOINT_FILE
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r"cannot be read .*; delete it to train from the start"):
        train_supernet(SPACE, DATA, SETTINGS, interrupted)


def test_a_checkpoint_with_a_flipped_bit_is_refused(interrupted):
    path = interrupted / CHECKPOINT_FILE
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="is damaged"):
        train_supernet(SPACE, DATA, SETTINGS, interrupted)


def test_an_empty_checkpoint_is_refused(tmp_path):
    (tmp_path / CHECKPOINT_FILE).write_bytes(b"")
    with pytest.raises(CheckpointError, match="cannot be read"):
        train_supernet(SPACE, DATA, SETTINGS, tmp_path)


def test_a_checkpoint_of_other_data_settings_or_sizes_is_refused(interrupted):
    with pytest.raises(CheckpointError, match="other data"):
        train_supernet(SPACE, made_data(1), SETTINGS, interrupted)
    with pytest.raises(CheckpointError, match=r"other settings \(learning_rate"):
        train_supernet(SPACE, DATA, replace(SETTINGS, learning_rate=0.01), interrupted)
    wider = MobileNetV3Space(replace(TINY, final_width=8), DATA.task)
    with pytest.raises(CheckpointError, match="other sizes"):
        train_supernet(wider, DATA, SETTINGS, interrupted)
    renamed = MobileNetV3Space(replace(TINY, name="mobilenet_v3:other"), DATA.task)
    with pytest.raises(CheckpointError, match="the space mobilenet_v3:tiny, not"):
        train_supernet(renamed, DATA, SETTINGS, interrupted)


def test_a_diverging_training_says_so(tmp_path):
    # Each step multiplies the weights by 1 - 100 * 1.
    settings = replace(SETTINGS, optimizer="adamw", learning_rate=100.0, weight_decay=1.0, warmup_share=0.0, epochs=40)
    with pytest.raises(TrainingDivergedError, match="lower the learning rate"):
        train_supernet(SPACE, DATA, settings, tmp_path, compute=ONE_THREAD)


def test_a_damaged_supernet_is_refused(tmp_path, uninterrupted):
    folder, _ = uninterrupted
    with pytest.raises(SupernetError, match="holds no finished supernet"):
        load_supernet(tmp_path)
    (tmp_path / RECORD_FILE).write_bytes((folder / RECORD_FILE).read_bytes())
    with pytest.raises(SupernetError, match="is missing"):
        load_supernet(tmp_path)
    (tmp_path / WEIGHTS_FILE).write_bytes((folder / WEIGHTS_FILE).read_bytes()[:-4])
    with pytest.raises(SupernetError, match="is damaged"):
        load_supernet(tmp_path)
    for text in ("", "{", "[]", "{}", '{"schema": "hwnas.supernet/1"}'):
        (tmp_path / RECORD_FILE).write_text(text)
        with pytest.raises(SupernetError, match=r"[Tt]rain again"):
            load_supernet(tmp_path)


def test_the_learning_curve_grows_with_the_training(tmp_path):
    lengths, losses = [], []

    def look(progress: TrainingProgress) -> None:
        losses.append(progress.loss)
        path = tmp_path / CURVE_CSV
        lengths.append(len(path.read_text().splitlines()) if path.is_file() else 0)

    record = train_supernet(SPACE, DATA, SETTINGS, tmp_path, on_progress=look, compute=ONE_THREAD)
    assert lengths == [0, 0, 2, 2, 2, 3]
    rows = list(csv.DictReader((tmp_path / CURVE_CSV).read_text().splitlines()))
    assert [(row["step"], row["epoch"]) for row in rows] == [("3", "1.0"), ("6", "2.0")]
    assert [float(row["loss"]) for row in rows] == pytest.approx([np.mean(losses[:3]), np.mean(losses[3:])])
    assert float(rows[-1]["accuracy_middle"]) == record.accuracy_middle
    assert (tmp_path / CURVE_PNG).read_bytes().startswith(b"\x89PNG")


def test_a_record_of_before_the_middle_network_is_read(tmp_path, uninterrupted):
    folder, record = uninterrupted
    values = json.loads((folder / RECORD_FILE).read_text())
    del values["accuracy_middle"], values["images_val"]
    (tmp_path / RECORD_FILE).write_text(json.dumps(values))
    assert read_record(tmp_path) == replace(record, accuracy_middle=None, images_val=None)


def test_a_checkpoint_of_another_version_is_refused_and_kept(interrupted):
    path = interrupted / CHECKPOINT_FILE
    for schema, named in (("hwnas.checkpoint/1", "hwnas.checkpoint/1"), (None, "an earlier one")):
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata())
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        metadata.pop("schema", None)
        save_file(tensors, path, metadata | ({"schema": schema} if schema else {}))
        before = path.read_bytes()
        with pytest.raises(CheckpointError, match=rf"another version of hwnas \({named}.*or delete it"):
            train_supernet(SPACE, DATA, SETTINGS, interrupted)
        assert path.read_bytes() == before


def test_a_supernet_of_a_version_with_other_settings_is_refused(tmp_path, uninterrupted):
    folder, _ = uninterrupted
    values = json.loads((folder / RECORD_FILE).read_text())
    values["settings"]["curriculum"] = 3
    (tmp_path / RECORD_FILE).write_text(json.dumps(values))
    with pytest.raises(SupernetError, match=r"another version of hwnas \(unknown training setting 'curriculum'\)"):
        read_record(tmp_path)
