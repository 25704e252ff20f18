"""Uploads in parts: what arrived is kept, what is whole is checked, what is no data set is refused."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from nas.data.dataset import DataError
from nas.data.sources import load_dataset
from nas.data_uploads import (
    DataUploads,
    TooManyBytesError,
    UploadBusyError,
    UploadEndedError,
    UploadTooLargeError,
    WrongDigestError,
    WrongOffsetError,
)
from nas.home import Home
from nas.jobs.deletion import Deletions
from nas.store import Store
from nas.store.data_sets import NewDataSet, StoredDataSet
from nas.store.errors import NotStoredError
from search_spaces.errors import UsageError
from tests.npz_files import bomb_bytes, npz_bytes

WHOLE = npz_bytes()
LIMIT = 4 << 20


@dataclass(frozen=True, slots=True)
class Kept:
    store: Store
    home: Home
    uploads: DataUploads

    def begin(self, content: bytes, name: str = "flowers", sha256: str | None = None) -> StoredDataSet:
        digest = sha256 or hashlib.sha256(content).hexdigest()
        return self.uploads.begin(NewDataSet(name=name, size_bytes=len(content), sha256=digest))[0]

    def send(self, data_set: StoredDataSet, content: bytes) -> StoredDataSet:
        """From where the upload is, and finishes it if it is whole."""
        with self.uploads.append(data_set, self.uploads.offset(data_set)) as appending:
            appending.write(content)
            appending.sync()
            return self.uploads.finish(appending) if appending.is_whole else data_set


@pytest.fixture
def kept(store: Store, tmp_path: Path) -> Kept:
    home = Home(tmp_path / "home")
    return Kept(store, home, DataUploads(store, home, max_bytes=LIMIT))


def test_a_file_that_arrives_in_parts_is_a_data_set_once_it_is_whole(kept: Kept) -> None:
    data_set = kept.begin(WHOLE)
    for start in range(0, len(WHOLE), 3000):
        assert kept.uploads.offset(data_set) == start
        found = kept.send(data_set, WHOLE[start : start + 3000])
    assert found.state == "ready"
    assert found.contents is not None
    path = kept.home.data_set_file(found.id, "flowers")
    assert path.read_bytes() == WHOLE
    dataset = load_dataset(f"npz:{path}")
    assert (dataset.name, dataset.fingerprint) == ("npz:flowers.npz", found.contents.fingerprint)
    assert (found.contents.task, found.contents.images_train, found.contents.images_test) == (dataset.task, 40, 12)
    assert kept.store.data_sets.get(found.id) == found
    assert kept.uploads.offset(found) == len(WHOLE)
    with pytest.raises(UploadEndedError, match="ready"):
        kept.uploads.append(found, len(WHOLE))


def test_the_same_file_goes_on_with_its_upload(kept: Kept) -> None:
    first = kept.begin(WHOLE)
    kept.send(first, WHOLE[:100])
    assert kept.begin(WHOLE) == first
    assert kept.begin(WHOLE, name="other").id != first.id
    assert kept.uploads.begin(NewDataSet(name="flowers", size_bytes=len(WHOLE), sha256=first.sha256), tenant="a")[1]


def test_bytes_that_do_not_follow_are_refused(kept: Kept) -> None:
    data_set = kept.begin(WHOLE)
    kept.send(data_set, WHOLE[:100])
    for offset in (0, 99, 101):
        with pytest.raises(WrongOffsetError) as caught:
            kept.uploads.append(data_set, offset)
        assert caught.value.offset == 100
    with kept.uploads.append(data_set, 100), pytest.raises(UploadBusyError):
        kept.uploads.append(data_set, 100)


def test_no_more_bytes_are_kept_than_were_announced(kept: Kept) -> None:
    data_set = kept.begin(WHOLE)
    with kept.uploads.append(data_set, 0) as appending:
        with pytest.raises(TooManyBytesError):
            appending.write(WHOLE + b"more")
        assert kept.uploads.finish(appending).state == "ready"


def test_other_bytes_than_announced_start_again(kept: Kept) -> None:
    data_set = kept.begin(WHOLE)
    with pytest.raises(WrongDigestError):
        kept.send(data_set, bytes(len(WHOLE)))
    assert kept.uploads.offset(data_set) == 0
    assert kept.send(data_set, WHOLE).state == "ready"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no npz at all", "not a complete npz file"),
        (WHOLE[:-100], "not a complete npz file"),
        (npz_bytes(y_train=np.array([object()] * 40)), "never loaded"),
        (npz_bytes(x_train=np.zeros((40, 28, 28), np.float32)), "must be uint8"),
        (bomb_bytes(5 * LIMIT), "decompressed; at most"),
    ],
)
def test_what_is_no_data_set_is_refused_for_good(kept: Kept, content: bytes, reason: str) -> None:
    data_set = kept.begin(content)
    with pytest.raises(DataError, match=reason):
        kept.send(data_set, content)
    found = kept.store.data_sets.get(data_set.id)
    assert found.state == "refused"
    assert found.error is not None
    assert reason in found.error
    assert str(kept.home.root) not in found.error
    assert list((kept.home.data_sets / data_set.id).iterdir()) == []
    assert kept.begin(content).id != data_set.id


def test_files_beyond_the_limit_are_refused_before_they_are_sent(kept: Kept) -> None:
    with pytest.raises(UploadTooLargeError, match="4,194,304"):
        kept.uploads.begin(NewDataSet(name="x", size_bytes=LIMIT + 1, sha256="a" * 64))


def test_a_crash_between_the_file_and_its_row_costs_nothing(kept: Kept) -> None:
    data_set = kept.begin(WHOLE)
    target = kept.home.data_set_file(data_set.id, data_set.name)
    target.parent.mkdir(parents=True)
    target.write_bytes(WHOLE)
    assert kept.uploads.offset(data_set) == len(WHOLE)
    assert kept.send(data_set, b"").state == "ready"


def test_a_data_set_that_is_deleted_meanwhile_is_said_to_be(kept: Kept) -> None:
    data_set = kept.begin(WHOLE)
    with kept.uploads.append(data_set, 0) as appending:
        appending.write(WHOLE)
        Deletions(kept.store, kept.home).data_set(data_set.id)
        with pytest.raises(NotStoredError):
            kept.uploads.finish(appending)
    assert not (kept.home.data_sets / data_set.id).exists()


def test_a_file_of_this_machine_is_added_once(kept: Kept, tmp_path: Path) -> None:
    path = tmp_path / "flowers.npz"
    path.write_bytes(WHOLE)
    added = kept.uploads.add(path, name="flowers")
    assert added.state == "ready"
    assert kept.uploads.add(path, name="flowers") == added
    with pytest.raises(UsageError, match="cannot name"):
        kept.uploads.add(path, name="../x")


def test_a_request_that_comes_while_the_file_is_put_in_its_place_waits(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It opened the file before, and has its lock after."""
    data_set = kept.begin(WHOLE)
    kept.send(data_set, WHOLE[:-1])

    def finish_first(*_lock: object) -> None:
        monkeypatch.undo()
        part = kept.home.data_sets / data_set.id / "upload.part"
        part.replace(kept.home.data_set_file(data_set.id, data_set.name))

    monkeypatch.setattr("nas.data_uploads.fcntl.flock", finish_first)
    with pytest.raises(UploadBusyError):
        kept.uploads.append(data_set, len(WHOLE) - 1)
