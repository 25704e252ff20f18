"""The name of this machine as a host, and its devices' ids."""

import pytest

from hw_profiles.detect import check_runs_here, detect_profiles, find_local_profile
from hw_profiles.errors import ProfileError
from hw_profiles.host import local_host, machine_id, resolved_device_id


def test_a_host_without_a_name_is_local_cpu(monkeypatch):
    monkeypatch.delenv("HWNAS_HOST", raising=False)
    assert local_host() == "local-cpu"
    assert resolved_device_id("local-cpu/tvm") == "local-cpu/tvm"


def test_local_cpu_is_an_alias_of_a_named_host(monkeypatch):
    monkeypatch.setenv("HWNAS_HOST", "alpha")
    assert resolved_device_id("local-cpu/tvm@2,1") == "alpha/tvm@2,1"
    assert resolved_device_id("beta/tvm") == "beta/tvm"
    assert resolved_device_id("local-cpu") == "local-cpu"


@pytest.mark.parametrize("name", ["a/b", "with space", "-x", "x" * 65])
def test_a_name_that_no_id_can_begin_with_is_refused(monkeypatch, name):
    monkeypatch.setenv("HWNAS_HOST", name)
    with pytest.raises(ProfileError, match="HWNAS_HOST"):
        local_host()


def test_the_devices_of_a_named_host_have_its_name(monkeypatch):
    monkeypatch.setenv("HWNAS_HOST", "alpha")
    assert {profile.device for profile in detect_profiles()} == {"alpha"}
    found = find_local_profile("local-cpu/onnxruntime@1,1")
    assert found is not None
    assert found.id == "alpha/onnxruntime"


def test_a_variant_has_its_threads(monkeypatch):
    monkeypatch.delenv("HWNAS_HOST", raising=False)
    profile = find_local_profile("local-cpu/onnxruntime")
    if profile.cores < 2:
        pytest.skip("one core")
    variant = find_local_profile("local-cpu/onnxruntime@2,1")
    assert (variant.id, variant.threads) == ("local-cpu/onnxruntime@2,1", 2)
    assert variant.fingerprint != profile.fingerprint
    assert find_local_profile("local-cpu/onnxruntime@2,8") is None, "only batch 1 is measured"


def test_a_device_of_another_host_is_not_measured_here(monkeypatch):
    monkeypatch.setenv("HWNAS_HOST", "alpha")
    (of_alpha, *_) = detect_profiles()
    monkeypatch.setenv("HWNAS_HOST", "beta")
    with pytest.raises(ProfileError, match="a device of 'alpha', and this host is 'beta'"):
        check_runs_here(of_alpha)


def test_a_machine_has_one_identity(tmp_path):
    assert machine_id() == machine_id()
    (tmp_path / "boot_id").write_text("another\n")
    assert machine_id(tmp_path / "boot_id") == "another"
    assert machine_id(tmp_path / "missing")
