"""Installs packages of this folder where this process and its workers find them."""

import importlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hw_profiles.runtimes.registry import ENTRY_POINT_GROUP as RUNTIMES
from search_spaces.families import ENTRY_POINT_GROUP as FAMILIES
from search_spaces.precision import ENTRY_POINT_GROUP as PRECISIONS


@contextmanager
def installed_plugin(folder: Path) -> Iterator[Path]:
    """A ``site-packages`` with the reference runtime."""
    with _installed(folder, ("hwnas_reference",), RUNTIMES, "reference = hwnas_reference:ReferenceRuntime"):
        yield folder


@contextmanager
def installed_hostile_runtime(folder: Path) -> Iterator[Path]:
    """A ``site-packages`` with the runtime whose artifacts do harm."""
    with _installed(folder, ("hwnas_hostile",), RUNTIMES, "hostile = hwnas_hostile:HostileRuntime"):
        yield folder


@contextmanager
def installed_toy_family(folder: Path) -> Iterator[Path]:
    """A ``site-packages`` with the toy family."""
    with _installed(folder, ("hwnas_toy", "hwnas_toy_networks"), FAMILIES, "toy = hwnas_toy:ToyFamily"):
        yield folder


@contextmanager
def installed_precision(folder: Path, entry: str = "w6a8 = hwnas_w6a8:W6A8") -> Iterator[Path]:
    """A ``site-packages`` with a third precision; processes that start meanwhile have it."""
    with _installed(folder, ("hwnas_w6a8",), PRECISIONS, entry):
        yield folder


@contextmanager
def _installed(folder: Path, modules: tuple[str, ...], group: str, entry: str) -> Iterator[None]:
    """Modules and their metadata, on the path of this process and of new ones."""
    name = modules[0]
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{group}]\n{entry}\n")
    for module in modules:
        shutil.copy(Path(__file__).with_name(f"{module}.py"), folder)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(folder) + (f"{os.pathsep}{before}" if before else "")
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for module in modules:
            sys.modules.pop(module, None)
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
        importlib.invalidate_caches()
