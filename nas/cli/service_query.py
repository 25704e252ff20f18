"""Asks the REST service as a client would: starts it on a free port, queries, stops it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpx

from search_spaces.errors import NasError

_ADDRESS: Final = re.compile(r"http://\S+")


@contextmanager
def running_service() -> Iterator[str]:
    """The address of a service of this home, without a worker; it ends with the context.

    Raises:
        NasError: if the service does not come up.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "nas.cli", "serve", "--port", "0", "--no-worker"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline() if process.stdout is not None else ""
        address = _ADDRESS.search(line)
        if address is None:
            process.kill()
            _, errors = process.communicate()
            raise NasError(f"the service did not start: {errors.strip()[-300:] or 'it printed no error'}")
        yield address.group(0)
    finally:
        process.terminate()
        process.communicate()


def ask_front(address: str, device: str, space: str, max_latency_p95_ms: float) -> tuple[str, dict[str, Any]]:
    """The query's URL and the front that keeps the limit.

    Raises:
        NasError: if the service answers with a problem.
    """
    answer = httpx.get(
        f"{address}/v1/devices/{device}/pareto",
        params={"space": space, "max_latency_p95_ms": f"{max_latency_p95_ms:g}"},
        timeout=30,
    )
    if answer.status_code != httpx.codes.OK:
        raise NasError(f"the service answered {answer.status_code}: {answer.text[:300]}")
    body: dict[str, Any] = answer.json()
    return str(answer.url), body
