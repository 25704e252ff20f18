"""Checks an uploaded npz in a process of its own, which can be killed and whose memory is bounded.

``python -m nas.data.npz_check PATH NAME MAX_BYTES`` prints one JSON object: what the file holds, or ``error``.
"""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, Final

from nas.data.dataset import DataError
from nas.data.npz import load_npz

CHECK_S: Final = 300.0
_ROOM: Final = 4
"""Times the bound on the decoded arrays: they are copied while they are checked, and libraries need memory, too."""


def checked_npz(path: Path, *, name: str, max_decoded_bytes: int) -> dict[str, Any]:
    """What a file holds (``task``, ``classes``, ``images_train``, ``images_test``, ``fingerprint``).

    The checks are those of ``--data npz:``. Arrays may take ``max_decoded_bytes`` in all once decompressed.

    Raises:
        DataError: one sentence, if it is no data set, is too large, or takes too long.
    """
    command = [sys.executable, "-m", "nas.data.npz_check", str(path), name, str(max_decoded_bytes)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=CHECK_S)
    except subprocess.TimeoutExpired as error:
        raise DataError(f"{name}: it could not be checked within {CHECK_S:g} s; give fewer images.") from error
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        reason = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        raise DataError(f"{name}: the process that checked it ended with {reason}; give fewer images.") from error
    if "error" in found:
        raise DataError(found["error"])
    return found


def _check(path: Path, name: str, max_decoded_bytes: int) -> dict[str, Any]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            decoded = sum(entry.file_size for entry in archive.infolist())
        if decoded > max_decoded_bytes:
            raise DataError(
                f"{name}: its arrays take {decoded:,} bytes decompressed; at most {max_decoded_bytes:,} are allowed."
            )
    dataset = load_npz(path, name=name)
    return {
        "task": dataset.task.as_json(),
        "classes": list(dataset.classes),
        "images_train": len(dataset.x_train),
        "images_test": len(dataset.x_test),
        "fingerprint": dataset.fingerprint,
    }


def _bound_memory(max_decoded_bytes: int) -> None:
    if sys.platform == "linux":
        import resource  # noqa: PLC0415 - not on every system

        most = _ROOM * max_decoded_bytes + (2 << 30)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main() -> None:
    """Prints the result."""
    path, name, max_decoded_bytes = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    _bound_memory(max_decoded_bytes)
    try:
        found = _check(path, name, max_decoded_bytes)
    except DataError as error:
        # The path is the service's own affair.
        found = {"error": str(error).replace(str(path), name)}
    except MemoryError:
        found = {"error": f"{name}: it does not fit in memory; give fewer or smaller images."}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
