"""Resource limits and sandboxing for worker processes that run untrusted artifacts.

Limits are the kernel's own (``setrlimit``), set by the worker before it imports a runtime. Where
bubblewrap works, the process also has no network, sees no other process, and can write to its own
folder alone.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from hw_profiles.timing_lock import timing_lock_path

try:
    import resource
except ImportError:  # not a POSIX system: no limits
    resource = None  # type: ignore[assignment]

_PACKAGES: Final = Path(__file__).resolve().parent.parent
_PRIVATE: Final = "HWNAS_"
"""Variables that begin so are not the worker's business: addresses of databases, tokens."""
_LIBRARIES_BYTES: Final = 2 << 30
"""Address space of a runtime's code and what its allocator reserves without using it."""
_TRIAL_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessLimits:
    """Resource limits of one process; time is limited by the deadline of each request."""

    memory_bytes: int
    """Of private writable memory; address space may be larger by what libraries take."""
    file_bytes: int = 2 << 30
    """Size of each file that it writes."""
    open_files: int = 256

    @classmethod
    def of_machine(cls) -> "ProcessLimits":
        """Three quarters of the machine's memory."""
        return cls(memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 3 // 4)

    def apply(self) -> None:
        """Sets the limits of this process and all that it starts; they cannot be raised again."""
        if resource is None:
            return
        wanted = (
            (resource.RLIMIT_DATA, self.memory_bytes),
            (resource.RLIMIT_AS, self.memory_bytes + _LIBRARIES_BYTES),
            (resource.RLIMIT_FSIZE, self.file_bytes),
            (resource.RLIMIT_NOFILE, self.open_files),
            (resource.RLIMIT_CORE, 0),
        )
        for kind, most in wanted:
            _, hard = resource.getrlimit(kind)
            bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(kind, (bound, bound))

    def to_json(self) -> str:
        """As an argument of the worker."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "ProcessLimits":
        """Inverse of :meth:`to_json`."""
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """How a worker is confined."""

    limits: ProcessLimits
    writable: Path
    """The one folder that it may write to."""
    readable: tuple[Path, ...] = ()
    """Folders that it reads from, if they lie where temporary files do, which it does not see."""
    bubblewrap: str | None = None
    """The program; None where it does not work here."""

    @property
    def name(self) -> str:
        """``bubblewrap`` or ``limits``: without it the process can reach the network."""
        return "limits" if self.bubblewrap is None else "bubblewrap"

    @classmethod
    def here(cls, writable: Path, *, readable: Sequence[Path] = (), limits: ProcessLimits | None = None) -> Self:
        """With bubblewrap where it works; folders are made."""
        for folder in (writable, *readable):
            folder.mkdir(parents=True, exist_ok=True)
        return cls(
            limits=limits or ProcessLimits.of_machine(),
            writable=writable.resolve(),
            readable=tuple(folder.resolve() for folder in readable),
            bubblewrap=working_bubblewrap(),
        )

    def command(self, command: Sequence[str]) -> list[str]:
        """The command as it is started."""
        if self.bubblewrap is None:
            return list(command)
        lock = timing_lock_path()
        lock.touch(mode=0o600)
        hidden = Path(tempfile.gettempdir()).resolve()
        python = {
            Path(sys.prefix),
            _PACKAGES,
            *(Path(entry).resolve() for entry in sys.path if entry and Path(entry).exists()),
        }
        shown = [folder for folder in (*sorted(python), *self.readable) if hidden in folder.parents]
        return [
            self.bubblewrap, "--unshare-all", "--die-with-parent",
            "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", str(hidden),
            *(word for folder in shown for word in ("--ro-bind", str(folder), str(folder))),
            "--bind", str(self.writable), str(self.writable), "--bind", str(lock), str(lock),
            "--chdir", str(self.writable), "--", *command,
        ]  # fmt: skip

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        """The variables without hwnas's own; the worker is of this very package, wherever it is started."""
        kept = {name: value for name, value in variables.items() if not name.startswith(_PRIVATE)}
        paths = [str(_PACKAGES), *filter(None, [kept.get("PYTHONPATH")])]
        return kept | {"PYTHONPATH": os.pathsep.join(paths)}


def working_bubblewrap() -> str | None:
    """The path of bubblewrap where it is installed and may make namespaces; tried once with an empty command."""
    program = shutil.which("bwrap")
    if program is None:
        return None
    trial = [program, "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--proc", "/proc", "--", "true"]
    try:
        subprocess.run(trial, check=True, capture_output=True, timeout=_TRIAL_S)
    except (OSError, subprocess.SubprocessError):
        return None
    return program
