"""The one definition of a precision, and everything that follows from a registered one."""

import subprocess
import sys
from pathlib import Path

import pytest

from search_spaces.errors import UsageError
from search_spaces.operators import Operator
from search_spaces.precision import BITS, PRECISIONS, SPECS, Width
from search_spaces.quant_spec import QuantSpec
from tests.plugin.installing import installed_precision

ROOT = Path(__file__).parents[2]


def test_float_is_the_first_of_the_built_in_precisions():
    assert PRECISIONS == ("fp32", "int8", "w4a8")
    assert [SPECS[name].quantized for name in PRECISIONS] == [False, True, True]
    assert [(BITS[name], BITS[name].weight_bits) for name in ("int8", "w4a8")] == [(8, 8), (8, 4)]


@pytest.mark.parametrize(("bits", "stored"), [(8, 8), (5, 8), (4, 4), (3, 4)])
def test_weights_of_at_most_4_bits_are_packed(bits, stored):
    assert QuantSpec(name="x", weight_bits=bits, activation_bits=8).stored_weight_bits == stored
    assert SPECS["fp32"].stored_weight_bits == 32


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weight_bits": 8}, "32 and 32"),
        ({"weight_bits": 1, "activation_bits": 8}, "2 to 8"),
        ({"weight_bits": 4, "activation_bits": 4}, "2 to 8"),
        ({"name": "w 4"}, "underscores"),
        ({"weight_bits": 8, "activation_bits": 8, "weight_scheme": "asymmetric"}, "symmetric weights"),
    ],
)
def test_precisions_that_no_network_has_are_refused(changes, words):
    with pytest.raises(UsageError, match=words):
        QuantSpec(**({"name": "x"} | changes))


def test_weights_narrower_than_activations_are_stored_so():
    op = Operator(
        kind="linear", in_channels=3, out_channels=5, in_height=1, in_width=1, out_height=1, out_width=1,
        bits=8, weight_bits=4,
    )  # fmt: skip
    assert op.weight_bytes == 8 + 4 * 5  # 15 weights of half a byte, rounded up, and biases
    assert op.activation_bytes == 3 + 5
    assert Width(8, 4) == Width(8, 8)  # no conversion between them


def test_a_registered_precision_is_followed_everywhere(tmp_path):
    """In a process of its own: genes are the same for the life of a process."""
    with installed_precision(tmp_path):
        found = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "tests.plugin.use_w6a8", str(tmp_path)],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert found.stdout.endswith("followed\n"), found.stderr


def test_a_broken_precision_is_one_sentence(tmp_path):
    with installed_precision(tmp_path, "w6a8 = hwnas_w6a8:QuantSpec"):
        export = ["data", "export", "fashion-mini", str(tmp_path / "images.npz")]
        found = subprocess.run(
            [sys.executable, "-m", "nas.cli", *export], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert found.returncode == 0  # nothing of it is needed here
        found = subprocess.run(
            [sys.executable, "-m", "nas.cli", "devices"], cwd=ROOT, capture_output=True, text=True, check=False
        )
    assert found.returncode == 1
    assert "w6a8" in found.stderr
    assert found.stderr.count("\n") == 1
