"""Scheduled kernels compute what the plain loops compute, for the shapes that spaces hold."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from hw_profiles.agreement import check_agreement
from hw_profiles.detect import Processor, detect_profiles, resolve_profile
from hw_profiles.network_files import NetworkFiles
from hw_profiles.runtimes.tvm_runtime import TvmRuntime, target_of

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # torch reading its own files
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


class Kernels(nn.Module):
    """A dense and a depthwise convolution, pointwise ones, a mean and a linear layer."""

    def __init__(self, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels)
        self.pointwise = nn.Conv2d(channels, channels, 1)
        self.strided = nn.Conv2d(channels, 7, 1, stride=2)
        self.linear = nn.Linear(7, 5)

    def forward(self, image):
        inner = functional.relu(self.depthwise(self.stem(image)))
        inner = inner + functional.hardswish(self.pointwise(inner))
        return self.linear(self.strided(inner).mean((2, 3)))


def _files(folder, channels, kernel, stride, side) -> NetworkFiles:
    torch.manual_seed(0)
    network = Kernels(channels, kernel, stride).eval()
    images = torch.randn(2, 3, side, side)
    torch.export.save(torch.export.export(network, (images[:1],)), folder / "network.pt2")
    with torch.no_grad():
        np.savez(folder / "reference.npz", input=images.numpy(), output=network(images).numpy())
    return NetworkFiles(
        name=f"k{channels}-{kernel}-{stride}-{side}",
        onnx=folder / "none.onnx",
        exported_program=folder / "network.pt2",
        reference=folder / "reference.npz",
    )


@pytest.mark.parametrize(
    ("channels", "kernel", "stride", "side"),
    [(8, 3, 1, 28), (24, 5, 2, 27), (13, 3, 1, 22), (48, 7, 2, 30), (1, 3, 1, 9), (144, 5, 1, 14)],
)
def test_every_shape_agrees_with_pytorch(tmp_path, channels, kernel, stride, side):
    files = _files(tmp_path, channels, kernel, stride, side)
    profile, runtime = resolve_profile("local-cpu/tvm"), TvmRuntime()
    artifact = runtime.compile(files, profile, tmp_path)
    assert check_agreement(runtime.load(artifact, profile), files).max_abs_error < 1e-5


@pytest.mark.parametrize("isa", [(), ("avx2", "fma", "f16c", "avx", "sse4_2")])
def test_older_processors_get_narrower_vectors(tmp_path, isa):
    local = resolve_profile("local-cpu/tvm")
    if not set(isa) <= set(local.isa):
        pytest.skip("this processor cannot run the code")
    files = _files(tmp_path, 24, 3, 1, 20)
    profile, runtime = dataclasses.replace(local, isa=isa), TvmRuntime()
    artifact = runtime.compile(files, profile, tmp_path)
    assert check_agreement(runtime.load(artifact, profile), files).max_abs_error < 1e-5


def test_another_architecture_has_its_target():
    arm = Processor(name="Cortex", architecture="aarch64", isa=("asimd", "asimddp"), cores=4)
    (profile,) = [profile for profile in detect_profiles(arm) if profile.runtime == "tvm"]
    assert "aarch64" in str(target_of(profile))
