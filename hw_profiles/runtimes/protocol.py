"""The interface of a runtime."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from hw_profiles.agreement import Agreement, check_agreement
from hw_profiles.network_files import NetworkFiles
from hw_profiles.profile import DeviceProfile, Execution
from hw_profiles.quantized_units import read_quantized_graph, units_without_integers
from search_spaces.precision import SPECS, Precision

FloatArray = NDArray[np.float32]

WeightBits = Literal[4, 8, 16, 32]


class Executable(Protocol):
    """A loaded artifact, ready to run."""

    def run(self, image: FloatArray) -> FloatArray:
        """Outputs (1, classes) of one input (1, C, H, W), both float32.

        Raises:
            ArtifactError: if the artifact does not take the input.
        """
        ...

    def time(self, image: FloatArray, *, calls: int) -> list[float]:
        """Milliseconds of each of ``calls`` single invocations, one after the other.

        The input already lies in the runtime's memory; pre-processing and copying are not timed.
        """
        ...


class Runtime(Protocol):
    """Turns networks into artifacts for a profile, and loads, checks and runs them.

    A runtime derives from this class and is named under the entry point group
    ``hwnas.runtimes``. Members with a body are defaults that it may keep. Nothing outside
    this package knows which runtimes there are: what an artifact is called, what it is
    compiled from and how it is checked is asked here.
    """

    @property
    def name(self) -> str:
        """The last part of a profile's id."""
        ...

    @property
    def version(self) -> str:
        """Version of the runtime and of the recipe that compiles with it."""
        ...

    @property
    def artifact_kind(self) -> str:
        """Key of its file in a member's ``artifacts``: up to 16 lower-case letters, digits, ``-`` and ``_``.

        ``onnx`` is for a runtime whose artifact holds the same bytes as the network's ONNX
        file, which every member has. ``weights`` and ``manifest`` are taken.
        """
        ...

    @property
    def artifact_suffix(self) -> str:
        """File name ending of an artifact, with its dot."""
        ...

    @property
    def artifact_file(self) -> str:
        """Name of an exported artifact in its candidate's folder."""
        return f"model.{self.name}{self.artifact_suffix}"

    @property
    def cross_compiles(self) -> bool:
        """Whether it compiles on one machine for another, from the profile alone; devices then need no compiler."""
        return False

    def precisions(self, isa: tuple[str, ...]) -> Mapping[Precision, Execution]:
        """How its kernels execute each precision on a processor with these instruction sets."""
        ...

    def weight_bits(self, precision: Precision) -> WeightBits:
        """Bits that its artifacts store for each weight of a unit in this precision."""
        return 8 if SPECS[precision].quantized else 32

    def float_units(self, graph: Path, precisions: Mapping[str, Precision], profile: DeviceProfile) -> dict[str, str]:
        """Units of a quantized network that it computes in float in spite of their precision, each with the reason.

        By default, those in which the graph has no quantized operator, and those in precisions that the profile
        only emulates.

        Args:
            graph: the network in QDQ form.
            precisions: by unit, as the network's policy has them.
            profile: of the device that runs it.

        Raises:
            ArtifactError: if the graph cannot be read.
        """
        units = units_without_integers(read_quantized_graph(graph), precisions)
        for unit, precision in precisions.items():
            if profile.executes(precision) != "native":
                units.setdefault(unit, f"{self.name} computes {precision} in float on this device")
        return {unit: units[unit] for unit in precisions if unit in units}

    def environment(self, threads: int) -> Mapping[str, str]:  # noqa: ARG002 - the default needs none
        """Environment variables of the processes that it runs in, beside the usual ones for ``threads``."""
        return {}

    def prepare(self) -> None:
        """Imports what compiling and running need, so that no candidate's time holds it."""
        ...

    def compile(self, files: NetworkFiles, profile: DeviceProfile, folder: Path) -> Path:
        """Compiles into ``folder`` and returns the artifact: one self-contained file.

        What a user should know of a compiled network is a ``CompileWarning``.

        Raises:
            CompileError: if the network cannot be read, compiled or written.
        """
        ...

    def load(self, artifact: Path, profile: DeviceProfile) -> Executable:
        """Loads an artifact with the profile's threads.

        Raises:
            ArtifactError: if the file is not a usable artifact.
        """
        ...

    def check(self, executable: Executable, files: NetworkFiles) -> Agreement:
        """Compares a loaded artifact with what its network computes.

        Raises:
            DisagreementError: if the outputs differ by more than the network's tolerance.
            ArtifactError: if the artifact does not run.
        """
        return check_agreement(executable, files)

    def release_memory(self) -> None:
        """Gives memory back that the runtime keeps for later runs; a measurement of memory calls it first."""
        return
