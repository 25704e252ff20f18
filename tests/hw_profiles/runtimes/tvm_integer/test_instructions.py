"""Which instructions a profile gets, and that their code is generated for processors that are not here."""

import dataclasses

import pytest
import tvm

from hw_profiles.runtimes.tvm_integer.convolution import ConvolutionKernel, ConvolutionShape
from hw_profiles.runtimes.tvm_integer.emission import Emitter
from hw_profiles.runtimes.tvm_integer.instructions import instructions_of
from hw_profiles.runtimes.tvm_integer.requantization import Epilogue
from hw_profiles.runtimes.tvm_integer.schemes import Clip
from hw_profiles.runtimes.tvm_runtime import target_of
from tests.hw_profiles.runtimes.tvm_integer.kernels import LOCAL

CASCADE_LAKE = ("avx", "avx2", "avx512bw", "avx512f", "avx512vl", "avx512_vnni", "f16c", "fma", "sse4_2")
SKYLAKE = tuple(name for name in CASCADE_LAKE if name != "avx512_vnni")
ALDER_LAKE = ("avx", "avx2", "avx_vnni", "f16c", "fma", "sse4_2")
HASWELL = tuple(name for name in ALDER_LAKE if name != "avx_vnni")

CHOICES = [
    ("x86_64", CASCADE_LAKE, "avx512_vnni", "vpdpbusd"),
    ("x86_64", ALDER_LAKE, "avx_vnni", "vpdpbusd"),
    ("x86_64", SKYLAKE, "avx512bw", "vpmaddwd"),
    ("x86_64", HASWELL, "avx2", "vpmaddwd"),
    ("x86_64", ("sse4_2",), "generic", "paddd"),
    ("aarch64", ("asimd", "asimddp", "i8mm"), "neon_i8mm", "usdot"),
    ("aarch64", ("asimd", "asimddp"), "neon_dotprod", "sdot"),
    ("aarch64", ("asimd",), "generic", "mla"),
]


@pytest.mark.parametrize(("architecture", "isa", "products", "mnemonic"), CHOICES)
def test_code_uses_the_best_instructions_of_the_profile(architecture, isa, products, mnemonic):
    profile = dataclasses.replace(LOCAL, architecture=architecture, isa=isa)
    instructions = instructions_of(profile)
    assert instructions.products == products
    emitter = Emitter()
    shape = ConvolutionShape(height=1, width=12, in_stride=16, in_channels=16, out_channels=64)
    ConvolutionKernel(shape, Epilogue(first=Clip(zero_point=3)), instructions).emit(emitter)
    module = tvm.IRModule({"kernel": emitter.function().with_attr("global_symbol", "kernel")})
    assembly = tvm.compile(module, target_of(profile)).mod.inspect_source("asm")
    assert mnemonic in assembly


@pytest.mark.parametrize("vectors", [1, 2, 3, 4])
def test_channel_order_is_a_permutation(vectors):
    for _, isa, _, _ in CHOICES[:5]:
        instructions = instructions_of(dataclasses.replace(LOCAL, architecture="x86_64", isa=isa))
        order = instructions.channel_order(vectors)
        assert sorted(order.ravel()) == list(range(vectors * instructions.lanes))
