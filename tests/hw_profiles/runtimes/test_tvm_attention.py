"""Attention is found in networks and computed as one kernel; what only looks like it stays as it is."""

import dataclasses

import numpy as np
import pytest
import torch
import tvm
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn
from tvm import relax
from tvm.relax.frontend.onnx import from_onnx

from hw_profiles.runtimes.tvm_attention import AttentionShape, TokenView, emit_attention, fuse_attention
from hw_profiles.runtimes.tvm_runtime import _build
from hw_profiles.runtimes.tvm_schedules import RegisterFile
from nas.networks.attention import attend
from tests.hw_profiles.runtimes.tvm_integer.kernels import LOCAL, run

REGISTERS = RegisterFile(lanes=16, accumulators=24)

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@settings(max_examples=6, deadline=None)
@given(
    heads=st.integers(1, 4),
    tokens=st.sampled_from([1, 2, 4, 9, 15, 16, 17, 49]),
    head_dim=st.sampled_from([4, 8, 16, 24, 32]),
    registers=st.sampled_from(
        [REGISTERS, RegisterFile(lanes=8, accumulators=12), RegisterFile(lanes=4, accumulators=12)]
    ),
    size=st.sampled_from([1.0, 30.0]),
)
@example(heads=4, tokens=49, head_dim=16, registers=REGISTERS, size=1.0)
def test_the_kernel_equals_attention(heads, tokens, head_dim, registers, size):
    width = heads * head_dim
    projected = size * torch.randn(tokens, 3 * width, generator=torch.Generator().manual_seed(tokens))
    views = tuple(TokenView(number * width, head_dim, 3 * width) for number in range(3))
    shape = AttentionShape(heads=heads, tokens=tokens, head_dim=head_dim, scale=head_dim**-0.5, views=views)

    def emit(emitter):
        inputs = [emitter.operand(name, "float32", projected.numel()) for name in ("q", "k", "v")]
        emit_attention(emitter, shape, inputs, emitter.operand("out", "float32", tokens * width), registers)

    found = run(emit, [projected.numpy()] * 3, tokens * width, "float32")
    expected = attend(projected.double(), tokens=tokens, heads=heads).numpy().ravel()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-6 * size * size)


class Attention(nn.Module):
    """Attention between two linear layers, with something changed."""

    def __init__(self, change: str) -> None:
        super().__init__()
        self.change = change
        self.register_buffer("bias", torch.randn(9, 9))

    def forward(self, x):
        if self.change == "none":
            return attend(x, tokens=9, heads=2)
        q, k, v = (part.reshape(9, 2, 8).permute(1, 0, 2) for part in x.split(16, dim=1))
        scores = q @ k.transpose(1, 2)
        match self.change:
            case "bias":
                scores = scores + self.bias
            case "fewer keys":
                scores, v = scores[:, :, :5], v[:, :5]
            case "by channel":
                return (scores.softmax(-1) @ v).reshape(9, 16)
            case "other axis":
                return (scores.softmax(1) @ v).permute(1, 0, 2).reshape(9, 16)
            case "scaled weights":
                return (scores.softmax(-1) * 2 @ v).permute(1, 0, 2).reshape(9, 16)
            case "no scale":
                pass
        return (scores.softmax(-1) @ v).permute(1, 0, 2).reshape(9, 16)


def imported(network, x):
    program = torch.onnx.export(network.eval(), (x,), dynamo=True, external_data=False, verbose=False)
    return from_onnx(program.model_proto, keep_params_in_input=False)


@pytest.mark.parametrize(
    ("change", "fused"),
    [
        ("none", True), ("no scale", True), ("bias", False), ("fewer keys", False), ("by channel", False),
        ("other axis", False), ("scaled weights", False),
    ],
)  # fmt: skip
def test_attention_alone_is_fused(change, fused):
    torch.manual_seed(0)
    x = torch.randn(9, 48)
    network = Attention(change)
    module = imported(network, x)
    names = [str(name.name_hint) for name in fuse_attention(module, REGISTERS, parallel=False).functions]
    assert ("attention" in names) == fused


@pytest.mark.parametrize(("change", "threads"), [("none", 2), ("bias", 1)])
def test_networks_with_attention_compute_what_torch_computes(change, threads):
    x = torch.randn(9, 48, generator=torch.Generator().manual_seed(0))
    network = Attention(change)
    profile = dataclasses.replace(LOCAL, threads=threads)
    machine = relax.VirtualMachine(_build(imported(network, x), profile), tvm.cpu())
    found = machine["main"](tvm.runtime.tensor(x.numpy())).numpy()
    np.testing.assert_allclose(found, network(x).numpy(), rtol=1e-4, atol=1e-5)


def test_gelu_is_vectorized_and_exact():
    x = torch.linspace(-12, 12, 4096).reshape(64, 64)
    machine = relax.VirtualMachine(_build(imported(nn.GELU(), x), LOCAL), tvm.cpu())
    found = machine["main"](tvm.runtime.tensor(x.numpy())).numpy()
    np.testing.assert_allclose(found, nn.functional.gelu(x.double()).numpy(), atol=2e-6)
