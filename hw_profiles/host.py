"""This machine as a host of devices: its name, which is the first part of their ids, and its identity."""

import os
import platform
import re
from pathlib import Path
from typing import Final

from hw_profiles.errors import ProfileError

HOST_VARIABLE: Final = "HWNAS_HOST"
LOCAL_DEVICE: Final = "local-cpu"
"""The host's name where none was given, and on every host an alias of its own name."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def local_host() -> str:
    """The name in ``HWNAS_HOST``, or ``local-cpu``.

    Raises:
        ProfileError: for a name that cannot be part of a device's id.
    """
    name = os.environ.get(HOST_VARIABLE) or LOCAL_DEVICE
    if not _NAME.fullmatch(name):
        raise ProfileError(f"{HOST_VARIABLE} is {name!r}; give up to 64 letters, digits, '.', '_' and '-'.")
    return name


def resolved_device_id(device_id: str) -> str:
    """The id with this host's name in place of ``local-cpu``."""
    device, slash, rest = device_id.partition("/")
    return f"{local_host()}/{rest}" if device == LOCAL_DEVICE and slash else device_id


def machine_id(boot_id: Path = _BOOT_ID) -> str:
    """The same for all processes of a machine that runs, those in containers too; another after it was restarted."""
    try:
        return boot_id.read_text("ascii").strip()
    except OSError:  # not Linux
        return platform.node()
