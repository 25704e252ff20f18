import json

import pytest

from tests.command_line import run_command


def test_space_without_int8_is_refused():
    done = run_command("bench", "kernels", "--space", "nasbench201")
    assert done.exit_code == 2
    assert "no int8 policy" in done.stderr
