"""Whether int8 is native on this processor: compiles one convolution in both precisions and times it.

Runs in a process of its own (``python -m hw_profiles.runtimes.tvm_integer.probe ISA,ISA``),
so that neither TVM nor a crash reaches whoever asks; the answer is kept per processor,
instruction sets, TVM version and recipe.
"""

import hashlib
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import platformdirs

from hw_profiles.profile import DeviceProfile, Execution

_LOG: Final = logging.getLogger(__name__)

NATIVE_BELOW: Final = 0.8
"""int8 is native where it takes at most this fraction of the float time."""

_DEADLINE_S: Final = 180.0
_PIXELS, _INPUTS, _OUTPUTS = 196, 128, 256
_CALLS: Final = 50
_ROUNDS: Final = 7


def local_int8_execution(isa: tuple[str, ...], runtime_version: str) -> Execution:
    """How int8 runs on a processor with these instruction sets: ``emulated`` unless it is this one and shown."""
    from hw_profiles.detect import detect_processor  # noqa: PLC0415 - it asks runtimes, which ask here

    found = detect_processor()
    if isa != found.isa or not isa:
        return "emulated"
    return int8_execution(DeviceProfile(
        id="local-cpu/tvm", device="local-cpu", runtime="tvm", runtime_version=runtime_version,
        processor=found.name, architecture=found.architecture, isa=isa, cores=found.cores,
        precisions={"fp32": "native"},
    ))  # fmt: skip


def int8_execution(profile: DeviceProfile, folder: Path | None = None) -> Execution:
    """``native`` where the probe showed it on this processor, else ``emulated``.

    Args:
        profile: of the local processor; its ``precisions`` do not matter.
        folder: where answers are kept; the user's cache by default.
    """
    known = (profile.processor, profile.isa, profile.runtime_version)
    name = hashlib.sha256(json.dumps(known).encode()).hexdigest()[:16]
    path = (folder or platformdirs.user_cache_path("hwnas") / "probes") / f"tvm-int8-{name}.json"
    try:
        ratio = float(json.loads(path.read_text("utf-8"))["ratio"])
    except (OSError, ValueError, KeyError, TypeError):
        found = _probed(profile)
        if found is None:
            _LOG.warning("the int8 probe of TVM failed, so int8 counts as emulated until it succeeds")
            return "emulated"
        ratio = found
        _keep(path, {"ratio": ratio, "processor": profile.processor, "runtime_version": profile.runtime_version})
    return "native" if ratio <= NATIVE_BELOW else "emulated"


def _probed(profile: DeviceProfile) -> float | None:
    command = [sys.executable, "-m", __name__, json.dumps(profile.as_json())]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_DEADLINE_S, check=True, text=True)
        return float(json.loads(done.stdout.splitlines()[-1])["ratio"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, IndexError):
        return None


def _keep(path: Path, answer: dict[str, Any]) -> None:
    unfinished = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(json.dumps(answer), "utf-8")
        unfinished.replace(path)
    except OSError:
        return  # asked again next time


def measure_ratio(profile: DeviceProfile) -> float:
    """Time of an int8 convolution by that of the same one in float: medians, alternating."""
    import tvm  # noqa: PLC0415 - seconds; asking needs it only where no answer is kept
    from tvm import relax  # noqa: PLC0415

    from hw_profiles.runtimes import tvm_runtime  # noqa: PLC0415
    from hw_profiles.runtimes.tvm_integer.convolution import (  # noqa: PLC0415
        ConvolutionKernel,
        ConvolutionShape,
        pack_constants,
    )
    from hw_profiles.runtimes.tvm_integer.emission import Emitter  # noqa: PLC0415
    from hw_profiles.runtimes.tvm_integer.instructions import instructions_of  # noqa: PLC0415
    from hw_profiles.runtimes.tvm_integer.requantization import Clip, Epilogue  # noqa: PLC0415

    rng = np.random.default_rng(0)
    weights = rng.integers(-127, 128, (_OUTPUTS, _INPUTS, 1, 1)).astype(np.int8)
    image = rng.integers(0, 256, (_PIXELS, _INPUTS)).astype(np.uint8)
    instructions = instructions_of(profile)
    shape = ConvolutionShape(height=1, width=_PIXELS, in_stride=_INPUTS, in_channels=_INPUTS, out_channels=_OUTPUTS)
    scales = np.full(_OUTPUTS, 1e-3, np.float32)
    constants = pack_constants(weights, np.zeros(_OUTPUTS, np.int32), scales, 128, instructions)
    emitter = Emitter()
    ConvolutionKernel(shape, Epilogue(first=Clip(zero_point=128)), instructions).emit(emitter)
    kernel = emitter.function()
    target = tvm_runtime.target_of(profile)
    integer = tvm.compile(tvm.IRModule({"kernel": kernel.with_attr("global_symbol", "kernel")}), target)
    arguments = [image.ravel(), constants.weights, constants.biases, constants.scales]
    arguments.append(np.zeros(_PIXELS * _OUTPUTS, np.uint8))
    tensors = [tvm.runtime.tensor(argument) for argument in arguments]
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
    floats = tvm_runtime.TvmExecutable(relax.VirtualMachine(built, tvm.cpu()))
    values = rng.standard_normal((1, side, side, _INPUTS)).astype(np.float32)
    evaluator = integer.mod.time_evaluator("kernel", tvm.cpu(), number=1, repeat=_CALLS)
    ratios = []
    for _ in range(_ROUNDS):
        integer_ms = float(np.median(evaluator(*tensors).results)) * 1e3
        ratios.append(integer_ms / float(np.median(floats.time(values, calls=_CALLS))))
    return float(np.median(ratios))


if __name__ == "__main__":
    print(json.dumps({"ratio": measure_ratio(DeviceProfile.from_json(json.loads(sys.argv[1])))}))  # noqa: T201
