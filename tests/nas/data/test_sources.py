import importlib.util
import io
import re
import subprocess
import sys
import zipfile
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.data.dataset import DataError
from nas.data.npz import export_npz, load_npz
from nas.data.sources import SOURCES, absolute_spec, flips_by_default, load_dataset, skipping_damaged
from search_spaces.errors import UnknownNameError, UsageError
from search_spaces.task import TaskSpec


def good_arrays(count: int = 12, shape: tuple[int, ...] = (28, 30, 3), classes: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (count, *shape), dtype=np.uint8),
        "y_train": np.arange(count) % classes,
        "x_test": rng.integers(0, 256, (classes, *shape), dtype=np.uint8),
        "y_test": np.arange(classes),
    }


def written(path: Path, **changes: object) -> Path:
    arrays = good_arrays() | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def test_importing_data_does_not_import_torch():
    code = "import sys, nas.data.sources; print('torch' in sys.modules or 'datasets' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_fashion_mini_is_balanced_and_named():
    dataset = load_dataset("fashion-mini")
    assert dataset.task == TaskSpec.image_classification(channels=1, height=28, width=28, classes=10)
    assert dataset.x_train.shape == (12000, 28, 28, 1)
    assert (np.bincount(dataset.y_train) == 1200).all()
    assert (np.bincount(dataset.y_test) == 1000).all()
    assert dataset.classes[9] == "Ankle boot"


def test_fashion_mini_shares_no_image_between_training_and_test():
    dataset = load_dataset("fashion-mini")
    train, test = ({image.tobytes() for image in part} for part in (dataset.x_train, dataset.x_test))
    assert not train & test


def test_the_embedded_file_stays_small():
    assert (resources.files("nas.data") / "fashion_mini.npz").stat().st_size <= 10e6


@pytest.mark.parametrize(
    ("spec", "flips"),
    [("fashion-mini", True), ("npz:fashion-mini", False), ("imagefolder:digits", False), ("hf:mnist", False)],
)
def test_only_data_known_to_bear_it_is_flipped_by_default(spec, flips):
    assert flips_by_default(spec) is flips


SOURCE = Path("/usr/share/datasets/fashion-mnist")


@pytest.mark.skipif(not SOURCE.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_the_script_makes_the_committed_file_again(tmp_path):
    script = Path(__file__).parents[3] / "scripts" / "make_fashion_mini.py"
    subprocess.run([sys.executable, script, "--out", tmp_path / "again.npz"], check=True)
    again = load_npz(tmp_path / "again.npz", name="again")
    assert again.fingerprint == load_dataset("fashion-mini").fingerprint


def test_a_data_set_round_trips_through_npz_with_equal_bytes(tmp_path):
    path = written(tmp_path / "a.npz", groups_train=np.array(list("aabbccddeeff")), classes=np.array(["x", "y", "z"]))
    dataset = load_dataset(f"npz:{path}")
    assert dataset.classes == ("x", "y", "z")
    assert dataset.groups_train is not None
    assert dataset.groups_train.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    export_npz(dataset, tmp_path / "b.npz")
    export_npz(dataset, tmp_path / "c.npz")
    assert (tmp_path / "b.npz").read_bytes() == (tmp_path / "c.npz").read_bytes()
    assert load_dataset(f"npz:{tmp_path / 'b.npz'}").fingerprint == dataset.fingerprint


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.uint64])
def test_grayscale_images_need_no_channel_axis(tmp_path, dtype):
    arrays = good_arrays(shape=(29, 40))
    path = written(tmp_path / "a.npz", **arrays | {"y_train": arrays["y_train"].astype(dtype)})
    dataset = load_dataset(f"npz:{path}")
    assert dataset.task == TaskSpec.image_classification(channels=1, height=29, width=40, classes=3)
    assert dataset.y_train.dtype == np.int64


BAD = {
    "missing key": ({"x_test": None, "y_test": None}, "x_test, y_test missing; found"),
    "float images": ({"x_train": np.zeros((12, 28, 30, 3), np.float32)}, "x_train is float32; images must be uint8"),
    "wrong dimensions": ({"x_train": np.zeros((12, 28), np.uint8)}, "x_train has 2 dimensions"),
    "channels first": ({"x_train": np.zeros((12, 3, 28, 30), np.uint8)}, "x_train .* looks channels-first"),
    "no images": ({"x_test": np.zeros((0, 28, 30, 3), np.uint8)}, "x_test of shape .* is empty"),
    "other test shape": ({"x_test": np.zeros((3, 28, 28, 3), np.uint8)}, "28x30x3 and x_test of 28x28x3"),
    "constant images": ({"x_train": np.full((12, 28, 30, 3), 7, np.uint8)}, r"every pixel of x_train is \(7, 7, 7\)"),
    "equal images": (
        {"x_train": np.broadcast_to(np.arange(84, dtype=np.uint8).reshape(1, 28, 1, 3), (12, 28, 30, 3))},
        "all 12 images of x_train are the same",
    ),
    "float labels": ({"y_train": np.zeros(12)}, "y_train is float64; labels must be integers"),
    "nan labels": ({"y_train": np.full(12, np.nan)}, "y_train is float64; labels must be integers"),
    "string labels": ({"y_train": np.array(["a"] * 12)}, "y_train is <U1; labels must be integers"),
    "one-hot labels": ({"y_train": np.zeros((12, 3), int)}, "y_train has shape .* one number per image"),
    "counts differ": ({"y_train": np.arange(11) % 3}, "y_train has 11 labels for 12 images"),
    "negative label": ({"y_train": np.arange(12) % 3 - 1}, "negative label -1"),
    "huge label": ({"y_train": np.arange(12).astype(np.uint64) + 2**63}, "y_train holds the label 9223372036854775"),
    "one class": ({"y_train": np.zeros(12, int), "y_test": np.zeros(3, int)}, "one class only"),
    "gap": ({"y_train": np.array([0, 1, 3] * 4)}, "no training image has label 2 of 0 to 3"),
    "unseen test class": ({"y_test": np.array([0, 1, 3])}, "y_test holds label 3, which no training image has"),
    "too few names": ({"classes": np.array(["a", "b"])}, "label 2 but only 2 classes are named"),
    "too many names": ({"classes": np.array(["a", "b", "c", "d"])}, "no training image has label 3"),
    "equal names": ({"classes": np.array(["a", "b", "a"])}, "share a name"),
    "one name": ({"classes": np.array(["a"])}, "classes names 1 class"),
    "numbers as names": ({"classes": np.arange(3)}, "classes is int64"),
    "group counts": ({"groups_train": np.arange(5)}, "groups_train has shape .* for 12 training images"),
    "float groups": ({"groups_train": np.zeros(12)}, "groups_train is float64"),
    "pickled images": ({"x_train": np.array([None] * 12)}, "x_train holds Python objects, which are never loaded"),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
def test_bad_arrays_are_refused_in_one_sentence(tmp_path, changes, message):
    path = written(tmp_path / "bad.npz", **changes)
    with pytest.raises(DataError, match=message) as refusal:
        load_dataset(f"npz:{path}")
    assert "\n" not in str(refusal.value)
    assert refusal.value.exit_code == 2


def test_files_that_are_no_npz_are_refused(tmp_path):
    with pytest.raises(DataError, match="is not a file"):
        load_dataset(f"npz:{tmp_path}")
    with pytest.raises(DataError, match="is not a file"):
        load_dataset(f"npz:{tmp_path / 'absent.npz'}")
    for content in (b"", b"hello", b"PK\x03\x04 not really"):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(DataError, match="is not a complete npz file"):
            load_dataset(f"npz:{tmp_path / 'a.npz'}")
    np.save(tmp_path / "b.npy", np.zeros(3))
    with pytest.raises(DataError, match="is not a complete npz file"):
        load_dataset(f"npz:{tmp_path / 'b.npy'}")


def test_every_truncation_is_refused(tmp_path):
    content = written(tmp_path / "a.npz").read_bytes()
    path = tmp_path / "b.npz"
    for length in np.linspace(0, len(content) - 1, 40).astype(int):
        path.write_bytes(content[:length])
        with pytest.raises(DataError):
            load_dataset(f"npz:{path}")


def test_damaged_members_are_refused(tmp_path):
    content = bytearray(written(tmp_path / "a.npz").read_bytes())
    content[5000] ^= 255
    (tmp_path / "b.npz").write_bytes(content)
    with pytest.raises(DataError, match="x_train cannot be read"):
        load_dataset(f"npz:{tmp_path / 'b.npz'}")
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (2**50, 9)})
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as archive:
        archive.writestr("x_train.npy", header.getvalue())
    with pytest.raises(DataError, match=r"x_train (does not fit in memory|cannot be read)"):
        load_dataset(f"npz:{tmp_path / 'c.npz'}")


def test_an_unwritable_place_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        export_npz(load_dataset("fashion-mini"), tmp_path / "file" / "a.npz")


@pytest.mark.parametrize("spec", ["fashion", "", "zip:a"])
def test_unknown_forms_name_the_known_ones(spec):
    with pytest.raises(UnknownNameError, match=re.escape(SOURCES[1].form)):
        load_dataset(spec)


@pytest.mark.parametrize("spec", ["npz:", "imagefolder:", "hf:"])
def test_forms_without_a_place_are_refused(spec):
    with pytest.raises(UsageError, match="has no path or name"):
        load_dataset(spec)


@pytest.mark.skipif(importlib.util.find_spec("datasets") is not None, reason="the extra is installed")
def test_the_hub_without_its_extra_says_what_to_install():
    with pytest.raises(DataError, match=r"install hwnas\[huggingface\]"):
        load_dataset("hf:mnist")


# --- folders of images -----------------------------------------------------------------


def image_tree(root: Path, test: str = "test", mode: str = "RGB", suffix: str = "png") -> Path:
    rng = np.random.default_rng(0)
    for part, count in (("train", 4), (test, 2)):
        for name in ("cat", "dog"):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (30, 26, 3), dtype=np.uint8)
                Image.fromarray(pixels).convert(mode).save(root / part / name / f"{number}.{suffix}")
    return root


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1), ("P", 3), ("RGBA", 3), ("1", 1)])
@pytest.mark.parametrize("test", ["test", "val"])
def test_folders_keep_the_size_of_their_images(tmp_path, mode, channels, test):
    dataset = load_dataset(f"imagefolder:{image_tree(tmp_path, test, mode)}")
    assert dataset.task == TaskSpec.image_classification(channels=channels, height=30, width=26, classes=2)
    assert dataset.classes == ("cat", "dog")
    assert (len(dataset.x_train), len(dataset.x_test)) == (8, 4)


def test_folders_take_a_given_size_and_keep_pixels_of_that_size(tmp_path):
    root = image_tree(tmp_path)
    assert load_dataset(f"imagefolder:{root}@32x48").task.input.shape == (3, 32, 48)
    dataset = load_dataset(f"imagefolder:{root}@30x26")
    original = np.asarray(Image.open(root / "train" / "cat" / "1.png"))
    assert (dataset.x_train[1] == original).all()
    with pytest.raises(DataError, match="at least 1x1"):
        load_dataset(f"imagefolder:{root}@0x3")


def test_images_of_several_sizes_need_one_to_be_scaled_to(tmp_path):
    root = image_tree(tmp_path)
    for part in ("train", "test"):
        path = root / part / "dog" / "0.png"
        whole = path.read_bytes()
        Image.new("RGB", (50, 40)).save(path)
        with pytest.raises(DataError, match=rf"2 sizes \(11 of 12 are 30x26\).*imagefolder:{root}@30x26\.") as refusal:
            load_dataset(f"imagefolder:{root}?skip-damaged")
        assert str(refusal.value).count(". ") == 0
        assert load_dataset(f"imagefolder:{root}@30x26").task.input.shape == (3, 30, 26)
        path.write_bytes(whole)


def test_truncated_jpegs_are_named_and_skipped_only_if_asked(tmp_path):
    root = image_tree(tmp_path, suffix="jpg")
    whole = load_dataset(f"imagefolder:{root}")
    assert whole.skipped == ()
    for name in ("train/cat/2.jpg", "test/dog/1.jpg"):
        path = root / name
        content = path.read_bytes()
        path.write_bytes(content[: len(content) * 2 // 3])
        with pytest.raises(DataError, match=rf"{name} is not a readable image .*truncated.*--skip-damaged"):
            load_dataset(f"imagefolder:{root}")
        path.write_bytes(content)
    for name in ("train/cat/2.jpg", "test/dog/1.jpg"):
        path = root / name
        path.write_bytes(path.read_bytes()[:-30])
    (root / "train" / "dog" / "9.png").write_bytes(b"no image")
    part = load_dataset(f"imagefolder:{root}?skip-damaged")
    assert part.skipped == ("train/cat/2.jpg", "train/dog/9.png", "test/dog/1.jpg")
    assert (part.x_train == np.delete(whole.x_train, 2, axis=0)).all()
    assert part.y_train.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert (part.x_test == whole.x_test[:3]).all()
    assert part.fingerprint != whole.fingerprint
    scaled = load_dataset(f"imagefolder:{root}@24x32?skip-damaged")
    assert (len(scaled.x_train), scaled.task.input.shape) == (7, (3, 24, 32))


@pytest.mark.parametrize(("folder", "message"), [("train/dog", "no image in .*dog can be read"), ("test", "no image")])
def test_a_part_without_a_readable_image_is_refused_even_if_damaged_ones_are_skipped(tmp_path, folder, message):
    root = image_tree(tmp_path)
    for path in (root / folder).rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match=message):
        load_dataset(f"imagefolder:{root}?skip-damaged")


def test_only_folders_have_damaged_images_to_skip():
    assert skipping_damaged("imagefolder:a@3x4") == "imagefolder:a@3x4?skip-damaged"
    assert skipping_damaged("imagefolder:a?skip-damaged") == "imagefolder:a?skip-damaged"
    assert absolute_spec("imagefolder:/a/../b@3x4?skip-damaged") == "imagefolder:/b@3x4?skip-damaged"
    with pytest.raises(UsageError, match="--skip-damaged is for folders"):
        skipping_damaged("fashion-mini")


def test_bad_folders_are_refused(tmp_path):
    with pytest.raises(DataError, match="has no folder train"):
        load_dataset(f"imagefolder:{tmp_path}")
    root = image_tree(tmp_path / "a", test="elsewhere")
    with pytest.raises(DataError, match="has no folder test or val"):
        load_dataset(f"imagefolder:{root}")
    root = image_tree(tmp_path / "b")
    (root / "test" / "cow").mkdir()
    with pytest.raises(DataError, match="holds class 'cow'"):
        load_dataset(f"imagefolder:{root}")
    (root / "test" / "cow").rmdir()
    (root / "train" / "ape").mkdir()
    with pytest.raises(DataError, match="ape holds no image"):
        load_dataset(f"imagefolder:{root}")
    (root / "train" / "ape").rmdir()
    (root / "train" / "cat" / "2.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"2\.png is not a readable image"):
        load_dataset(f"imagefolder:{root}")
    whole = (root / "train" / "cat" / "1.png").read_bytes()
    (root / "train" / "cat" / "2.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"2\.png is not a readable image"):
        load_dataset(f"imagefolder:{root}")
