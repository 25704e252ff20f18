import subprocess
import sys

import pytest

from hw_profiles.runtimes.registry import ENTRY_POINT_GROUP, get_runtime, runtime_names
from search_spaces.errors import UnknownNameError


def test_both_runtimes_are_installed():
    assert {"onnxruntime", "tvm"} <= set(runtime_names())


def test_unknown_runtime_names_the_known_ones():
    with pytest.raises(UnknownNameError, match="known: onnxruntime, tvm"):
        get_runtime("abacus")


def test_another_packages_runtime_is_found_by_its_entry_point(tmp_path):
    distribution = tmp_path / "abacus-1.0.dist-info"
    distribution.mkdir()
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: abacus\nVersion: 1.0\n")
    (distribution / "entry_points.txt").write_text(
        f"[{ENTRY_POINT_GROUP}]\nabacus = abacus:Abacus\nbroken = gone:X\ngreedy = abacus:Greedy\n"
    )
    (tmp_path / "abacus.py").write_text(
        "class Abacus:\n    name = artifact_kind = 'abacus'\nclass Greedy:\n    artifact_kind = 'weights'\n"
    )
    program = (
        "from hw_profiles.runtimes.registry import get_runtime, runtime_names\n"
        "from hw_profiles.errors import ProfileError\n"
        "assert get_runtime('abacus').name == 'abacus'\n"
        "assert 'abacus' in runtime_names()\n"
        "for name in ('broken', 'greedy'):\n"
        "    try:\n        get_runtime(name)\n    except ProfileError as error:\n        print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    assert "'broken' (gone:X) cannot be loaded" in done.stdout
    assert "'greedy' (abacus:Greedy) calls its artifacts 'weights'" in done.stdout


def test_naming_and_describing_runtimes_imports_none():
    program = (
        "import sys; from hw_profiles.detect import detect_profiles; detect_profiles();"
        "assert not {'torch', 'tvm', 'onnxruntime', 'onnx'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
