"""Commands in this process on a home without anything but an empty database."""

import shutil

import pytest

from tests.command_line import CommandLine


@pytest.fixture
def hwnas(tmp_path, monkeypatch, capsys, sqlite_template):
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(sqlite_template, home / "hwnas.db")
    monkeypatch.setenv("HWNAS_HOME", str(home))
    return CommandLine(home, capsys)
