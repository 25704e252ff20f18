"""``hwnas bench calibration`` and ``hwnas bench accuracy``: predictors on recorded tables."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.console import TerminalProgress, print_json, print_lines, print_table
from nas.home import write_bytes
from search_spaces.errors import UsageError

if TYPE_CHECKING:
    from hw_profiles.measurement_table import MeasurementTable
    from predictors.calibration_benchmark import CalibrationPlan

Tables = Annotated[
    list[Path], typer.Option("--table", help="A measurement table (.csv or .csv.gz); repeat it for several.")
]
Seeds = Annotated[int, typer.Option(min=1, help="Number of seeds, each with its own split.")]
Out = Annotated[Path | None, typer.Option("--out", help="Write one JSON row per run to this file.")]
Json = Annotated[bool, typer.Option("--json", help="Print the rows as JSON instead of a table.")]

_CALIBRATION_COLUMNS = (
    "spearman",
    "kendall_tau",
    "mape_pct",
    "within_5_pct",
    "within_10_pct",
    "coverage_90_pct",
    "interval_width_pct",
    "seconds",
)


def calibration(
    table: Tables,
    targets: Annotated[str, typer.Option(help="Devices to calibrate to, separated by commas.")],
    sources: Annotated[str, typer.Option(help="Known devices, separated by commas; empty for none.")] = "",
    samples: Annotated[str, typer.Option(help="Numbers of measurements to calibrate with.")] = "10,20,50",
    seeds: Seeds = 5,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Calibrate to recorded devices from few of their rows and predict the held-out ones.

    A seeded split holds out 40 % of the rows; source models are fitted to the others, and samples
    are chosen from them. A target is never its own source, and sources from other spaces are not
    used. If a table has fewer rows than the requested samples, all are used and the row reports
    how many. The table shows medians over the seeds.
    """
    from predictors.calibration_benchmark import CalibrationRow, run_calibrations

    plan, tables = _calibration_plan(table, targets, sources, samples, seeds)
    total = len(plan.targets) * len(plan.samples) * seeds
    done: list[dict[str, Any]] = []
    with TerminalProgress() as progress:

        def report(row: CalibrationRow) -> None:
            done.append(row.as_json())
            progress.update("calibrations", len(done), max(total, len(done)), {"target": row.target})

        run_calibrations(tables, plan, report, progress.say)
    write_rows(done, out)
    if as_json:
        print_json(done)
        return
    labelled = _with_used(done, "samples", "samples_used", ("space", "target", "samples"))
    _print_medians(
        "Calibration, medians over the seeds", labelled, ("space", "target", "samples"), _CALIBRATION_COLUMNS
    )
    print_lines(*_worst_lines(done))


def ablation(
    table: Tables,
    targets: Annotated[str, typer.Option(help="Devices to calibrate to, separated by commas.")],
    sources: Annotated[str, typer.Option(help="Known devices, separated by commas.")],
    samples: Annotated[str, typer.Option(help="Numbers of measurements to calibrate with.")] = "10,20,50",
    seeds: Seeds = 5,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Calibrate with one part left out at a time: base, residual process, sources, physical features, active choice.

    The table shows means over the targets of medians over the seeds.
    """
    from predictors.ablation import VARIANTS, AblationRow, run_ablation

    plan, tables = _calibration_plan(table, targets, sources, samples, seeds)
    total = len(plan.targets) * len(plan.samples) * seeds * len(VARIANTS)
    done: list[dict[str, Any]] = []
    with TerminalProgress() as progress:

        def report(row: AblationRow) -> None:
            done.append(row.as_json())
            progress.update("ablations", len(done), max(total, len(done)), {"target": row.target})

        run_ablation(tables, plan, report, progress.say)
    write_rows(done, out)
    if as_json:
        print_json(done)
        return
    metrics = ("spearman", "mape_pct", "within_10_pct")
    cells = []
    for group, members in _grouped(done, ("space", "samples", "variant")).items():
        by_target = _grouped(members, ("target",)).values()
        means = (mean(median(row[metric] for row in runs) for runs in by_target) for metric in metrics)
        cells.append([*map(str, group), *(f"{value:.4g}" for value in means)])
    order = list(VARIANTS)
    cells.sort(key=lambda row: (row[0], int(row[1]), order.index(row[2])))
    print_table("Ablation, means over the targets", ("space", "samples", "variant", *metrics), cells)


def accuracy(
    table: Tables,
    task: Annotated[str, typer.Option(help="The table's accuracy column, without `accuracy:`.")],
    train_sizes: Annotated[str, typer.Option(help="Numbers of rows to train on.")] = "50,100,500",
    seeds: Seeds = 5,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Fit accuracy predictors to some of a table's rows and predict the held-out ones.

    A seeded split holds out 40 % of the rows, or fewer if a training size needs more, but at least
    10 %. The table shows medians over the seeds.
    """
    from hw_profiles.measurement_table import MeasurementTable
    from predictors.accuracy_benchmark import AccuracyRow, run_accuracies

    sizes = _counts(train_sizes, "--train-sizes")
    tables = [MeasurementTable.load_in_space(path) for path in table]
    done: list[dict[str, Any]] = []
    with TerminalProgress() as progress:

        def report(row: AccuracyRow, total: int) -> None:
            done.append(row.as_json())
            progress.update("fits", len(done), total)

        run_accuracies(tables, task, sizes, tuple(range(seeds)), report)
    write_rows(done, out)
    if as_json:
        print_json(done)
        return
    columns = ("kendall_tau", "spearman", "r2", "rmse", "top10_kendall_tau", "coverage_90_pct", "seconds")
    keys = ("space", "task", "train_size")
    labelled = _with_used(done, "train_size", "train_rows", keys)
    _print_medians("Accuracy, medians over the seeds", labelled, keys, columns)


def models(
    table: Tables,
    devices: Annotated[str, typer.Option(help="Devices to predict, separated by commas.")] = "",
    tasks: Annotated[str, typer.Option(help="Accuracy columns to predict, separated by commas.")] = "",
    samples: Annotated[str, typer.Option(help="Numbers of samples to fit to.")] = "10,20,50,100,300,1000",
    seeds: Seeds = 3,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Compare the error of trees, Gaussian process, ridge and the chosen model for different numbers of samples.

    A seeded split holds out 40 % of the rows; samples are drawn at random from the others, and no source
    devices are used. The table shows the median error (MAPE in percent) and Kendall's tau per number of samples.
    """
    from hw_profiles.measurement_table import MeasurementTable
    from predictors.model_benchmark import ModelPlan, ModelRow, run_models

    counts = _counts(samples, "--samples")
    plan = ModelPlan(devices=_names(devices), tasks=_names(tasks), samples=counts, seeds=tuple(range(seeds)))
    tables = [MeasurementTable.load_in_space(path) for path in table]
    done: list[dict[str, Any]] = []
    with TerminalProgress() as progress:

        def report(row: ModelRow, total: int) -> None:
            done.append(row.as_json())
            progress.update("fits", len(done), total, {"target": row.target, "samples": str(row.samples)})

        run_models(tables, plan, report)
    write_rows(done, out)
    if as_json:
        print_json(done)
        return
    for column, title in (("mape_pct", "Error in percent"), ("kendall_tau", "Kendall's tau")):
        cells = []
        for group, members in _grouped(done, ("space", "target", "model")).items():
            by_count = _grouped(members, ("samples",))
            values = (
                median(row[column] for row in by_count[(count,)]) if (count,) in by_count else None for count in counts
            )
            cells.append([*map(str, group), *("" if value is None else f"{value:.3g}" for value in values)])
        print_table(f"{title}, medians over the seeds", ("space", "target", "model", *map(str, counts)), cells)


def _calibration_plan(
    paths: Sequence[Path], targets: str, sources: str, samples: str, seeds: int
) -> "tuple[CalibrationPlan, list[MeasurementTable]]":
    from hw_profiles.measurement_table import MeasurementTable
    from predictors.calibration_benchmark import CalibrationPlan

    plan = CalibrationPlan(
        sources=_names(sources),
        targets=_names(targets),
        samples=_counts(samples, "--samples"),
        seeds=tuple(range(seeds)),
    )
    return plan, [MeasurementTable.load_in_space(path) for path in paths]


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _counts(text: str, option: str) -> tuple[int, ...]:
    words = _names(text)
    bad = [word for word in words if not word.isdecimal() or int(word) < 1]
    if bad or not words:
        raise UsageError(f"{option} is {text!r}; give whole numbers separated by commas, for example 10,20,50.")
    return tuple(int(word) for word in words)


def write_rows(rows: Sequence[Mapping[str, Any]], out: Path | None) -> None:
    """Writes one JSON row per line if a file is given."""
    if out is not None:
        lines = ",\n".join(json.dumps(row) for row in rows)
        write_bytes(out, f"[\n{lines}\n]\n".encode())


def _grouped(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> dict[tuple[Any, ...], list[Mapping[str, Any]]]:
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[key] for key in keys)].append(row)
    return dict(groups)


def _with_used(
    rows: Sequence[Mapping[str, Any]], asked: str, used: str, keys: Sequence[str]
) -> list[Mapping[str, Any]]:
    """Groups rows; the column of what was asked for also shows how much was used, if that was less."""
    return [
        {**row, asked: _stated(row[asked], [member[used] for member in members])}
        for members in _grouped(rows, keys).values()
        for row in members
    ]


def _stated(asked: int, used: Sequence[int], unit: str = "") -> str:
    """What was asked for, and what was used where that was less."""
    fewest, most = min(used), max(used)
    if fewest == asked:
        return f"{asked}{unit}"
    return f"{asked}{unit} ({fewest if fewest == most else f'{fewest} to {most}'} used)"


def _print_medians(title: str, rows: Sequence[Mapping[str, Any]], keys: Sequence[str], columns: Sequence[str]) -> None:
    cells = [
        [*map(str, group), *(f"{median(row[column] for row in members):.4g}" for column in columns)]
        for group, members in _grouped(rows, keys).items()
    ]
    print_table(title, (*keys, *columns), cells)


def _worst_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The worst target of each space and number of samples, by name."""
    lines = []
    for (space, samples), members in _grouped(rows, ("space", "samples")).items():
        medians = {
            target: median(row["spearman"] for row in runs)
            for (target,), runs in _grouped(members, ("target",)).items()
        }
        errors = {
            target: median(row["mape_pct"] for row in runs)
            for (target,), runs in _grouped(members, ("target",)).items()
        }
        used = [row["samples_used"] for row in members]
        by_rank, by_error = min(medians, key=medians.__getitem__), max(errors, key=errors.__getitem__)
        lines.append(
            f"{space}, {_stated(samples, used, ' samples')}: mean Spearman {sum(medians.values()) / len(medians):.3f}"
            f" (worst {by_rank} {medians[by_rank]:.3f}),"
            f" mean error {sum(errors.values()) / len(errors):.2f} % (worst {by_error} {errors[by_error]:.2f} %)"
        )
    return lines
