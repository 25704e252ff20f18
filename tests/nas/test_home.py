import subprocess

import pytest

from nas.cli.main import run
from nas.home import DiskFullError, Home, copy_file, sha256_of, write_atomically, write_bytes


@pytest.fixture
def full_disk(tmp_path):
    """A real file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_keeps_the_old_file_and_leaves_no_other(full_disk):
    path = full_disk / "kept"
    write_bytes(path, b"old")
    with pytest.raises(DiskFullError, match="no space left"):
        write_bytes(path, b"x" * 200_000)
    assert path.read_bytes() == b"old"
    assert list(full_disk.iterdir()) == [path]


def test_a_full_disk_is_one_sentence_and_code_1(full_disk, capsys):
    assert run(["data", "export", "fashion-mini", str(full_disk / "f.npz")]) == 1
    error = capsys.readouterr().err
    assert "no space left" in error
    assert error.count("\n") == 1
    assert list(full_disk.iterdir()) == []


def test_a_write_that_fails_leaves_nothing(tmp_path):
    def fail(temporary):
        temporary.write_bytes(b"half")
        raise RuntimeError("cut off")

    with pytest.raises(RuntimeError, match="cut off"):
        write_atomically(tmp_path / "file", fail)
    assert list(tmp_path.iterdir()) == []


def test_a_copy_is_equal(tmp_path):
    write_bytes(tmp_path / "a", b"content")
    copy_file(tmp_path / "a", tmp_path / "deep" / "b")
    assert sha256_of(tmp_path / "a") == sha256_of(tmp_path / "deep" / "b")


def test_the_home_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("HWNAS_HOME", str(tmp_path))
    assert Home.from_environment().root == tmp_path
    assert Home.from_environment().database_url == f"sqlite:///{tmp_path / 'hwnas.db'}"
    monkeypatch.setenv("HWNAS_DATABASE_URL", "postgresql://somewhere/hwnas")
    assert Home.from_environment().database_url == "postgresql://somewhere/hwnas"


@pytest.mark.parametrize("below", ["", "deep/er"])
def test_a_home_that_is_a_file_is_wrong_usage_in_one_sentence(tmp_path, monkeypatch, capsys, below):
    file = tmp_path / "file"
    file.write_text("mine")
    monkeypatch.setenv("HWNAS_HOME", str(file / below))
    assert run(["front", "list"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert f"HWNAS_HOME {file / below} cannot be a folder" in err
    assert file.read_text() == "mine"


def test_a_home_has_one_identity_whoever_asks_first(tmp_path):
    (tmp_path / "other").mkdir()
    asked = [Home(tmp_path).identity for _ in range(2)]
    assert len(set(asked)) == 1
    assert len(asked[0]) == 32
    assert Home(tmp_path / "other").identity != asked[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home.id", "other"]
