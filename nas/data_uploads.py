"""Uploads of data sets: bytes arrive in order, in as many requests as it takes, and count once they are whole.

A file that is being uploaded lies beside its final place; its length is how far the upload is, so that a crash
loses nothing that was acknowledged. Its hash and its contents are checked before it is renamed to its place.
"""

import errno
import fcntl
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Final, Self

from nas.data.dataset import DataError
from nas.data.npz_check import checked_npz
from nas.home import DiskFullError, Home, sha256_of
from nas.jobs.quotas import NO_KEY, KeyHolder, require_upload_quota
from nas.store import Store
from nas.store.audit import Change
from nas.store.data_sets import DataSetContents, NewDataSet, StoredDataSet, Uploader
from nas.store.errors import NotStoredError
from search_spaces.errors import NasError, UsageError

MIB: Final = 1 << 20
DEFAULT_MAX_UPLOAD_BYTES: Final = 1024 * MIB
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
PART_FILE: Final = "upload.part"
_CHECKS: Final = 2
"""Files that are checked at once: each check takes memory."""
_DECODED: Final = 4
"""Times as many bytes may a file have once it is decompressed."""


class UploadTooLargeError(NasError):
    """The file is larger than this service takes."""

    code: ClassVar[str] = "upload-too-large"

    def __init__(self, size_bytes: int, max_bytes: int) -> None:
        super().__init__(f"the file has {size_bytes:,} bytes, and files of at most {max_bytes:,} bytes are taken.")


class UploadBusyError(NasError):
    """Another request sends bytes of the same data set."""

    code: ClassVar[str] = "upload-busy"

    def __init__(self, data_set_id: str) -> None:
        super().__init__(f"another request sends bytes of data set {data_set_id}; continue when it has ended.")


class UploadEndedError(NasError):
    """The data set takes no more bytes."""

    code: ClassVar[str] = "upload-ended"

    def __init__(self, data_set: StoredDataSet) -> None:
        super().__init__(f"data set {data_set.id} is {data_set.state} and takes no more bytes.")


class WrongOffsetError(NasError):
    """The bytes do not follow those that are there."""

    code: ClassVar[str] = "wrong-offset"

    def __init__(self, asked: int, offset: int) -> None:
        self.offset = offset
        super().__init__(f"{offset} bytes are there, and the request starts at {asked}; continue at {offset}.")


class TooManyBytesError(NasError):
    """More bytes came than were announced."""

    code: ClassVar[str] = "too-many-bytes"

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"the data set was announced with {size_bytes:,} bytes, and more came; none beyond were kept.")


class WrongDigestError(NasError):
    """The bytes are not those that were announced."""

    code: ClassVar[str] = "wrong-digest"

    def __init__(self, announced: str, found: str) -> None:
        super().__init__(
            f"the bytes have the SHA-256 {found}, and {announced} was announced; they were dropped: send them again."
        )


class Appending:
    """One request's bytes on their way to the file, which it holds until it is closed."""

    def __init__(self, data_set: StoredDataSet, file: FileIO) -> None:
        self.data_set = data_set
        self._file = file

    def write(self, data: bytes) -> None:
        """Appends bytes, which are kept from now on.

        Raises:
            TooManyBytesError: if they are more than announced; those beyond are not kept.
            DiskFullError: if the disk has no space.
        """
        kept = memoryview(data)[: self.data_set.size_bytes - self._file.tell()]
        excess = len(data) - len(kept)
        with _said_when_full(self.data_set):
            while kept:
                kept = kept[self._file.write(kept) :]
        if excess:
            raise TooManyBytesError(self.data_set.size_bytes)

    def sync(self) -> None:
        """Returns once the disk has the bytes."""
        with _said_when_full(self.data_set):
            os.fsync(self._file.fileno())

    def start_again(self) -> None:
        """Drops the bytes."""
        self._file.truncate(0)
        self._file.seek(0)

    @property
    def is_whole(self) -> bool:
        """Whether every byte is there."""
        return self._file.tell() == self.data_set.size_bytes

    def close(self) -> None:
        """Lets other requests continue."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class DataUploads:
    """The uploads of one store and home."""

    def __init__(self, store: Store, home: Home, *, max_bytes: int = DEFAULT_MAX_UPLOAD_BYTES) -> None:
        """Files of up to ``max_bytes`` are taken; decompressed, they may have four times as many."""
        self._store = store
        self._home = home
        self._max_bytes = max_bytes
        self._checks = threading.BoundedSemaphore(_CHECKS)

    def begin(
        self,
        new: NewDataSet,
        *,
        tenant: str | None = None,
        holder: KeyHolder = NO_KEY,
        change: Change | None = None,
    ) -> tuple[StoredDataSet, bool]:
        """Announces an upload, or finds the one of the same file; returns it, and whether it is new.

        Raises:
            UploadTooLargeError: for more bytes than are taken.
            QuotaExceededError: if the key may begin no upload now.
        """
        if new.size_bytes > self._max_bytes:
            raise UploadTooLargeError(new.size_bytes, self._max_bytes)
        return self._store.data_sets.begin(
            new,
            uploader=Uploader(tenant=tenant, api_key_id=holder.key_id),
            change=change,
            admit=lambda session: require_upload_quota(session, holder),
        )

    def add(self, path: Path, *, name: str) -> StoredDataSet:
        """Copies and checks a file of this machine; one that is stored under this name already is found.

        Raises:
            UsageError: for a name that cannot be a file's.
            DataError: if the file cannot be read or is no data set.
        """
        if not NAME.fullmatch(name):
            raise UsageError(f"{name!r} cannot name a data set; give up to 100 letters, digits, '.', '_' and '-'.")
        if not path.is_file():
            raise DataError(f"{path} is not a file; give the path of an npz file.")
        new = NewDataSet(name=name, size_bytes=path.stat().st_size, sha256=sha256_of(path))
        data_set, _ = self.begin(new)
        if data_set.state == "ready":
            return data_set
        offset = self.offset(data_set)
        with self.append(data_set, offset) as appending, path.open("rb") as file:
            file.seek(offset)
            while data := file.read(MIB):
                appending.write(data)
            appending.sync()
            return self.finish(appending)

    def offset(self, data_set: StoredDataSet) -> int:
        """How many bytes of it are there."""
        if data_set.state == "ready":
            return data_set.size_bytes
        for path in (self._part(data_set), self._home.data_set_file(data_set.id, data_set.name)):
            if path.is_file():
                return path.stat().st_size
        return 0

    def append(self, data_set: StoredDataSet, offset: int) -> Appending:
        """Takes bytes from an offset on; a context manager.

        Raises:
            UploadEndedError: if the data set takes no more.
            UploadBusyError: if another request sends some.
            WrongOffsetError: if the offset is not where the bytes end.
        """
        if data_set.state != "uploading":
            raise UploadEndedError(data_set)
        path, target = self._part(data_set), self._home.data_set_file(data_set.id, data_set.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if target.is_file() and not path.is_file():  # a crash came between the file and its row
            target.replace(path)
        file = path.open("ab", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _is_at(file, path):  # another request has just put it in its place
                raise BlockingIOError
            if file.tell() != offset:
                raise WrongOffsetError(offset, file.tell())
        except BlockingIOError as error:
            file.close()
            raise UploadBusyError(data_set.id) from error
        except WrongOffsetError:
            file.close()
            raise
        return Appending(data_set, file)

    def finish(self, appending: Appending, *, change: Change | None = None) -> StoredDataSet:
        """Checks a whole file and puts it in its place, while it is being appended to.

        Raises:
            WrongDigestError: if the bytes are not those that were announced; the upload starts again.
            DataError: if they are no data set; it is refused for good.
            NotStoredError: if it was deleted meanwhile.
        """
        data_set, part = appending.data_set, self._part(appending.data_set)
        target = self._home.data_set_file(data_set.id, data_set.name)
        try:
            digest = sha256_of(part)
            if digest != data_set.sha256:
                appending.start_again()
                raise WrongDigestError(data_set.sha256, digest)
            with self._checks:
                found = checked_npz(part, name=f"npz:{target.name}", max_decoded_bytes=_DECODED * self._max_bytes)
            part.chmod(0o644)
            part.replace(target)
        except DataError as error:
            self._store.data_sets.mark_refused(data_set.id, str(error))
            part.unlink(missing_ok=True)
            raise
        except FileNotFoundError as error:
            raise NotStoredError("data set", data_set.id) from error
        return self._store.data_sets.mark_ready(data_set.id, DataSetContents.from_json(found), change=change)

    def _part(self, data_set: StoredDataSet) -> Path:
        return self._home.data_sets / data_set.id / PART_FILE


def _is_at(file: FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def _said_when_full(data_set: StoredDataSet) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskFullError(f"no space left for data set {data_set.id}; continue once there is some.") from error
