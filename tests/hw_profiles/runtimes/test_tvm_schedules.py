"""Scheduled kernels compute what the plain loops compute, for the shapes that spaces hold."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from hw_profiles.agreement import check_agreement
from hw_profiles.compiling import CompilePool
from hw_profiles.detect import Processor, detect_profiles, resolve_profile
from hw_profiles.errors import CompileError, CompileWarning
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


def _kernel_files(folder, channels, kernel, stride, side) -> NetworkFiles:
    torch.manual_seed(0)
    return _files(folder, Kernels(channels, kernel, stride), side)


def _files(folder, network, side) -> NetworkFiles:
    torch.manual_seed(0)
    network = network.eval()
    images = torch.randn(2, 3, side, side)
    torch.onnx.export(network, (images[:1],), folder / "network.onnx", dynamo=True, external_data=False, verbose=False)
    with torch.no_grad():
        np.savez(folder / "reference.npz", input=images.numpy(), output=network(images).numpy())
    return NetworkFiles(
        name=f"network-{side}",
        onnx=folder / "network.onnx",
        reference=folder / "reference.npz",
    )


@pytest.mark.parametrize(
    ("channels", "kernel", "stride", "side"),
    [
        *[(8, 3, 1, 28), (24, 5, 2, 27), (13, 3, 1, 22), (48, 7, 2, 30), (1, 3, 1, 9), (144, 5, 1, 14)],
        # Prime sides (13, 17, 31 and 7): tiles of several pixels and a shorter one.
        *[(24, 3, 1, 26), (64, 5, 1, 34), (16, 3, 1, 62), (64, 3, 2, 26)],
        # Padded copies that are made a few rows at a time.
        *[(96, 5, 1, 112), (48, 3, 2, 150)],
    ],
)
def test_every_shape_agrees_with_pytorch(tmp_path, channels, kernel, stride, side):
    files = _kernel_files(tmp_path, channels, kernel, stride, side)
    profile, runtime = resolve_profile("local-cpu/tvm"), TvmRuntime()
    artifact = runtime.compile(files, profile, tmp_path)
    assert check_agreement(runtime.load(artifact, profile), files).max_abs_error < 1e-5


class Wide(nn.Module):
    """Three megabytes of weights."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * 8 * 8, 4000)

    def forward(self, image):
        return self.linear(image.flatten(1))


def test_an_artifact_holds_weights_once(tmp_path):
    artifact = TvmRuntime().compile(_files(tmp_path, Wide(), 8), resolve_profile("local-cpu/tvm"), tmp_path)
    assert artifact.stat().st_size < 1.5 * 4 * 4000 * 3 * 8 * 8


class LogSoftmax(nn.Module):
    """Its maximum and its sum are two reductions in one kernel, for which there is no schedule."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * 8 * 8, 5)

    def forward(self, image):
        return torch.log_softmax(self.linear(image.flatten(1)), 1)


def test_kernels_without_a_schedule_are_counted_and_named(tmp_path):
    files = _files(tmp_path, LogSoftmax(), 8)
    profile, runtime = resolve_profile("local-cpu/tvm"), TvmRuntime()
    with pytest.warns(CompileWarning, match=r"no schedule fits 1 of \d kernels, .*: \w*softmax"):
        artifact = runtime.compile(files, profile, tmp_path)
    assert check_agreement(runtime.load(artifact, profile), files).max_abs_error < 1e-5
    warned = []
    with CompilePool(profile, tmp_path / "pool", workers=1, on_warning=lambda *said: warned.append(said)) as pool:
        (compiled,) = pool.compile([files], check=True)
    assert compiled.exists()
    assert [(name, "softmax" in message) for name, message in warned] == [(files.name, True)]
    assert "softmax" in (tmp_path / "pool" / "compiler-tvm-0.log").read_text()


@pytest.mark.parametrize("isa", [(), ("avx2", "fma", "f16c", "avx", "sse4_2")])
def test_older_processors_get_narrower_vectors(tmp_path, isa):
    local = resolve_profile("local-cpu/tvm")
    if not set(isa) <= set(local.isa):
        pytest.skip("this processor cannot run the code")
    files = _kernel_files(tmp_path, 24, 3, 1, 20)
    profile, runtime = dataclasses.replace(local, isa=isa), TvmRuntime()
    artifact = runtime.compile(files, profile, tmp_path)
    assert check_agreement(runtime.load(artifact, profile), files).max_abs_error < 1e-5


def test_another_architecture_has_its_target():
    arm = Processor(name="Cortex", architecture="aarch64", isa=("asimd", "asimddp"), cores=4)
    (profile,) = [profile for profile in detect_profiles(arm) if profile.runtime == "tvm"]
    assert "aarch64" in str(target_of(profile))


def test_a_network_is_compiled_here_for_another_architecture(tmp_path, monkeypatch):
    arm = Processor(name="Cortex", architecture="aarch64", isa=("asimd",), cores=4)
    (profile,) = [profile for profile in detect_profiles(arm) if profile.runtime == "tvm"]
    files = _kernel_files(tmp_path, 8, 3, 1, 8)
    if shutil.which("aarch64-linux-gnu-gcc") is None:
        pytest.skip("no linker for aarch64 is installed (Debian: gcc-aarch64-linux-gnu)")
    library = TvmRuntime().compile(files, profile, tmp_path).read_bytes()
    assert library[:4] == b"\x7fELF"
    assert int.from_bytes(library[18:20], "little") == 183, "EM_AARCH64"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CompileError, match="install gcc-aarch64-linux-gnu"):
        TvmRuntime().compile(files, profile, tmp_path)
