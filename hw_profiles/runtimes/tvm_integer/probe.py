"""Whether integer kernels are native on this processor: compiles one convolution in each precision and times it.

Runs in a process of its own (``python -m hw_profiles.runtimes.tvm_integer.probe ISA,ISA``),
so that neither TVM nor a crash reaches whoever asks; the answer is kept per processor,
instruction sets, TVM version and recipe.
"""

# ruff: noqa: PLC0415 - TVM takes seconds to import; asking needs it only where no answer is kept

import hashlib
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import platformdirs
from numpy.typing import NDArray

from hw_profiles.profile import DeviceProfile, Execution

_LOG: Final = logging.getLogger(__name__)

NATIVE_BELOW: Final = 0.8
"""Integer kernels are native where they take at most this fraction of the float time."""

WEIGHT_BITS: Final = (8, 4)
"""Bits of weights that there are integer kernels for."""

_DEADLINE_S: Final = 180.0
_PIXELS, _INPUTS, _OUTPUTS = 196, 128, 256
_CALLS: Final = 50
_ROUNDS: Final = 7

_NONE: Final[dict[int, Execution]] = dict.fromkeys(WEIGHT_BITS, "emulated")


def local_executions(isa: tuple[str, ...], runtime_version: str) -> dict[int, Execution]:
    """How kernels run on a processor with these instruction sets, by the bits of their weights.

    All are ``emulated`` unless it is this processor and they were shown to be fast.
    """
    from hw_profiles.detect import detect_processor

    found = detect_processor()
    if isa != found.isa or not isa:
        return dict(_NONE)
    return executions(DeviceProfile(
        id="local-cpu/tvm", device="local-cpu", runtime="tvm", runtime_version=runtime_version,
        processor=found.name, architecture=found.architecture, isa=isa, cores=found.cores,
        precisions={"fp32": "native"},
    ))  # fmt: skip


def executions(profile: DeviceProfile, folder: Path | None = None) -> dict[int, Execution]:
    """By the bits of weights, ``native`` where the probe showed it on this processor, else ``emulated``.

    Args:
        profile: of the local processor; its ``precisions`` do not matter.
        folder: where answers are kept; the user's cache by default.
    """
    known = (profile.processor, profile.isa, profile.runtime_version)
    name = hashlib.sha256(json.dumps(known).encode()).hexdigest()[:16]
    path = (folder or platformdirs.user_cache_path("hwnas") / "probes") / f"tvm-integer-{name}.json"
    try:
        ratios = _ratios(path.read_text("utf-8"))
    except (OSError, ValueError, KeyError, TypeError):
        found = _probed(profile)
        if found is None:
            _LOG.warning("the probe of TVM's integer kernels failed, so they count as emulated until it succeeds")
            return dict(_NONE)
        ratios = found
        _keep(path, {
            "ratios": ratios, "processor": profile.processor, "runtime_version": profile.runtime_version
        })  # fmt: skip
    return {bits: "native" if ratio <= NATIVE_BELOW else "emulated" for bits, ratio in ratios.items()}


def _ratios(text: str) -> dict[int, float]:
    """Of an answer; JSON has strings for keys."""
    kept = json.loads(text)["ratios"]
    return {bits: float(kept[str(bits)]) for bits in WEIGHT_BITS}


def _probed(profile: DeviceProfile) -> dict[int, float] | None:
    command = [sys.executable, "-m", __name__, json.dumps(profile.as_json())]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_DEADLINE_S, check=True, text=True)
        return _ratios(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, IndexError, TypeError):
        return None


def _keep(path: Path, answer: dict[str, Any]) -> None:
    unfinished = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(json.dumps(answer), "utf-8")
        unfinished.replace(path)
    except OSError:
        return  # asked again next time


def measure_ratios(profile: DeviceProfile) -> dict[int, float]:
    """Time of a convolution with weights of 8 and of 4 bits by that of the same one in float.

    Medians over rounds in which all take turns.
    """
    rng = np.random.default_rng(0)
    weights = rng.integers(-7, 8, (_OUTPUTS, _INPUTS, 1, 1)).astype(np.int8)
    time_float = _float_convolution(profile, weights, rng)
    timers = {bits: _integer_convolution(profile, weights, bits, rng) for bits in WEIGHT_BITS}
    ratios: dict[int, list[float]] = {bits: [] for bits in WEIGHT_BITS}
    for _ in range(_ROUNDS):
        float_ms = time_float()
        for bits, time_integer in timers.items():
            ratios[bits].append(time_integer() / float_ms)
    return {bits: float(np.median(values)) for bits, values in ratios.items()}


def _integer_convolution(
    profile: DeviceProfile, weights: NDArray[np.int8], bits: int, rng: np.random.Generator
) -> Callable[[], float]:
    """Milliseconds of a call, each time that it is called."""
    import tvm

    from hw_profiles.runtimes.tvm_integer.convolution import (
        ConvolutionKernel,
        ConvolutionShape,
        pack_constants,
    )
    from hw_profiles.runtimes.tvm_integer.emission import Emitter
    from hw_profiles.runtimes.tvm_integer.instructions import instructions_of
    from hw_profiles.runtimes.tvm_integer.requantization import Epilogue
    from hw_profiles.runtimes.tvm_integer.schemes import Clip
    from hw_profiles.runtimes.tvm_runtime import target_of

    instructions = instructions_of(profile)
    shape = ConvolutionShape(height=1, width=_PIXELS, in_stride=_INPUTS, in_channels=_INPUTS, out_channels=_OUTPUTS)
    scales = np.full(_OUTPUTS, 1e-3, np.float32)
    constants = pack_constants(weights, np.zeros(_OUTPUTS, np.int32), scales, 128, instructions, bits)
    emitter = Emitter()
    ConvolutionKernel(shape, Epilogue(first=Clip(zero_point=128)), instructions, bits).emit(emitter)
    function = emitter.function().with_attr("global_symbol", "kernel")
    built = tvm.compile(tvm.IRModule({"kernel": function}), target_of(profile))
    image = rng.integers(0, 256, _PIXELS * _INPUTS).astype(np.uint8)
    arguments = (image, *constants.arrays, np.zeros(_PIXELS * _OUTPUTS, np.uint8))
    tensors = [tvm.runtime.tensor(argument) for argument in arguments]
    evaluator = built.mod.time_evaluator("kernel", tvm.cpu(), number=1, repeat=_CALLS)
    return lambda: float(np.median(evaluator(*tensors).results)) * 1e3


def _float_convolution(
    profile: DeviceProfile, weights: NDArray[np.int8], rng: np.random.Generator
) -> Callable[[], float]:
    """Milliseconds of a call, each time that it is called."""
    import tvm
    from tvm import relax

    from hw_profiles.runtimes import tvm_runtime

    side = int(np.sqrt(_PIXELS))
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType([1, side, side, _INPUTS], "float32"))
    kernels = relax.const(np.ascontiguousarray(weights.transpose(2, 3, 1, 0)).astype(np.float32) * np.float32(0.01))
    with builder.function("main", [x]):
        with builder.dataflow():
            convolved = relax.op.nn.conv2d(x, kernels, data_layout="NHWC", kernel_layout="HWIO")
            result = builder.emit_output(convolved)
        builder.emit_func_output(result)
    built = tvm_runtime._build(builder.get(), profile)
    executable = tvm_runtime.TvmExecutable(relax.VirtualMachine(built, tvm.cpu()))
    values = rng.standard_normal((1, side, side, _INPUTS)).astype(np.float32)
    return lambda: float(np.median(executable.time(values, calls=_CALLS)))


if __name__ == "__main__":
    print(json.dumps({"ratios": measure_ratios(DeviceProfile.from_json(json.loads(sys.argv[1])))}))  # noqa: T201
