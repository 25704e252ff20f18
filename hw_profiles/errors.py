"""What can go wrong with a device, a runtime or a compiled network."""

from typing import ClassVar

from search_spaces.errors import NasError


class ProfileError(NasError):
    """A device profile that cannot be read or does not fit this machine."""

    code: ClassVar[str] = "device-profile"
    exit_code: ClassVar[int] = 2


class CompileError(NasError):
    """A runtime could not turn a network into an artifact."""

    code: ClassVar[str] = "compile-failed"


class ArtifactError(NasError):
    """An artifact that cannot be loaded or run."""

    code: ClassVar[str] = "artifact-failed"


class MeasuringError(NasError):
    """Measuring as such is impossible: the anchor fails or no worker starts."""

    code: ClassVar[str] = "measuring-failed"
