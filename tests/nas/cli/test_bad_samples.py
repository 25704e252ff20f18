"""Samples that nothing good can come from, through the commands: one sentence, or a stated fallback."""

import json

import numpy as np
import pytest

from hw_profiles.measurement_table import MeasurementTable
from search_spaces.registry import get_space
from tests.predictors.synthetic import device_latency_ms

SPACE = get_space("mobilenet_v3:tiny")


@pytest.fixture
def table(tmp_path):
    """Devices of one space: two that can be learned from, and some that cannot."""
    rng = np.random.default_rng(0)
    rows = np.unique(SPACE.sample(60, rng), axis=0)
    few = np.full(len(rows), np.nan)
    few[:6] = np.arange(1.0, 7.0)
    path = tmp_path / "table.csv"
    MeasurementTable(
        space=SPACE.name,
        archs=tuple(SPACE.to_strings(rows)),
        latency_ms={
            "phone": device_latency_ms(SPACE, rows, rng),
            "board": device_latency_ms(SPACE, rows, rng, integer_speedup=1.0),
            "flat": np.full(len(rows), 2.0),
            "few": few,
            "never": np.full(len(rows), np.nan),
        },
        accuracy={},
    ).save(path)
    return path


def bench(table, **options):
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return ("bench", "calibration", "--table", table, "--seeds", 1, *words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"targets": "flat", "samples": 10}, "same latencies in ms (2)"),
        ({"targets": "few", "samples": 10}, "'few' has"),
        ({"targets": "never", "samples": 10}, "'never' has 0 rows"),
        ({"targets": "phone", "samples": 3}, "3 samples are too few"),
        ({"targets": "phone", "samples": 10, "sources": "flat"}, "source 'flat': all"),
        ({"targets": "phone", "samples": 10, "sources": "never"}, "source 'never': 0 samples are too few"),
        ({"targets": "phone", "samples": 10, "sources": "tablet"}, "unknown device 'tablet'"),
        ({"targets": "tablet", "samples": 10}, "unknown device 'tablet'"),
    ],
)
def test_what_cannot_be_learned_from_is_said(hwnas, table, options, words):
    message = hwnas.refused(*bench(table, **options))
    assert words in message


@pytest.mark.parametrize(("sources", "count"), [("", 0), ("board", 1), ("phone", 0)])
def test_no_source_or_one_is_enough_and_the_row_says_so(hwnas, table, sources, count):
    (row,) = hwnas.json(*bench(table, targets="phone", samples=12, sources=sources))
    assert row["sources"] == count
    assert row["mape_pct"] < 30


def test_more_samples_than_rows_are_all_rows_and_the_row_says_so(hwnas, table):
    (row,) = hwnas.json(*bench(table, targets="phone", samples=1000))
    assert row["samples"] == 1000
    assert row["samples_used"] + row["held_out_rows"] == len(MeasurementTable.load(table))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("mobilenet_v3:tiny,nonsense,1,1", "row 61"),
        ("mobilenet_v3:tiny,{arch},nan,1", "row 61: latency_ms:a is 'nan'"),
        ("mobilenet_v3:tiny,{arch},inf,1", "row 61: latency_ms:a is 'inf'"),
        ("mobilenet_v3:tiny,{arch},0,1", "row 61: latency_ms:a is '0'"),
    ],
)
def test_a_bad_row_is_named(hwnas, tmp_path, line, words):
    rows = np.unique(SPACE.sample(60, np.random.default_rng(0)), axis=0)
    archs = SPACE.to_strings(rows)
    good = [f"{SPACE.name},{arch},{number + 1},{number + 2}" for number, arch in enumerate(archs)]
    assert len(good) == 60
    path = tmp_path / "bad.csv"
    path.write_text("\n".join(["space,arch,latency_ms:a,latency_ms:b", *good, line.format(arch=archs[0])]) + "\n")
    assert words in hwnas.refused("bench", "calibration", "--table", path, "--targets", "a", "--samples", "10")
    assert words in hwnas.refused("measurements", "import", path)


def test_sources_of_another_space_are_not_known_here(hwnas, tmp_path, table):
    fbnet = get_space("fbnet")
    rows = np.unique(fbnet.sample(20, np.random.default_rng(0)), axis=0)
    other = MeasurementTable(
        space="fbnet",
        archs=tuple(fbnet.to_strings(rows)),
        latency_ms={"watch": np.arange(1.0, len(rows) + 1)},
        accuracy={},
    )
    other.save(tmp_path / "other.csv")
    hwnas.json("measurements", "import", table, tmp_path / "other.csv")
    arguments = ("calibrate", "local-cpu/onnxruntime", "--space", SPACE.name, "--sources", "watch")
    message = hwnas.refused(*arguments)
    assert f"unknown device with measurements of {SPACE.name} 'watch'; known: phone, board, flat, few" in message
    code, _, err = hwnas(*arguments, "--json")
    assert code == 2
    assert json.loads(err)["error"]["code"] == "unknown-name"
