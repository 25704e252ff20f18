"""Compiles and runs single kernels, and what they must compute, in numpy."""

import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tvm

from hw_profiles.detect import resolve_profile
from hw_profiles.runtimes.tvm_integer.emission import Emitter
from hw_profiles.runtimes.tvm_integer.instructions import _CHOICES, GENERIC
from hw_profiles.runtimes.tvm_integer.shapes import padded
from hw_profiles.runtimes.tvm_runtime import target_of

LOCAL = resolve_profile("local-cpu/tvm")
RUNNABLE = [choice for needed, choice in _CHOICES if needed <= set(LOCAL.isa)]
RUNNABLE += [replace(GENERIC, fuses="fma" in LOCAL.isa)]
"""Every instruction set that this processor can run."""

ARM_SETS = [needed for needed, choice in _CHOICES if choice.products.startswith("neon")]
EMULATED = [choice for needed, choice in _CHOICES if needed in ARM_SETS]
_CROSS_COMPILER, _EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
_missing = [name for name in (_CROSS_COMPILER, _EMULATOR) if shutil.which(name) is None]
_emulation = pytest.mark.skipif(bool(_missing), reason=f"{', '.join(_missing)} not installed (Debian: qemu-user)")

every_arm = pytest.mark.parametrize(
    "isa",
    [pytest.param(isa, marks=[_emulation, pytest.mark.slow]) for isa in (*map(sorted, ARM_SETS), ["asimd"])],
    ids="+".join,
)
"""Instruction sets of ARM processors; the last one has no product instruction."""

every_instruction_set = pytest.mark.parametrize(
    "instructions",
    [*RUNNABLE, *(pytest.param(choice, marks=[_emulation, pytest.mark.slow]) for choice in EMULATED)],
    ids=lambda choice: choice.products,
)

every_vector_width = pytest.mark.parametrize(
    "instructions",
    list({(choice.lanes, choice.packs): choice for choice in RUNNABLE}.values()),
    ids=lambda choice: choice.products,
)


def run(emit, arguments, output_size, output_dtype="uint8", *, instructions=None):
    """Calls a kernel with arrays and gives its output, flat; ARM's under emulation."""
    emitter = Emitter()
    emit(emitter)
    function = emitter.function()
    if instructions in EMULATED:
        isa = next(needed for needed, choice in _CHOICES if choice == instructions)
        return run_emulated(function, arguments, np.full(output_size, 77, output_dtype), isa)
    library = tvm.compile(tvm.IRModule({"kernel": function.with_attr("global_symbol", "kernel")}), target_of(LOCAL))
    shapes = [tuple(int(side) for side in parameter.shape) for parameter in function.params]
    arrays = [np.ascontiguousarray(array) for array in (*arguments, np.full(output_size, 77, output_dtype))]
    tensors = [tvm.runtime.tensor(array.reshape(shape)) for array, shape in zip(arrays, shapes, strict=True)]
    library["kernel"](*tensors)
    return tensors[-1].numpy().ravel()


def arm_profile(isa):
    """An ARM processor with these instruction sets."""
    return replace(LOCAL, architecture="aarch64", isa=tuple(sorted(isa)))


def run_emulated(function, arguments, output, isa):
    """Cross-compiles a kernel for ARM with a small program around it, and runs that for its result, flat."""
    profile = arm_profile(isa)
    module = tvm.IRModule({"kernel": function.with_attr("global_symbol", "kernel")})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tvm.compile(module, target_of(profile)).mod.write_to_file(str(folder / "kernel.o"), "o")
        program = Path(__file__).with_name("emulated_kernel.c")
        command = [_CROSS_COMPILER, "-O1", "-static", program, folder / "kernel.o", "-lm", "-o", folder / "program"]
        subprocess.run(command, check=True)
        with (folder / "operands").open("wb") as file:
            file.write(np.int64(len(function.params)).tobytes())
            for parameter, array in zip(function.params, (*arguments, output), strict=True):
                values = np.ascontiguousarray(array)
                shape = [int(side) for side in parameter.shape]
                code = {"i": 0, "u": 1, "f": 2}[values.dtype.kind]
                file.write(np.array([code, 8 * values.itemsize, len(shape), *shape], np.int64).tobytes())
                file.write(values.tobytes())
        command = [_EMULATOR, "-cpu", "max", folder / "program", folder / "operands"]
        done = subprocess.run(command, check=True, capture_output=True)
    return np.frombuffer(done.stdout, output.dtype)


def held(values, fill=99):
    """(height, width, channels) uint8 with its channels padded as in memory; padding holds anything."""
    whole = np.full((*values.shape[:-1], padded(values.shape[-1])), fill, values.dtype)
    whole[..., : values.shape[-1]] = values
    return whole


def requantize(sums, scales, clip):
    """int sums to integers centred at the zero point: what :class:`Clip` says, by numpy."""
    scaled = sums.astype(np.float32) * scales
    return np.clip(np.rint(scaled) + clip.zero_point, clip.low, clip.high).astype(np.int64)


def convolve(image, weights, zero_point, stride=(1, 1), groups=1):
    """Sums (h, w, outputs) of a padded image (H, W, inputs) and weights (outputs, inputs / groups, kh, kw)."""
    outputs, inputs, high, wide = weights.shape
    centred = image.astype(np.int64) - zero_point
    height = (image.shape[0] - high) // stride[0] + 1
    width = (image.shape[1] - wide) // stride[1] + 1
    sums = np.zeros((height, width, outputs), np.int64)
    for y in range(height):
        for x in range(width):
            window = centred[y * stride[0] : y * stride[0] + high, x * stride[1] : x * stride[1] + wide]
            for group in range(groups):
                mine = slice(group * outputs // groups, (group + 1) * outputs // groups)
                part = window[..., group * inputs : (group + 1) * inputs]
                sums[y, x, mine] = np.einsum("hwc,ochw->o", part, weights[mine].astype(np.int64))
    return sums
