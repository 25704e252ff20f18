"""Damage to the file of an open database is seen, whatever SQLite has in its caches."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nas.store import open_store
from nas.store.errors import StoreDamagedError
from tests.nas.store.rows import put_device


def _overwrite(path: Path, start: int, length: int) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xa5" * length)


def _delete_all(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def _replace(path: Path) -> None:
    other = path.with_name("other.db")
    with open_store(other):
        pass
    other.replace(path)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "deleted": Path.unlink,
    "deleted with its log": _delete_all,
    "replaced": _replace,
    "header": lambda path: _overwrite(path, 0, 100),
    "everything": lambda path: _overwrite(path, 0, path.stat().st_size),
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "pages": lambda path: _overwrite(path, 4096, path.stat().st_size - 4096),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_and_nothing_is_written(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "hwnas.db"
    with open_store(path) as store:
        put_device(store)
    with open_store(path) as store:
        store.check()
        assert store.devices.all()
        DAMAGES[damage](path)
        with pytest.raises(StoreDamagedError, match="restore it from a copy"):
            store.check()
        if damage == "pages":
            return  # a page that SQLite has in memory is written whole again
        with pytest.raises(StoreDamagedError):
            put_device(store, "local-cpu/onnxruntime")


def test_a_whole_database_passes_while_it_is_written(tmp_path: Path) -> None:
    with open_store(tmp_path / "a %?#.db") as store:
        store.check()
        with store.database.connection():  # another transaction is open
            store.check()
        for number in range(20):
            put_device(store, f"device-{number}")
            store.check()
        assert len(store.devices.all()) == 20
