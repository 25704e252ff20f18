"""``hwnas sensitivity`` without a supernet; with one, see tests/nas/workflows."""

import pytest

from nas.quantization.sensitivity import NetworkSensitivity, UnitSensitivity
from nas.reports.sensitivity_plot import plot_sensitivity
from search_spaces.errors import UsageError


def entry(unit, divergence, precision="int8"):
    failed = divergence is None
    return UnitSensitivity(
        unit=unit,
        precision=precision,
        divergence=divergence,
        loss_increase=None if failed else divergence / 2,
        agreement=None if failed else 0.9,
        reason="no integer form" if failed else None,
    )


FOUND = NetworkSensitivity(
    units=(entry("stem", 1e-3), entry("stage1.block1", None), entry("head", 4e-3)),
    together=(entry("all", 6e-3),),
    float_loss=0.4,
    images=16,
)


@pytest.mark.parametrize(("name", "start"), [("p.png", b"\x89PNG"), ("p.html", b"<!doctype html>")])
def test_plots_are_files_of_their_kind(tmp_path, name, start):
    plot_sensitivity(FOUND, "a network", tmp_path / name)
    content = (tmp_path / name).read_bytes()
    assert content.startswith(start)
    assert len(content) > 10_000


def test_other_kinds_of_plots_are_refused(tmp_path, hwnas):
    with pytest.raises(UsageError, match=r"\.png or \.html"):
        plot_sensitivity(FOUND, "a network", tmp_path / "p.gif")
    assert ".png or .html" in hwnas.refused("sensitivity", "abcd", "--plot", tmp_path / "p.gif")


def test_without_a_supernet_it_says_what_to_run(hwnas):
    assert "hwnas train" in hwnas.refused("sensitivity", "abcd")
