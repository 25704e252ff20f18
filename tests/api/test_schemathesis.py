"""A small budget of generated requests on every operation, with schemathesis' checks.

One check is left out, ``positive_data_acceptance``: no schema knows which devices, spaces, supernets and data sets are
stored, which page tokens were given out, how large an upload may be, or that two requests shared an idempotency key.
The limit on the time of an answer is above the longest ``wait``.
"""

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nas.jobs.queue import JobKind
from nas.jobs.worker import Handler, StopSignal, run_worker
from tests.api.conftest import Service

PROGRAM = Path(sys.executable).parent / "schemathesis"


@pytest.mark.slow
@pytest.mark.skipif(not PROGRAM.exists() and shutil.which("schemathesis") is None, reason="schemathesis is missing")
def test_no_generated_request_finds_a_fault(service: Service) -> None:
    command = [
        *(str(PROGRAM) if PROGRAM.exists() else "schemathesis", "run", f"{service.url}/openapi.json"),
        *("--checks", "all", "--exclude-checks", "positive_data_acceptance", "--max-examples", "5", "--seed", "1"),
        *("--phases", "examples,coverage,fuzzing", "--no-color", "--request-timeout", "120"),
        *("--max-response-time", "120", "--exclude-path-regex", "/events$"),  # events of a waiting job do not end
    ]
    stop = StopSignal()
    handlers: dict[JobKind, Handler] = {
        "search": lambda _context: {},
        "calibration": lambda _context: {},
        "training": lambda _context: {},
    }
    # Jobs end at once: otherwise each request with `wait` would take its whole time.
    worker = threading.Thread(target=run_worker, args=(service.store, handlers), kwargs={"stop": stop})
    worker.start()
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        stop.drain()
        worker.join()
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
