"""Images that stay files give the same pixels, fingerprint and refusals as images in memory."""

import os
import signal

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nas.data.dataset import DataError
from nas.data.decoding import DecodedAhead, image_chunks
from nas.data.image_memory import IMAGE_MEMORY_VARIABLE, image_memory_bytes
from nas.data.images import ImageFiles, chunk_rows, subset
from nas.data.normalization import Normalization
from nas.data.normalized_images import NormalizedImages
from nas.data.sources import load_dataset
from search_spaces.errors import UsageError
from tests.nas.data.test_sources import image_tree


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HWNAS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def tree(tmp_path):
    return image_tree(tmp_path / "images", suffix="jpg")


@pytest.fixture
def streamed(monkeypatch):
    """Loads data as files, whatever its size."""

    def load(spec):
        with monkeypatch.context() as patch:
            patch.setenv(IMAGE_MEMORY_VARIABLE, "0")
            return load_dataset(spec)

    return load


def decoders():
    return [child for child in psutil.Process().children(recursive=True) if "spawn_main" in " ".join(child.cmdline())]


@pytest.mark.parametrize("suffix", ["", "@24x32", "?skip-damaged"])
def test_files_hold_what_memory_holds(tree, streamed, suffix):
    spec = f"imagefolder:{tree}{suffix}"
    memory, files = load_dataset(spec), streamed(spec)
    assert isinstance(memory.x_train, np.ndarray)
    assert isinstance(files.x_train, ImageFiles)
    assert isinstance(files.x_test, ImageFiles)
    # Once decoded, once from the cache.
    for one in (files, streamed(spec)):
        assert one.fingerprint == memory.fingerprint
        assert (one.task, one.classes, one.skipped) == (memory.task, memory.classes, memory.skipped)
        assert (one.x_train[:] == memory.x_train).all()
        assert (one.x_test[:] == memory.x_test).all()
        assert (one.y_train == memory.y_train).all()
    rows = np.array([5, 0, 5, 2])
    assert (files.x_train[rows] == memory.x_train[rows]).all()
    assert (subset(files.x_train, rows)[1:3] == memory.x_train[rows][1:3]).all()
    assert Normalization.of(files.x_train) == Normalization.of(memory.x_train)


def test_a_changed_file_is_another_data_set(tree, streamed, home):
    spec = f"imagefolder:{tree}"
    before = streamed(spec)
    (scan,) = home.glob("cache/imagefolders/*.json")
    path = tree / "train" / "cat" / "1.jpg"
    Image.new("RGB", (26, 30), (9, 200, 30)).save(path)
    after = streamed(spec)
    assert after.fingerprint == load_dataset(spec).fingerprint != before.fingerprint
    # A damaged scan is made again.
    for written in home.glob("cache/imagefolders/*.json"):
        written.write_text('{"size": 3}')
    assert streamed(spec).fingerprint == after.fingerprint
    assert scan.is_file()


def test_damaged_files_are_found_before_training(tree, streamed):
    path = tree / "test" / "dog" / "1.jpg"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"dog/1\.jpg is not a readable image .*--skip-damaged"):
        streamed(f"imagefolder:{tree}")
    for _ in range(2):
        found = streamed(f"imagefolder:{tree}?skip-damaged")
        assert found.skipped == ("test/dog/1.jpg",)
        assert len(found.x_test) == 3
    assert found.fingerprint == load_dataset(f"imagefolder:{tree}?skip-damaged").fingerprint


def test_images_without_content_are_refused_as_in_memory(tree, streamed):
    for path in tree.rglob("*.jpg"):
        Image.new("RGB", (26, 30), (7, 7, 7)).save(path)
    with pytest.raises(DataError, match=r"every pixel of x_train is \(7, 7, 7\)"):
        streamed(f"imagefolder:{tree}")
    image = np.arange(26 * 30, dtype=np.uint32).reshape(30, 26).astype(np.uint8)
    for path in tree.rglob("*.jpg"):
        Image.fromarray(image).save(path)
    with pytest.raises(DataError, match="all 8 images of x_train are the same"):
        streamed(f"imagefolder:{tree}")


def test_what_is_decoded_ahead_is_what_is_asked_for(tree, streamed):
    files = streamed(f"imagefolder:{tree}").x_train
    whole = files[:]
    ahead = DecodedAhead(lambda position: files.subset(np.array([position % 8, (3 * position) % 8])))
    for position in (0, 1, 2, 7, 3, 3, 100):
        assert (ahead.at(position) == whole[[position % 8, (3 * position) % 8]]).all()


def test_killed_decoders_lose_nothing(tree, streamed):
    files = streamed(f"imagefolder:{tree}").x_train
    whole = files[:]
    ahead = DecodedAhead(lambda position: files.subset(slice(position, position + 2)))
    assert (ahead.at(0) == whole[:2]).all()
    killed = decoders()
    assert killed
    for child in killed:
        os.kill(child.pid, signal.SIGKILL)
    psutil.wait_procs(killed)
    for position in range(1, 6):
        assert (ahead.at(position) == whole[position : position + 2]).all()
    assert (np.concatenate(list(image_chunks(files))) == whole).all()


def test_a_file_that_is_damaged_later_is_named(tree, streamed):
    files = streamed(f"imagefolder:{tree}").x_train
    files.paths[3].write_bytes(b"")
    with pytest.raises(DataError, match=r"3\.jpg is not a readable image"):
        list(image_chunks(files))


@pytest.mark.parametrize("batch_size", [1, 3, 8, 50])
def test_normalized_batches_are_the_normalized_images(tree, streamed, batch_size):
    spec = f"imagefolder:{tree}"
    memory = load_dataset(spec).x_train
    normalization = Normalization.of(memory)
    expected = normalization.apply(memory)
    for images in (memory, streamed(spec).x_train):
        found = list(NormalizedImages(images=images, normalization=normalization).batches(batch_size))
        assert [len(batch) for batch in found[:-1]] == [batch_size] * (len(found) - 1)
        assert np.concatenate(found).tobytes() == expected.tobytes()


@settings(max_examples=50)
@given(st.integers(1, 3000), st.integers(1, 200), st.integers(1, 200))
def test_chunks_hold_each_image_once(count, height, width):
    images = np.empty((count, height, width, 3), dtype=np.uint8)
    rows = np.concatenate([np.arange(count)[part] for part in chunk_rows(images)])
    assert rows.tolist() == list(range(count))
    assert all(images[part].nbytes <= max(32 * 2**20, height * width * 3) for part in chunk_rows(images))


def test_the_share_of_memory_is_a_quarter_or_what_was_set(monkeypatch):
    monkeypatch.delenv(IMAGE_MEMORY_VARIABLE, raising=False)
    assert 0 < image_memory_bytes() <= psutil.virtual_memory().total / 4
    monkeypatch.setenv(IMAGE_MEMORY_VARIABLE, "1.5")
    assert image_memory_bytes() == 1_500_000
    for text in ("much", "-1", "nan", ""):
        monkeypatch.setenv(IMAGE_MEMORY_VARIABLE, text)
        with pytest.raises(UsageError, match="give megabytes"):
            image_memory_bytes()
