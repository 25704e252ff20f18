"""The state directory of hwnas, and atomic writes into it.

Everything lives under ``HWNAS_HOME`` (default: the platform's user data directory).
Files are written to a temporary name beside their place and renamed, so that a reader
sees the old file or the new one and never half of one.
"""

import errno
import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import platformdirs

from nas.output_paths import check_output_folder
from search_spaces.errors import NasError

HOME_VARIABLE = "HWNAS_HOME"


class DiskFullError(NasError):
    """No space left where a file should go."""

    code: ClassVar[str] = "disk-full"


@dataclass(frozen=True, slots=True)
class Home:
    """The state directory and the places in it."""

    root: Path

    @classmethod
    def from_environment(cls) -> "Home":
        """``HWNAS_HOME``, or the platform's default.

        Raises:
            UsageError: if it cannot be a folder, since a file is in the way.
        """
        configured = os.environ.get(HOME_VARIABLE)
        root = Path(configured).expanduser() if configured else platformdirs.user_data_path("hwnas")
        check_output_folder(root, HOME_VARIABLE)
        return cls(root)

    @property
    def database_url(self) -> str:
        """``HWNAS_DATABASE_URL``, or a SQLite file in the home."""
        return os.environ.get("HWNAS_DATABASE_URL") or f"sqlite:///{self.root / 'hwnas.db'}"

    @property
    def identity(self) -> str:
        """The same on every host that has this folder as its home; made when it is first asked for."""
        path = self.root / "home.id"
        if not path.exists():
            made = self.root / f".home.id.{uuid.uuid4().hex}"
            made.write_text(uuid.uuid4().hex, "ascii")
            try:
                path.hardlink_to(made)  # unless another process was first
            except FileExistsError:
                pass
            except OSError:  # a file system without hard links
                made.replace(path)
            made.unlink(missing_ok=True)
        return path.read_text("ascii").strip()

    @property
    def artifacts(self) -> Path:
        """Content-addressed files: ``ab/abcd…`` by SHA-256."""
        return self.root / "artifacts"

    @property
    def supernets(self) -> Path:
        """Trained supernets and their checkpoints, one folder each."""
        return self.root / "supernets"

    @property
    def data_sets(self) -> Path:
        """Uploaded data sets, one folder each."""
        return self.root / "data_sets"

    def data_set_file(self, data_set_id: str, name: str) -> Path:
        """The file of a data set; its own name is what fronts and supernets show."""
        return self.data_sets / data_set_id / f"{name}.npz"

    @property
    def predictors(self) -> Path:
        """Immutable predictor revisions, one folder each."""
        return self.root / "predictors"

    @property
    def measurement_tables(self) -> Path:
        """Imported measurement tables, one file each, named by the SHA-256 of its content."""
        return self.root / "measurement_tables"

    @property
    def calibrations(self) -> Path:
        """Plots of calibrations, one folder per device."""
        return self.root / "calibrations"

    @property
    def cache(self) -> Path:
        """What can be deleted at any time and is made again."""
        return self.root / "cache"


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Lets ``write`` fill a temporary file, then renames it to ``path``.

    Raises:
        DiskFullError: if the disk has no space; ``path`` is as it was before.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskFullError(f"no space left to write {path}; free some space and run the command again.") from error


def write_bytes(path: Path, content: bytes) -> None:
    """Writes bytes atomically; errors as :func:`write_atomically`."""

    def fill(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_atomically(path, fill)


def copy_file(source: Path, target: Path) -> None:
    """Copies a file atomically; errors as :func:`write_atomically`."""

    def fill(temporary: Path) -> None:
        shutil.copyfile(source, temporary)

    write_atomically(target, fill)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
