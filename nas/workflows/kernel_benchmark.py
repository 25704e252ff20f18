"""What integer kernels gain on this machine: TVM and ONNX Runtime, float and integer, alternating in one run."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np

from hw_profiles.agreement import read_reference
from hw_profiles.detect import detect_profiles
from hw_profiles.network_files import NetworkFiles
from hw_profiles.profile import DeviceProfile
from hw_profiles.runtimes.protocol import Executable, FloatArray
from hw_profiles.runtimes.registry import get_runtime
from hw_profiles.timing_lock import TimingLock
from nas.measuring.preparation import NetworkPreparer, PreparationFailure
from nas.measuring.random_weights import RandomWeightSource
from nas.progress import Progress
from search_spaces.errors import NasError, UsageError
from search_spaces.space import IntArray, SearchSpace

RUNTIMES: Final = ("tvm", "onnxruntime")
_ROUNDS: Final = 25
_LEAD_IN_CALLS: Final = 3
_MIN_ROUND_MS: Final = 4.0
_MAX_CALLS: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelBenchmarkRow:
    """One network, every way; medians over rounds in which all take turns. None where the space has no policy."""

    space: str
    summary: str
    threads: int
    tvm_fp32_ms: float
    tvm_int8_ms: float | None = None
    tvm_w4a8_ms: float | None = None
    onnxruntime_fp32_ms: float
    onnxruntime_int8_ms: float | None = None
    isa: str
    """How TVM's integer kernels sum products."""
    int8_top1_agreement: float | None = None
    """Fraction of random images on which both runtimes' int8 networks choose the same class."""
    int8_largest_difference: float | None = None
    """Between both runtimes' int8 outputs, as a fraction of the largest output."""

    def as_json(self) -> dict[str, object]:
        """One flat JSON object."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelBenchmark:
    """What is timed.

    Raises:
        UsageError: for threads that the machine does not have.
    """

    space: SearchSpace
    folder: Path
    """Where networks and artifacts are kept; what is there is not made again."""
    networks: int = 5
    """The largest, the smallest and sampled ones."""
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        cores = os.cpu_count() or 1
        if not 1 <= self.threads <= cores:
            raise UsageError(f"{self.threads} threads on {cores} cores; give 1 to {cores}.")

    def run(self, progress: Progress) -> list[KernelBenchmarkRow]:
        """Times every network in fp32 and, if the space has policies, in int8 and on TVM in w4a8.

        Raises:
            UsageError: if a runtime is not installed.
            NasError: if a network cannot be prepared, compiled or run.
        """
        profiles = {
            profile.runtime: replace(profile, threads=self.threads)
            for profile in detect_profiles()
            if profile.runtime in RUNTIMES
        }
        if missing := [name for name in RUNTIMES if name not in profiles]:
            raise UsageError(f"runtime {missing[0]!r} is not installed; install it to compare with it.")
        os.environ["TVM_NUM_THREADS"] = str(self.threads)
        preparer = NetworkPreparer(RandomWeightSource.from_space(self.space, self.folder / "networks"))
        genotypes = self._chosen()
        rows = []
        for number, genotype in enumerate(genotypes):
            progress.update("networks", number, len(genotypes))
            rows.append(self._row(genotype, preparer, profiles))
        progress.update("networks", len(genotypes), len(genotypes))
        return rows

    def _chosen(self) -> IntArray:
        """Distinct canonical genotypes in fp32 that can be built, shape ``(n, genes)``."""
        space = self.space
        rows = np.stack([space.largest(), space.smallest()])
        if self.networks > len(rows):
            sampled = space.sample_spread(self.networks - len(rows), np.random.default_rng(self.seed))
            rows = np.concatenate([rows, sampled])
        rows = space.unquantized(rows[space.connected(rows)])
        _, first = np.unique(rows, axis=0, return_index=True)
        return rows[np.sort(first)][: self.networks]

    def _row(
        self, genotype: IntArray, preparer: NetworkPreparer, profiles: Mapping[str, DeviceProfile]
    ) -> KernelBenchmarkRow:
        from hw_profiles.runtimes.tvm_integer.instructions import instructions_of  # noqa: PLC0415 - imports TVM

        executables: dict[tuple[str, str], Executable] = {}
        for precision in ("fp32", *(name for name in ("int8", "w4a8") if name in self.space.precisions)):
            files = _prepared(preparer, self.space.with_policy(genotype[None], precision)[0])
            images, _ = read_reference(files)
            for name in RUNTIMES if precision != "w4a8" else ("tvm",):  # in float on ONNX Runtime
                executables[name, precision] = _compiled(files, profiles[name], self.folder / "artifacts")
        medians_ms = _alternating(executables, images[:1])
        return KernelBenchmarkRow(
            space=self.space.name,
            summary=self.space.describe(genotype),
            threads=self.threads,
            isa=instructions_of(profiles["tvm"]).products,
            **{f"{runtime}_{precision}_ms": value for (runtime, precision), value in medians_ms.items()},
            **(_agreement(executables, images) if "int8" in self.space.precisions else {}),
        )


def _compiled(files: NetworkFiles, profile: DeviceProfile, folder: Path) -> Executable:
    runtime = get_runtime(profile.runtime)
    runtime.prepare()
    return runtime.load(runtime.compile(files, profile, folder / profile.fingerprint[:16]), profile)


def _agreement(executables: Mapping[tuple[str, str], Executable], images: FloatArray) -> dict[str, float]:
    """Of both runtimes' int8 networks."""
    outputs = [np.concatenate([executables[name, "int8"].run(image[None]) for image in images]) for name in RUNTIMES]
    return {
        "int8_top1_agreement": float((outputs[0].argmax(1) == outputs[1].argmax(1)).mean()),
        "int8_largest_difference": float(np.abs(outputs[0] - outputs[1]).max() / max(np.abs(outputs[1]).max(), 1e-30)),
    }


def _prepared(preparer: NetworkPreparer, genotype: IntArray) -> NetworkFiles:
    prepared = preparer.prepare(genotype)
    if isinstance(prepared, PreparationFailure):
        raise NasError(f"network {prepared.candidate_id[:12]} could not be prepared: {prepared.message}")
    return prepared.network_files


def _alternating(executables: Mapping[tuple[str, str], Executable], image: FloatArray) -> dict[tuple[str, str], float]:
    """Median milliseconds of each; each round times all of them, one after the other."""
    rounds: dict[tuple[str, str], list[float]] = {key: [] for key in executables}
    with TimingLock():
        calls = {}
        for key, executable in executables.items():
            once_ms = median(executable.time(image, calls=_LEAD_IN_CALLS))
            calls[key] = int(np.clip(_MIN_ROUND_MS / once_ms, 3, _MAX_CALLS))
        for _ in range(_ROUNDS):
            for key, executable in executables.items():
                executable.time(image, calls=_LEAD_IN_CALLS)
                rounds[key].append(median(executable.time(image, calls=calls[key])))
    return {key: median(values) for key, values in rounds.items()}
