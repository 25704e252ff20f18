"""Cached scan results of image folders that are too large to decode at every load.

Kept in the home's cache under a name that changes with any file's path, size or time of change.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import PIL

from nas.data.images import Size
from nas.home import Home, write_bytes

_SCHEMA: Final = "hwnas.folder_scan/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderScan:
    """The size and color of the images, which files cannot be read, and the fingerprint of the rest."""

    size: Size
    gray: bool
    skipped: tuple[str, ...]
    """Relative to the folder."""
    fingerprint: str


def scan_path(root: Path, paths: Sequence[Path], settings: Sequence[Any]) -> Path:
    """Where the scan of these files lies; ``settings`` are what else it depends on, as JSON values."""
    digest = hashlib.sha256(json.dumps([_SCHEMA, PIL.__version__, str(root.resolve()), *settings]).encode())
    for path in paths:
        found = path.stat()
        digest.update(json.dumps([str(path.relative_to(root)), found.st_size, found.st_mtime_ns]).encode())
    return Home.from_environment().cache / "imagefolders" / f"{digest.hexdigest()[:32]}.json"


def read_scan(path: Path) -> FolderScan | None:
    """None if there is none, or it cannot be read: then the folder is scanned again."""
    try:
        values = json.loads(path.read_text("utf-8"))
        height, width = values["size"]
        return FolderScan(
            size=(int(height), int(width)),
            gray=bool(values["gray"]),
            skipped=tuple(str(name) for name in values["skipped"]),
            fingerprint=str(values["fingerprint"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_scan(path: Path, scan: FolderScan) -> None:
    """Keeps a scan.

    Raises:
        DiskFullError: if the disk has no space.
    """
    write_bytes(path, json.dumps(asdict(scan)).encode())
