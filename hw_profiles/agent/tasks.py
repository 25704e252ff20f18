"""Task and report documents, which the service and its agents exchange.

A task is sent as the exact bytes that were signed, so that nothing depends on how either side
writes JSON.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

from hw_profiles.agreement import Agreement
from hw_profiles.bench import BenchFailure, Classes, Timing, agreement_from_json
from hw_profiles.errors import MeasuringError, ProfileError
from hw_profiles.measuring_settings import MeasuringSettings
from hw_profiles.network_files import NetworkFiles
from hw_profiles.profile import DeviceProfile

PROTOCOL: Final = 2
"""Raised whenever an agent of another version could misunderstand a task or report."""

TaskKind = Literal["compile", "check", "time", "classify"]
Role = Literal["onnx", "reference", "artifact", "images"]
FaultCode = Literal["bench", "device-changed", "file-refused", "agent-lost"]
"""``bench``: no worker starts, or the disk fails. ``file-refused``: gone, truncated, or not what was signed."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_SUFFIX: Final = re.compile(r"(\.[a-z0-9_]{1,16}){0,3}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class TaskError(MeasuringError):
    """A task or report that is not what the protocol says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFile:
    """A file of a network, identified by its content."""

    sha256: str
    size_bytes: int
    suffix: str
    """Ending of its name, with the dot: runtimes go by it."""

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "TaskFile":
        """Inverse of ``asdict``.

        Raises:
            TaskError: if a field is missing or cannot be.
        """
        sha256, size_bytes, suffix = row.get("sha256"), row.get("size_bytes"), row.get("suffix")
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            raise TaskError("a file of the task has no SHA-256.")
        if not isinstance(suffix, str) or not _SUFFIX.fullmatch(suffix):
            raise TaskError(f"a file of the task has the ending {suffix!r}.")
        if not isinstance(size_bytes, int) or isinstance(size_bytes, bool) or size_bytes < 0:
            raise TaskError(f"a file of the task has the size {size_bytes!r}.")
        return cls(sha256=sha256, size_bytes=size_bytes, suffix=suffix)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskNetwork:
    """A network: its files by role, and what its artifact must reproduce."""

    name: str
    quantized: bool
    files: Mapping[Role, TaskFile]
    tolerances: Mapping[str, float | None]
    """``NetworkFiles``'s, by field."""

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "TaskNetwork":
        """Inverse of ``asdict``.

        Raises:
            TaskError: if a field is missing or cannot be.
        """
        try:
            name, quantized, files, tolerances = row["name"], row["quantized"], row["files"], row["tolerances"]
            wrong = files.keys() - set(get_args(Role)) or tolerances.keys() ^ set(TOLERANCES)
        except (KeyError, AttributeError, TypeError) as error:
            raise TaskError("a network of the task lacks a field.") from error
        if wrong or not isinstance(name, str) or not _NAME.fullmatch(name) or not isinstance(quantized, bool):
            raise TaskError("a network of the task has a wrong name, file or tolerance.")
        if not all(value is None or isinstance(value, int | float) for value in tolerances.values()):
            raise TaskError("a tolerance of the task is not a number.")
        parsed = {cast("Role", role): TaskFile.from_json(file) for role, file in files.items()}
        return cls(name=name, quantized=quantized, files=parsed, tolerances=dict(tolerances))

    def at(self, paths: Mapping[Role, Path]) -> NetworkFiles:
        """The network's files where they lie here; a role that is not among them must not be needed."""
        nowhere = Path("not-sent")
        return NetworkFiles(
            name=self.name,
            onnx=paths.get("onnx", nowhere),
            quantized=self.quantized,
            reference=paths.get("reference", nowhere),
            **cast("dict[str, Any]", dict(self.tolerances)),
        )


TOLERANCES: Final = (
    "relative_tolerance",
    "quantized_tolerance",
    "quantized_median_tolerance",
    "min_top1_agreement",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTask:
    """One measurement, or a part of it: compile, check, check and time, or classify images with one network."""

    number: int
    fence: int
    """Grows each time that the task is given out; goes with every report."""
    agent: str
    """Id of the agent that it is for."""
    kind: TaskKind
    profile: DeviceProfile
    settings: MeasuringSettings
    network: TaskNetwork
    anchor: TaskNetwork | None = None
    fresh: bool = False
    lease_s: float = 30.0
    """The service must hear of the agent more often than this."""

    def to_bytes(self) -> bytes:
        """The document that is signed."""
        row: dict[str, Any] = {
            "number": self.number,
            "fence": self.fence,
            "agent": self.agent,
            "kind": self.kind,
            "profile": self.profile.as_json(),
            "settings": self.settings.as_json(),
            "network": asdict(self.network),
            "anchor": None if self.anchor is None else asdict(self.anchor),
            "fresh": self.fresh,
            "lease_s": self.lease_s,
        }
        return json.dumps(row, sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, body: bytes) -> "AgentTask":
        """Inverse of :meth:`to_bytes`; the caller has checked the signature.

        Raises:
            TaskError: if it is no task.
        """
        try:
            row = json.loads(body)
            if row["kind"] not in get_args(TaskKind):
                raise TaskError(f"a task of the kind {row['kind']!r} is not known; upgrade the agent.")
            return cls(
                number=int(row["number"]),
                fence=int(row["fence"]),
                agent=str(row["agent"]),
                kind=row["kind"],
                profile=DeviceProfile.from_json(row["profile"], source="the task's profile"),
                settings=MeasuringSettings.from_json(row["settings"]),
                network=TaskNetwork.from_json(row["network"]),
                anchor=None if row["anchor"] is None else TaskNetwork.from_json(row["anchor"]),
                fresh=bool(row["fresh"]),
                lease_s=float(row["lease_s"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, ProfileError) as error:
            raise TaskError(f"the service sent an invalid task: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltArtifact:
    """The result of compiling; its bytes were uploaded to the service, or are one of the task's own files."""

    sha256: str
    size_bytes: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why a task has no outcome, for a reason other than its network."""

    code: FaultCode
    message: str


Outcome = Timing | Agreement | Classes | BuiltArtifact | BenchFailure | Fault

_KINDS: Final[Mapping[str, type[Outcome]]] = {
    "timing": Timing,
    "agreement": Agreement,
    "classes": Classes,
    "artifact": BuiltArtifact,
    "failure": BenchFailure,
    "fault": Fault,
}


def outcome_as_json(outcome: Outcome) -> dict[str, Any]:
    """An outcome as a JSON object with one member, named after what it is."""
    name = next(name for name, kind in _KINDS.items() if isinstance(outcome, kind))
    return {name: asdict(outcome)}


def outcome_from_json(row: Mapping[str, Any]) -> Outcome:
    """Inverse of :func:`outcome_as_json`.

    Raises:
        MeasuringError: if it is none.
    """
    if len(row) != 1 or not row.keys() <= _KINDS.keys():
        raise TaskError(f"a report has one of {', '.join(_KINDS)}, not {', '.join(map(str, row)) or 'nothing'}.")
    ((name, found),) = row.items()
    if not isinstance(found, Mapping):
        raise TaskError(f"the report's {name} is not an object.")
    if name == "timing":
        return Timing.from_json(found)
    if name == "agreement":
        return agreement_from_json(found)
    if name == "classes":
        return Classes.from_json(found)
    if name == "failure":
        return BenchFailure.from_json(found)
    if name == "artifact":
        return _artifact(found)
    if found.get("code") not in get_args(FaultCode) or not isinstance(found.get("message"), str):
        raise TaskError("a reported fault has no known code or no message.")
    return Fault(code=found["code"], message=found["message"][:2000])


def _artifact(row: Mapping[str, Any]) -> BuiltArtifact:
    file = TaskFile.from_json({"suffix": ""} | dict(row))
    warnings: Sequence[Any] = row.get("warnings", ())
    if not isinstance(warnings, list | tuple):
        raise TaskError("a reported artifact's warnings are not a list.")
    return BuiltArtifact(
        sha256=file.sha256, size_bytes=file.size_bytes, warnings=tuple(str(warning)[:500] for warning in warnings[:20])
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentDescription:
    """What an agent reports about itself when it registers."""

    protocol: int
    version: str
    """Of hwnas."""
    installation: str
    """Random, kept in the agent's folder: tells a restarted agent from a second one of the same name."""
    confinement: str
    """``bubblewrap`` or ``limits``."""
    profiles: tuple[DeviceProfile, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """Every field as a JSON object."""
        return {
            "protocol": self.protocol,
            "version": self.version,
            "installation": self.installation,
            "confinement": self.confinement,
            "profiles": [profile.as_json() for profile in self.profiles],
        }
