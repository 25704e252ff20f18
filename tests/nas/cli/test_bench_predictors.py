import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from hw_profiles.measurement_table import MeasurementTable, TableError
from nas.cli import bench_predictors
from search_spaces.errors import UsageError
from search_spaces.facts import CostFacts
from search_spaces.registry import get_space


@pytest.fixture
def table(tmp_path):
    space = get_space("mnasnet")
    rng = np.random.default_rng(0)
    genotypes = np.unique(space.sample(120, rng), axis=0)
    macs = CostFacts(space).column("macs", genotypes)
    columns = {
        name: (macs / speed + 1.0) * rng.lognormal(0, 0.02, len(macs)) for name, speed in (("a", 1e8), ("b", 2e8))
    }
    path = tmp_path / "table.csv.gz"
    MeasurementTable(
        space="mnasnet",
        archs=tuple(space.to_strings(genotypes)),
        latency_ms=columns,
        accuracy={"top1": 0.5 + 0.02 * np.log(macs / macs.min()) + rng.normal(0, 0.002, len(macs))},
    ).save(path)
    return path


def _run(command, *arguments):
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def test_calibration_prints_a_table_and_writes_rows(table, tmp_path):
    out = tmp_path / "rows.json"
    arguments = ("--table", table, "--sources", "a", "--targets", "b", "--samples", "10", "--seeds", 2, "--out", out)
    result = _run(bench_predictors.calibration, *arguments)
    assert result.exit_code == 0
    assert "worst b" in result.stdout
    rows = json.loads(out.read_text())
    assert [(row["target"], row["samples"], row["seed"]) for row in rows] == [("b", 10, 0), ("b", 10, 1)]


@pytest.mark.parametrize("command", [bench_predictors.calibration, bench_predictors.ablation])
def test_sources_of_another_space_are_said_to_serve_no_target(command, table, tmp_path):
    other = get_space("nasbench201")
    rows = np.unique(other.sample(12, np.random.default_rng(0)), axis=0)
    column = np.linspace(1.0, 2.0, len(rows))
    elsewhere = tmp_path / "elsewhere.csv"
    MeasurementTable(
        space=other.name,
        archs=tuple(other.to_strings(rows)),
        latency_ms=dict.fromkeys(("c", "d", "e", "f"), column),
        accuracy={},
    ).save(elsewhere)
    arguments = ("--table", table, "--table", elsewhere, "--targets", "b", "--samples", "5", "--seeds", 1, "--json")
    lonely = _run(command, *arguments, "--sources", "c")
    sentence = "nasbench201's c is no source for mnasnet: its targets (b) are calibrated without sources."
    assert lonely.stderr.splitlines().count(sentence) == 1
    many = _run(command, *arguments, "--sources", "c,d,e,f")
    assert "nasbench201's c, nasbench201's d, nasbench201's e and 1 more are no sources for mnasnet" in many.stderr
    for served in ("a,c", ""):
        assert "no source" not in _run(command, *arguments, "--sources", served).stderr


def test_what_a_small_table_had_is_said(table):
    arguments = ("--table", table, "--targets", "a,b", "--samples", "10,500", "--seeds", 1)
    used = {
        row["samples"]: row["samples_used"]
        for row in json.loads(_run(bench_predictors.calibration, *arguments, "--json").stdout)
    }
    assert used[10] == 10
    assert used[500] < 120
    printed = _run(bench_predictors.calibration, *arguments).stdout
    assert printed.count(f"500 ({used[500]} used)") == 2
    assert f"mnasnet, 500 samples ({used[500]} used): mean" in printed
    assert "mnasnet, 10 samples: mean" in printed
    arguments = ("--table", table, "--task", "top1", "--train-sizes", "40,9000", "--seeds", 1)
    _, row = json.loads(_run(bench_predictors.accuracy, *arguments, "--json").stdout)
    assert row["train_size"] == 9000
    assert f"9000 ({row['train_rows']} used)" in _run(bench_predictors.accuracy, *arguments).stdout


def test_accuracy_prints_rows_as_json(table):
    result = _run(
        bench_predictors.accuracy, "--table", table, "--task", "top1", "--train-sizes", 40, "--seeds", 1, "--json"
    )
    assert result.exit_code == 0
    assert json.loads(result.stdout)[0]["kendall_tau"] > 0.5


@pytest.mark.parametrize("samples", ["ten", "", "10,-5", "10.5"])
def test_sample_counts_that_are_none(table, samples):
    with pytest.raises(UsageError, match="whole numbers"):
        _run(bench_predictors.calibration, "--table", table, "--targets", "b", "--samples", samples)


def test_a_string_that_does_not_parse_names_its_file_and_row(table, tmp_path):
    good = MeasurementTable.load(table)
    bad = tmp_path / "bad.csv"
    MeasurementTable(
        space=good.space, archs=("nonsense", *good.archs[1:]), latency_ms=good.latency_ms, accuracy=good.accuracy
    ).save(bad)
    for command, *options in (
        (bench_predictors.calibration, "--targets", "b"),
        (bench_predictors.accuracy, "--task", "top1"),
    ):
        with pytest.raises(TableError, match=r"bad\.csv: row 1: "):
            _run(command, "--table", bad, *options)


def test_models_prints_a_table_and_writes_rows(table, tmp_path):
    out = tmp_path / "rows.json"
    arguments = (
        "--table",
        table,
        "--devices",
        "a",
        "--tasks",
        "top1",
        "--samples",
        "10,900",
        "--seeds",
        1,
        "--out",
        out,
    )
    result = _run(bench_predictors.models, *arguments)
    assert result.exit_code == 0
    assert "Kendall's tau" in result.stdout
    assert "chosen" in result.stdout
    rows = json.loads(out.read_text())
    assert {(row["quantity"], row["samples"]) for row in rows} == {("latency", 10), ("accuracy", 10)}
    assert {"trees", "gaussian_process", "ridge", "chosen"} <= {row["model"] for row in rows}
    done = [line for line in result.stderr.splitlines() if line.startswith("fits: ")]
    assert done[-1].split()[1] == f"{len(rows)}/{len(rows)}"
    assert len(done) < len(rows), "fits before the last one are not shown as the end"
    with pytest.raises(UsageError, match="at least one device or task"):
        _run(bench_predictors.models, "--table", table)
