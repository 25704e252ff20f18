"""Uploads of artifacts compiled on a device; part of the cache."""

from pathlib import Path
from typing import Final

from nas.home import Home
from search_spaces.errors import UsageError

MAX_ARTIFACT_BYTES: Final = 1 << 30


def upload_path(home: Home, task: tuple[int, int]) -> Path:
    """Where the artifact of a task, (number, fence), is put together."""
    number, fence = task
    return home.cache / "agent-artifacts" / f"{number}-{fence}"


def write_part(home: Home, task: tuple[int, int], offset: int, content: bytes) -> None:
    """Writes a part; the same part twice is harmless.

    Raises:
        UsageError: for a part that leaves a gap before it.
    """
    path = upload_path(home, task)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("r+b" if path.exists() else "w+b") as file:
        size = file.seek(0, 2)
        if offset > size or offset + len(content) > MAX_ARTIFACT_BYTES:
            raise UsageError(f"a part at {offset} does not follow the {size} bytes that came before it.")
        file.seek(offset)
        file.write(content)
        file.truncate()
