"""The client's own wheel, and the generated half of its code."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from hwnas.client.version import VERSION
from scripts.make_sync_client import CLIENT, generated

ROOT = CLIENT.parents[1]


def test_the_wheel_holds_the_client_and_needs_httpx_only(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "hwnas", tmp_path / "hwnas")  # building leaves files beside the sources
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "--wheel-dir", tmp_path, tmp_path / "hwnas"], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("hwnas_client-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith("/METADATA"))
        archive.extractall(tmp_path / "installed")
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "hwnas").rglob("*.py")}
    assert {name for name in names if ".dist-info/" not in name} == modules | {"hwnas/py.typed"}
    needed = [line for line in metadata.splitlines() if line.startswith("Requires-Dist:")]
    assert needed == ["Requires-Dist: httpx>=0.28", 'Requires-Dist: rich>=14; extra == "progress"']
    assert f"Version: {VERSION}" in metadata
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'installed')!r}); import hwnas.client as c; print(c.__file__)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(tmp_path))


def test_the_versions_agree() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"] == VERSION


@pytest.mark.parametrize("name", sorted(path.name for path in (CLIENT / "_async").glob("*.py")))
def test_the_client_without_asyncio_is_generated(name: str) -> None:
    assert (CLIENT / "_sync" / name).read_text("utf-8") == generated(CLIENT / "_async" / name)
