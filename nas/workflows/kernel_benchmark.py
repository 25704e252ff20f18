"""What int8 gains on this machine: TVM and ONNX Runtime, float and integer, alternating in one run."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
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
    """One network, four ways; medians over rounds in which all four take turns."""

    space: str
    summary: str
    tvm_fp32_ms: float
    tvm_int8_ms: float
    onnxruntime_fp32_ms: float
    onnxruntime_int8_ms: float
    isa: str
    """How TVM's integer kernels sum products."""
    int8_top1_agreement: float
    """Fraction of random images on which both runtimes' int8 networks choose the same class."""
    int8_largest_difference: float
    """Between both runtimes' int8 outputs, as a fraction of the largest output."""

    def as_json(self) -> dict[str, object]:
        """One flat JSON object."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def benchmark_kernels(
    space: SearchSpace, folder: Path, networks: int, seed: int, progress: Progress
) -> list[KernelBenchmarkRow]:
    """Times the smallest, the largest and sampled networks of a space, all in w8a8 and in fp32.

    Args:
        space: with a precision gene per unit.
        folder: where networks and artifacts are kept; what is there is not made again.
        networks: how many, at least 1.
        seed: chooses them.
        progress: is called after each network.

    Raises:
        UsageError: for a space without int8, or where a runtime is not installed.
        NasError: where a network cannot be prepared, compiled or run.
    """
    if not len(space.policy_columns):
        raise UsageError(f"networks of {space.name} have no int8 policy; give another, such as mobilenet_v3:tiny.")
    profiles = {profile.runtime: profile for profile in detect_profiles() if profile.runtime in RUNTIMES}
    if missing := [name for name in RUNTIMES if name not in profiles]:
        raise UsageError(f"runtime {missing[0]!r} is not installed; install it to compare with it.")
    os.environ["TVM_NUM_THREADS"] = str(profiles["tvm"].threads)
    rows = []
    genotypes = _chosen(space, networks, seed)
    preparer = NetworkPreparer(RandomWeightSource.from_space(space, folder / "networks"))
    for number, genotype in enumerate(genotypes):
        progress.update("networks", number, len(genotypes))
        rows.append(_benchmark(space, genotype, preparer, profiles, folder / "artifacts"))
    progress.update("networks", len(genotypes), len(genotypes))
    return rows


def _chosen(space: SearchSpace, networks: int, seed: int) -> IntArray:
    """Distinct canonical genotypes in fp32, shape ``(n, genes)``."""
    ends = np.stack([space.largest(), space.smallest()])
    sampled = space.sample_spread(max(networks - len(ends), 0), np.random.default_rng(seed)) if networks > 2 else ends
    rows = space.with_policy(np.concatenate([ends, sampled]), "fp32")
    _, first = np.unique(rows, axis=0, return_index=True)
    return rows[np.sort(first)][:networks]


def _benchmark(
    space: SearchSpace,
    genotype: IntArray,
    preparer: NetworkPreparer,
    profiles: Mapping[str, DeviceProfile],
    folder: Path,
) -> KernelBenchmarkRow:
    executables: dict[tuple[str, str], Executable] = {}
    for precision in ("fp32", "int8"):
        files = _prepared(preparer, space.with_policy(genotype[None], precision)[0])
        images, _ = read_reference(files)
        for name, profile in profiles.items():
            runtime = get_runtime(name)
            runtime.prepare()
            artifact = runtime.compile(files, profile, folder / profile.fingerprint[:16])
            executables[name, precision] = runtime.load(artifact, profile)
    medians_ms = _alternating(executables, images[:1])
    outputs = [np.concatenate([executables[name, "int8"].run(image[None]) for image in images]) for name in RUNTIMES]
    from hw_profiles.runtimes.tvm_integer.instructions import instructions_of  # noqa: PLC0415 - imports TVM

    return KernelBenchmarkRow(
        space=space.name,
        summary=space.describe(genotype),
        tvm_fp32_ms=medians_ms["tvm", "fp32"],
        tvm_int8_ms=medians_ms["tvm", "int8"],
        onnxruntime_fp32_ms=medians_ms["onnxruntime", "fp32"],
        onnxruntime_int8_ms=medians_ms["onnxruntime", "int8"],
        isa=instructions_of(profiles["tvm"]).products,
        int8_top1_agreement=float((outputs[0].argmax(1) == outputs[1].argmax(1)).mean()),
        int8_largest_difference=float(np.abs(outputs[0] - outputs[1]).max() / max(np.abs(outputs[1]).max(), 1e-30)),
    )


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
