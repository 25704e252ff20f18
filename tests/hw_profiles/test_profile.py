import dataclasses

import pytest

from hw_profiles.errors import ProfileError
from hw_profiles.profile import DeviceProfile

PROFILE = DeviceProfile(
    id="bench/tvm",
    device="bench",
    runtime="tvm",
    runtime_version="1",
    processor='Some "Quoted" Processor \u00b5',
    architecture="x86_64",
    isa=("avx2", "fma"),
    cores=4,
    precisions={"fp32": "native", "int8": "emulated"},
)


def test_toml_round_trip(tmp_path):
    PROFILE.save(tmp_path / "folder" / "bench.toml")
    assert DeviceProfile.load(tmp_path / "folder" / "bench.toml") == PROFILE


def test_json_round_trip():
    assert DeviceProfile.from_json(PROFILE.as_json()) == PROFILE


def test_devices_of_a_host_are_named_after_it_and_measure_alike():
    phone = PROFILE.on_host("phone")
    assert (phone.id, phone.device, phone.fingerprint) == ("phone/tvm", "phone", PROFILE.fingerprint)
    assert dataclasses.replace(PROFILE, threads=2).on_host("phone").id == "phone/tvm@2,1"


@pytest.mark.parametrize(
    "change",
    [
        {"runtime": "onnxruntime"},
        {"runtime_version": "2"},
        {"processor": "Other"},
        {"isa": ("avx2",)},
        {"cores": 8},
        {"threads": 2},
        {"batch": 8},
        {"precisions": {"fp32": "native", "int8": "native"}},
    ],
)
def test_whatever_changes_timings_changes_the_fingerprint(change):
    assert dataclasses.replace(PROFILE, **change).fingerprint != PROFILE.fingerprint


def test_what_is_only_emulated_changes_no_timing():
    assert PROFILE.executes("int8") == "emulated"
    plain = dataclasses.replace(PROFILE, precisions={"fp32": "native"})
    assert plain.fingerprint == PROFILE.fingerprint


def test_a_name_does_not_change_the_fingerprint():
    assert dataclasses.replace(PROFILE, id="other/tvm", device="other").fingerprint == PROFILE.fingerprint


def test_says_how_a_precision_is_executed():
    assert PROFILE.executes("int8") == "emulated"
    assert dataclasses.replace(PROFILE, precisions={"fp32": "native"}).executes("int8") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"processor": ""}, "empty processor"),
        ({"threads": 0}, "threads = 0"),
        ({"threads": 5}, "5 threads on 4 cores"),
        ({"precisions": {"fp32": "native", "int2": "native"}}, "precision int2 as native"),
        ({"precisions": {"int8": "native"}}, "does not execute fp32"),
    ],
)
def test_contradictions_are_refused(change, message):
    with pytest.raises(ProfileError, match=message):
        dataclasses.replace(PROFILE, **change)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id = ", "cannot be read"),
        ('id = "a/b"', "missing or unknown fields"),
        (PROFILE.to_toml().replace("cores = 4", 'cores = "four"'), "cores = 'four'; int is needed"),
        (PROFILE.to_toml().replace("cores = 4", "cores = true"), "cores = True; int is needed"),
        ("colour = 1\n" + PROFILE.to_toml(), "missing or unknown fields colour"),
    ],
)
def test_bad_files_are_refused_with_their_name(tmp_path, text, message):
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(ProfileError, match=message) as caught:
        DeviceProfile.load(tmp_path / "bad.toml")
    assert "bad.toml" in str(caught.value)


def test_missing_file_is_an_error(tmp_path):
    with pytest.raises(ProfileError, match="cannot be read"):
        DeviceProfile.load(tmp_path / "none.toml")
