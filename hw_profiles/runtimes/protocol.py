"""What a runtime must offer to be a device's runtime."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hw_profiles.network_files import NetworkFiles
from hw_profiles.profile import DeviceProfile, Execution, Precision

FloatArray = NDArray[np.float32]


class Executable(Protocol):
    """A loaded artifact, ready to run."""

    def run(self, image: FloatArray) -> FloatArray:
        """Outputs (1, classes) of one input (1, C, H, W), both float32.

        Raises:
            ArtifactError: where the artifact does not take the input.
        """
        ...

    def time(self, image: FloatArray, *, calls: int) -> list[float]:
        """Milliseconds of each of ``calls`` single invocations, one after the other.

        The input already lies in the runtime's memory; pre-processing and copying are not timed.
        """
        ...


class Runtime(Protocol):
    """Turns networks into artifacts for a profile and runs them."""

    @property
    def name(self) -> str:
        """The last part of a profile's id."""
        ...

    @property
    def version(self) -> str:
        """Version of the runtime and of the recipe that compiles with it."""
        ...

    @property
    def artifact_suffix(self) -> str:
        """File name ending of an artifact, with its dot."""
        ...

    def precisions(self, isa: tuple[str, ...]) -> Mapping[Precision, Execution]:
        """How its kernels execute each precision on a processor with these instruction sets."""
        ...

    def prepare(self) -> None:
        """Imports what compiling and running need, so that no candidate's time holds it."""
        ...

    def compile(self, files: NetworkFiles, profile: DeviceProfile, folder: Path) -> Path:
        """Compiles into ``folder`` and returns the artifact: one self-contained file.

        Raises:
            CompileError: where the network cannot be read, compiled or written.
        """
        ...

    def load(self, artifact: Path, profile: DeviceProfile) -> Executable:
        """Loads an artifact with the profile's threads.

        Raises:
            ArtifactError: where the file is not a usable artifact.
        """
        ...
