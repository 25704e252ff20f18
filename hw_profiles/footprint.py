"""Footprint of an artifact in a process: load time and peak memory.

Both are taken in the measuring worker, which has imported the runtime and run another
network before: a device that switches models pays this, and it tells candidates apart. A
process that starts from nothing pays the runtime's own imports and code pages on top.

Memory is the rise of the process's resident set from before the load to its highest point
while loading and running once (``VmHWM`` of ``/proc/self/status``, reset through
``/proc/self/clear_refs``). It counts weights, activations, the runtime's structures and the
pages of the artifact itself. The figure of the operator list (``peak_activation_bytes`` in
:mod:`search_spaces.facts`) is another one: what the largest single operator reads and writes,
without shortcuts that stay in memory meanwhile, weights and runtime. Limits: Linux alone; the
kernel counts pages in batches, so that a single reading is off by up to some 100 kB; what fits
into gaps of memory that was freed before is not seen, for which reason free memory is given back
first where the C library can.
"""

import ctypes
import os
import shutil
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hw_profiles.onnx_graph import FloatArray
from hw_profiles.profile import DeviceProfile
from hw_profiles.runtimes.protocol import Executable, Runtime

_MOST_LOADS: Final = 3
_BUDGET_S: Final = 0.04
"""For the loads after the first, which has to be anyway."""

_STATUS: Final = Path("/proc/self/status")
_CLEAR_REFS: Final = Path("/proc/self/clear_refs")
_RESET_PEAK: Final = "5"


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Medians over up to three fresh loads."""

    load_time_ms: float
    """From the artifact on disk, in the page cache, to a network that is ready to run."""
    peak_memory_bytes: int | None
    """Memory that loading and running once adds to the process at its peak; None if the system does not tell."""


def measure_footprint(
    runtime: Runtime, profile: DeviceProfile, artifact: Path, image: FloatArray
) -> tuple[Footprint, Executable]:
    """Loads copies of an artifact and runs each once.

    A copy, since systems share a library that is loaded already.

    Args:
        runtime: prepared; it should have run a network before, or its own first use is counted in.
        profile: the artifact's.
        artifact: the file.
        image: one input (1, C, H, W).

    Returns:
        The footprint and the network loaded last.

    Raises:
        ArtifactError: if the artifact cannot be loaded or run.
    """
    loads_ms: list[float] = []
    peaks_bytes: list[int] = []
    with tempfile.TemporaryDirectory(prefix="hwnas-") as scratch:
        start_s = time.perf_counter()
        for number in range(_MOST_LOADS):
            copy = Path(scratch) / f"{number}{runtime.artifact_suffix}"
            shutil.copyfile(artifact, copy)
            executable: Executable | None = None  # the one before is gone before memory is counted
            runtime.release_memory()
            before_bytes = _reset_peak()
            load_s = time.perf_counter()
            executable = runtime.load(copy, profile)
            now_s = time.perf_counter()
            loads_ms.append((now_s - load_s) * 1e3)
            executable.run(image)
            if before_bytes is not None:
                peaks_bytes.append(max(_status_bytes("VmHWM") - before_bytes, 0))
            if number == 0:
                start_s = time.perf_counter()
            spent_s = time.perf_counter() - start_s
            if spent_s + (now_s - load_s) > _BUDGET_S:
                break
    assert executable is not None  # at least one load succeeded
    return (
        Footprint(
            load_time_ms=statistics.median(loads_ms),
            peak_memory_bytes=int(statistics.median(peaks_bytes)) if peaks_bytes else None,
        ),
        executable,
    )


def _reset_peak() -> int | None:
    """Resident bytes, from which the peak counts anew; None where the system does not count."""
    if not (_STATUS.exists() and os.access(_CLEAR_REFS, os.W_OK)):
        return None
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; other C libraries do without
    if trim is not None:
        trim(0)
    try:
        _CLEAR_REFS.write_text(_RESET_PEAK, "ascii")
    except OSError:  # refused by some sandboxes
        return None
    return _status_bytes("VmRSS")


def _status_bytes(name: str) -> int:
    for line in _STATUS.read_text("ascii", "replace").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0
