"""Finalists of a device need that device's runtime and no other."""

from dataclasses import replace

import pytest

from hw_profiles.agreement import read_reference
from hw_profiles.detect import resolve_profile
from hw_profiles.errors import MeasuringError
from nas.home import Home
from nas.measuring.context import SearchContext
from nas.measuring.shipping_check import CHECKED_IMAGES, LEAST_TOP1_AGREEMENT
from nas.progress import SilentProgress
from nas.workflows.evaluating import preparation_pool
from nas.workflows.verification import verify
from nas.workspace import open_workspace, space_of


class Messages(SilentProgress):
    """Keeps what is said."""

    def __init__(self, said):
        self.said = said

    def say(self, message):
        self.said.append(message)


def verified_smallest(home, device, messages):
    """The smallest network, verified; its genotype is canonical."""
    with open_workspace(Home(home)) as workspace:
        supernet = workspace.supernet()
        space = space_of(supernet)
        genotype = space.smallest()
        profile = resolve_profile(device)
        workspace.store.devices.put(profile)
        with preparation_pool(workspace, supernet) as pool:
            context = SearchContext(
                workspace=workspace, supernet=supernet, profile=profile, pool=pool, progress=Messages(messages)
            )
            return verify(context, [genotype])


@pytest.mark.usefixtures("supernet")
def test_a_finalist_ships_with_the_files_of_the_other_runtimes(hwnas):
    messages = []
    (one,) = verified_smallest(hwnas.home, "local-cpu/onnxruntime", messages).values()
    assert set(one.files) == {"onnx", "tvm", "weights"}
    assert one.files["onnx"].sha256 == one.prepared.onnx_sha256 == one.measurement.artifact_sha256
    assert messages == []
    images, outputs = read_reference(shipping_files_of(one))
    assert len(images) == len(outputs) == min(CHECKED_IMAGES, one.prepared.images_val)
    assert one.measurement.top1_agreement >= LEAST_TOP1_AGREEMENT


def shipping_files_of(one):
    return replace(one.prepared.network_files, reference=one.prepared.folder / "shipping.npz")


@pytest.mark.usefixtures("supernet")
def test_a_finalist_of_onnx_runtime_outlives_a_failing_tvm(hwnas, monkeypatch, tmp_path):
    """Without a C compiler TVM cannot link: its file is missing, and the member is not."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with open_workspace(Home(hwnas.home)) as workspace:
        compiled = workspace.compiled_folder(workspace.supernet().id[:16], resolve_profile("local-cpu/tvm"))
    for library in compiled.glob("*.so"):
        library.unlink()
    messages = []
    (one,) = verified_smallest(hwnas.home, "local-cpu/onnxruntime", messages).values()
    assert set(one.files) == {"onnx", "weights"}
    assert one.measurement.latency_p50_ms > 0
    (message,) = messages
    assert "has no tvm file (compile)" in message
    assert "install gcc" in message


@pytest.mark.usefixtures("supernet")
def test_a_finalist_of_tvm_has_its_own_library_and_needs_tvm(hwnas, monkeypatch, tmp_path):
    messages = []
    (one,) = verified_smallest(hwnas.home, "local-cpu/tvm", messages).values()
    assert set(one.files) == {"onnx", "tvm", "weights"}
    assert one.files["tvm"].sha256 == one.measurement.artifact_sha256
    monkeypatch.setenv("PATH", str(tmp_path))
    one.measurement.artifact.unlink()
    with pytest.raises(MeasuringError, match=r"fails on local-cpu/tvm \(compile\).*install gcc"):
        verified_smallest(hwnas.home, "local-cpu/tvm", messages)
