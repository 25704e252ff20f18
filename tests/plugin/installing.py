"""Installs the package of ``hwnas_reference.py`` where this process and its workers find it."""

import importlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hw_profiles.runtimes.registry import ENTRY_POINT_GROUP

MODULE = "hwnas_reference"


@contextmanager
def installed_plugin(folder: Path) -> Iterator[Path]:
    """A ``site-packages`` with the module and its metadata, on the path of this process and of new ones."""
    metadata = folder / f"{MODULE}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {MODULE}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\nreference = {MODULE}:ReferenceRuntime\n")
    shutil.copy(Path(__file__).with_name(f"{MODULE}.py"), folder)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(folder) + (f"{os.pathsep}{before}" if before else "")
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield folder
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop(MODULE, None)
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
        importlib.invalidate_caches()
