"""Errors of devices, runtimes and compiled networks."""

from typing import ClassVar

from search_spaces.errors import NasError


class ProfileError(NasError):
    """A device profile that cannot be read or does not fit this machine."""

    code: ClassVar[str] = "device-profile"
    exit_code: ClassVar[int] = 2


class CompileError(NasError):
    """A runtime could not turn a network into an artifact."""

    code: ClassVar[str] = "compile-failed"


class CompileWarning(UserWarning):
    """A warning about a compiled network: it runs, but slower than it could."""


class ArtifactError(NasError):
    """An artifact that cannot be loaded or run."""

    code: ClassVar[str] = "artifact-failed"


class DisagreementError(NasError):
    """An artifact whose outputs are not its network's."""

    code: ClassVar[str] = "outputs-disagree"


class WorkerLostError(NasError):
    """A worker process that died or had to be killed; the next request starts another."""

    code: ClassVar[str] = "worker-lost"

    def __init__(self, message: str, *, timed_out: bool) -> None:
        self.timed_out = timed_out
        super().__init__(message)


class MeasuringError(NasError):
    """Measuring as such is impossible: the anchor fails or no worker starts."""

    code: ClassVar[str] = "measuring-failed"


class DeviceChangedError(MeasuringError):
    """The device is not what it was when the work began: its measurements are not to be mixed."""

    code: ClassVar[str] = "device-changed"
