"""Commands in this process on an empty home."""

import pytest

from tests.command_line import CommandLine


@pytest.fixture
def hwnas(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HWNAS_HOME", str(tmp_path / "home"))
    return CommandLine(tmp_path / "home", capsys)
