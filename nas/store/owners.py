"""Processes that own command-line searches, and whether they are alive."""

import os
import socket
from typing import Final

import psutil

_SAME_START_S: Final = 2.0
"""Start times of one process may differ by rounding; a process id is not reused so soon."""


def process_owner() -> str:
    """This process as ``HOST:PID:START``, with its start in seconds since 1970."""
    return f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time():.2f}"


def owner_has_ended(owner: str) -> bool:
    """Whether a process is known to have ended; of another host's nothing is known."""
    host, pid, started_s = owner.rsplit(":", 2)
    if host != socket.gethostname():
        return False
    try:
        process = psutil.Process(int(pid))
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        return bool(abs(process.create_time() - float(started_s)) > _SAME_START_S)
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def owner_name(owner: str) -> str:
    """``HOST:PID``, for messages."""
    return owner.rsplit(":", 1)[0]
