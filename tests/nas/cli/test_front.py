"""``hwnas front export`` and ``hwnas export`` where the file system is in the way."""

import sqlite3
from contextlib import closing

import pytest

from nas.store import open_store
from tests.nas.store.rows import front_body, front_member, open_search, put_candidates


@pytest.fixture
def front(hwnas):
    """The id of a stored front whose artifacts are nowhere: whatever is copied fails otherwise."""
    with open_store(hwnas.home / "hwnas.db") as store:
        open_search(store)
        (candidate,) = put_candidates(store, 1)
        body = front_body([front_member(candidate, p95_ms=1.0, size_bytes=10, accuracy=0.5)])
        return store.fronts.add("search-1", body).id


def test_a_front_file_does_not_replace_a_folder(hwnas, front, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    refusal = hwnas.refused("front", "export", front, "--out", folder)
    assert f"--out {folder} is a folder, not a file; give another path" in refusal
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("below", ["/", "", "/deeper"])
def test_an_export_does_not_go_into_a_file(hwnas, front, tmp_path, below):
    file = tmp_path / "file"
    file.write_text("mine")
    assert f"{file} is no folder; give another path" in hwnas.refused("export", front, "--out", f"{file}{below}")
    assert f"{file} is no folder" in hwnas.refused("front", "export", front, "--out", file / "front.json")
    assert file.read_text() == "mine"


@pytest.mark.parametrize("name", ["front.json", "front.png", "front.html"])
def test_an_export_needs_the_names_of_its_files(hwnas, front, tmp_path, name):
    (tmp_path / "out" / name).mkdir(parents=True)
    assert f"{name} is a folder" in hwnas.refused("export", front, "--out", tmp_path / "out")


def test_a_damaged_front_is_one_sentence(hwnas, front):
    with closing(sqlite3.connect(hwnas.home / "hwnas.db")) as connection, connection:
        connection.execute("update fronts set body='{\"schema\"'")
    code, out, err = hwnas("front", "show", front)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "search again with another seed" in err
