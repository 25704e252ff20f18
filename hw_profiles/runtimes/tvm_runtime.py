"""Apache TVM on the CPU: the artifact is a shared library for ``relax.VirtualMachine``."""

# ruff: noqa: PLC0415 - a runtime is imported when it is used: naming and describing it must be fast

import platform
import shutil
import warnings
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hw_profiles.errors import ArtifactError, CompileError, CompileWarning
from hw_profiles.network_files import NetworkFiles
from hw_profiles.profile import DeviceProfile, Execution
from hw_profiles.quantized_units import read_quantized_graph
from hw_profiles.runtimes.protocol import FloatArray, Runtime, WeightBits
from search_spaces.precision import SPECS, Precision

if TYPE_CHECKING:
    import tvm

    from hw_profiles.runtimes.tvm_schedules import RegisterFile

RECIPE: Final = 10
"""Raised whenever the passes, schedules or target below change the code that is generated."""

_LLVM_FEATURES: Final = {
    "sse4_2": "sse4.2",
    "avx": "avx",
    "avx2": "avx2",
    "fma": "fma",
    "f16c": "f16c",
    "avx512f": "avx512f",
    "avx512bw": "avx512bw",
    "avx512cd": "avx512cd",
    "avx512dq": "avx512dq",
    "avx512vl": "avx512vl",
    "avx512_vnni": "avx512vnni",
    "avx_vnni": "avxvnni",
    "asimd": "neon",
    "asimdhp": "fullfp16",
    "asimddp": "dotprod",
    "i8mm": "i8mm",
    "sve": "sve",
}
"""LLVM's names of the instruction sets that profiles list."""

_TRIPLES: Final = {"x86_64": "x86_64-linux-gnu", "aarch64": "aarch64-linux-gnu"}
_MODELS: Final = {"x86_64": "x86-64", "aarch64": "generic"}
_INSTRUCTION_SETS: Final = "instruction_sets"
"""The function of an artifact that gives the instruction sets that its kernels need."""

_COMPILERS: Final = ("g++", "gcc", "clang++", "clang")
_ONLY_TO_COMPILE: Final = ("onnx",)


class TvmExecutable:
    """A virtual machine over one shared library."""

    def __init__(self, machine: Any) -> None:  # noqa: ANN401 - TVM has no type annotations
        self._machine = machine

    def run(self, image: FloatArray) -> FloatArray:
        """See :class:`hw_profiles.runtimes.protocol.Executable`."""
        import tvm

        try:
            result = self._machine["main"](tvm.runtime.tensor(np.ascontiguousarray(image)))
        except Exception as error:  # its errors have no common root
            raise ArtifactError(f"TVM cannot run the network: {error}") from error
        return np.asarray((result if hasattr(result, "numpy") else result[0]).numpy(), dtype=np.float32)

    def time(self, image: FloatArray, *, calls: int) -> list[float]:
        """See :class:`hw_profiles.runtimes.protocol.Executable`; TVM's own clock, without Python's call."""
        import tvm

        self._machine.set_input("main", tvm.runtime.tensor(np.ascontiguousarray(image)))
        evaluator = self._machine.time_evaluator("invoke_stateful", tvm.cpu(), number=1, repeat=calls)
        return [reading_s * 1e3 for reading_s in evaluator("main").results]


class TvmRuntime(Runtime):
    """Compiles ONNX graphs: float ones, and quantized ones in QDQ form, which become integer arithmetic."""

    name = "tvm"
    artifact_kind = "tvm"
    artifact_suffix = ".so"
    artifact_file = "model.so"

    @property
    def version(self) -> str:
        """See :class:`hw_profiles.runtimes.protocol.Runtime`."""
        return f"{version('apache-tvm')}+recipe{RECIPE}"

    def precisions(self, isa: tuple[str, ...]) -> Mapping[Precision, Execution]:
        """Integer precisions are native where their kernels were seen to be faster here than float ones."""
        from hw_profiles.runtimes.tvm_integer.probe import local_executions

        found = local_executions(isa, self.version)
        return {name: found[spec.stored_weight_bits] if spec.quantized else "native" for name, spec in SPECS.items()}

    def weight_bits(self, precision: Precision) -> WeightBits:
        """Integer kernels hold weights packed, 4-bit ones two in a byte."""
        return SPECS[precision].stored_weight_bits

    def float_units(
        self,
        graph: Path,
        precisions: Mapping[str, Precision],
        profile: DeviceProfile,  # noqa: ARG002 - kernels exist for every processor
    ) -> dict[str, str]:
        """See :class:`hw_profiles.runtimes.protocol.Runtime`; whatever was probed, what has a kernel is integer."""
        from hw_profiles.runtimes.tvm_integer.graph import float_units

        return float_units(read_quantized_graph(graph), precisions)

    def environment(self, threads: int) -> Mapping[str, str]:
        """See :class:`hw_profiles.runtimes.protocol.Runtime`."""
        return {"TVM_NUM_THREADS": str(threads)}

    @property
    def cross_compiles(self) -> bool:
        """LLVM generates code for any profile; the linker must be one for its architecture."""
        return True

    def prepare(self) -> None:
        """See :class:`hw_profiles.runtimes.protocol.Runtime`; a machine that compiles nothing needs no torch."""
        import_module("tvm.relax")
        try:
            for name in (
                "onnx",
                "tvm.relax.frontend.onnx",
                "hw_profiles.runtimes.tvm_channels",
                "hw_profiles.runtimes.tvm_constants",
                "hw_profiles.runtimes.tvm_groups",
                "hw_profiles.runtimes.tvm_integer.module",
                "hw_profiles.runtimes.tvm_schedules",
            ):
                import_module(name)
        except ModuleNotFoundError as error:
            if error.name not in _ONLY_TO_COMPILE:
                raise

    def compile(self, files: NetworkFiles, profile: DeviceProfile, folder: Path) -> Path:
        """See :class:`hw_profiles.runtimes.protocol.Runtime`."""
        compiler = _linker(profile)
        artifact = folder / f"{files.name}.{self.name}{self.artifact_suffix}"
        # The linker goes by the ending; a killed worker must not leave half a library under the real name.
        unfinished = artifact.with_name(f"{files.name}.{self.name}.part{self.artifact_suffix}")
        files.require_graph()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            executable = _build(_naming_instruction_sets(_import(files, profile), profile), profile)
            executable.export_library(str(unfinished), cc=compiler)
            unfinished.replace(artifact)
        except Exception as error:  # its errors have no common root
            raise CompileError(f"TVM cannot compile {files.name}: {_first_line(error)}") from error
        return artifact

    def load(self, artifact: Path, profile: DeviceProfile) -> TvmExecutable:  # noqa: ARG002 - the worker sets threads
        """See :class:`hw_profiles.runtimes.protocol.Runtime`; threads come from ``TVM_NUM_THREADS``.

        An artifact that needs instruction sets which this processor lacks is refused, since running it would end
        the process.
        """
        import tvm
        from tvm import relax

        from hw_profiles.detect import detect_processor

        try:
            machine = relax.VirtualMachine(tvm.runtime.load_module(str(artifact)), tvm.cpu())
            needed = bytes(machine[_INSTRUCTION_SETS]().numpy()).decode().split()
        except Exception as error:  # its errors have no common root
            raise ArtifactError(f"TVM cannot load {artifact}: {_first_line(error)}") from error
        processor = detect_processor()
        if missing := [name for name in needed if name not in processor.isa]:
            raise ArtifactError(
                f"{artifact} needs {', '.join(missing)}, which this processor ({processor.name}) does not have; "
                "compile the network for this device."
            )
        return TvmExecutable(machine)

    def release_memory(self) -> None:
        """Empties TVM's pool of buffers, which outlives the networks that they were for."""
        import tvm

        tvm.get_global_func("vm.builtin.memory_manager.clear")()


def _linker(profile: DeviceProfile) -> str:
    """The installed compiler that links for the profile's architecture.

    Raises:
        CompileError: if there is none.
    """
    cross = f"{profile.architecture}-linux-gnu"
    foreign = profile.architecture != {"arm64": "aarch64"}.get(platform.machine(), platform.machine())
    names = (f"{cross}-g++", f"{cross}-gcc") if foreign else _COMPILERS
    compiler = next((name for name in names if shutil.which(name)), None)
    if compiler is None:
        package = f"gcc-{cross.replace('_', '-')} (Debian's name)" if foreign else "gcc"
        raise CompileError(
            f"TVM links with a C compiler and none of {', '.join(names)} is installed; install {package}."
        )
    return compiler


def _import(files: NetworkFiles, profile: DeviceProfile) -> "tvm.IRModule":
    import onnx
    from tvm.relax.frontend.onnx import from_onnx

    from hw_profiles.runtimes.tvm_channels import fill_vectors
    from hw_profiles.runtimes.tvm_groups import merge_convolution_groups
    from hw_profiles.runtimes.tvm_integer.instructions import instructions_of
    from hw_profiles.runtimes.tvm_integer.module import integer_module

    model = onnx.load(files.onnx)
    merge_convolution_groups(model)
    module = None
    if files.quantized:
        module = integer_module(model, instructions_of(profile), threads=profile.threads)
    else:
        fill_vectors(model, _registers(profile).lanes)
    return from_onnx(model, keep_params_in_input=False) if module is None else module


def _naming_instruction_sets(module: "tvm.IRModule", profile: DeviceProfile) -> "tvm.IRModule":
    """The module with a function that gives the instruction sets it is compiled for, as text."""
    from tvm import relax

    names = " ".join(name for name in profile.isa if name in _LLVM_FEATURES)
    builder = relax.BlockBuilder(module)
    with builder.function(_INSTRUCTION_SETS, []):
        builder.emit_func_output(relax.const(np.frombuffer((names or " ").encode(), np.uint8)))
    return builder.get()


def target_of(profile: DeviceProfile) -> "tvm.target.Target":
    """The LLVM target that follows from a profile alone.

    Features are named one by one: a virtual machine may hide some of its processor model's,
    and the model's name would let LLVM use them.

    Raises:
        CompileError: if the architecture is not supported.
    """
    import tvm

    if profile.architecture not in _TRIPLES:
        known = ", ".join(_TRIPLES)
        raise CompileError(f"TVM profiles exist for {known}; {profile.id!r} is {profile.architecture!r}.")
    features = [f"+{_LLVM_FEATURES[name]}" for name in profile.isa if name in _LLVM_FEATURES]
    return tvm.target.Target(
        {
            "kind": "llvm",
            "mtriple": _TRIPLES[profile.architecture],
            "mcpu": _MODELS[profile.architecture],
            "mattr": features,
            "num-cores": profile.threads,
            # Level 3 takes a quarter (float) or a twentieth (int8) longer, and makes no kernel of ours faster.
            "opt-level": 2,
        }
    )


def _registers(profile: DeviceProfile) -> "RegisterFile":
    from hw_profiles.runtimes.tvm_schedules import RegisterFile

    if "avx512f" in profile.isa:
        return RegisterFile(lanes=16, accumulators=24)
    if "avx2" in profile.isa:
        return RegisterFile(lanes=8, accumulators=12)
    return RegisterFile(lanes=4, accumulators=24 if profile.architecture == "aarch64" else 12)


def _build(module: "tvm.IRModule", profile: DeviceProfile) -> Any:  # noqa: ANN401 - TVM has no type annotations
    """Compiles with TVM's passes for CPUs, but with channels last, folding and schedules of our own."""
    import tvm
    from tvm import relax
    from tvm.relax.backend.cpu_generic import pipeline

    from hw_profiles.runtimes.tvm_attention import fuse_attention
    from hw_profiles.runtimes.tvm_constants import fold_constants
    from hw_profiles.runtimes.tvm_legalization import legalize
    from hw_profiles.runtimes.tvm_schedules import schedule_kernels

    target, registers, parallel = target_of(profile), _registers(profile), profile.threads > 1
    to_channels_last = tvm.transform.Sequential(
        [
            relax.transform.DecomposeOpsForInference(),
            # The innermost loop then runs over contiguous channels of input and weights.
            relax.transform.ConvertLayout({"relax.nn.conv2d": ["NHWC", "HWIO"]}),
            relax.transform.CanonicalizeBindings(),
        ]
    )
    to_kernels = tvm.transform.Sequential(
        [
            *pipeline.library_dispatch_passes(target),
            legalize(registers.lanes, parallel=parallel),
            # Weights in their former layout.
            relax.transform.DeadCodeElimination(),
            *pipeline.legalize_passes(target),
        ]
    )
    # The default pipeline would fuse once more, and scheduled kernels must not be.
    to_machine = tvm.transform.Sequential(pipeline.dataflow_lower_passes(target) + pipeline.finalize_passes(target))
    with target:
        folded = fold_constants(to_channels_last(module))
        lowered = to_kernels(fuse_attention(folded, registers, parallel=parallel))
        kernels, scalar = schedule_kernels(lowered, registers)
        if scalar:
            total = sum(isinstance(function, tvm.tirx.PrimFunc) for function in kernels.functions.values())
            warnings.warn(
                f"no schedule fits {len(scalar)} of {total} kernels, which stay scalar and slow: {', '.join(scalar)}.",
                CompileWarning,
                stacklevel=2,
            )
        return tvm.compile(kernels, target=target, relax_pipeline=to_machine)


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1].strip() if lines else 'no message'}"
