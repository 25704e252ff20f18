"""``hwnas bench quantization``: accuracy lost by int8, by recipe."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.bench_predictors import write_rows
from nas.cli.console import TerminalProgress, print_json, print_lines, print_table
from nas.cli.measure import Json, Supernet
from nas.output_paths import check_output_file
from nas.training.finish_settings import FinishSettings

if TYPE_CHECKING:
    from nas.workflows.quantization_benchmark import QuantizationRow


def quantization(
    networks: Annotated[int, typer.Option(help="Sub-networks to quantize.", min=1)] = 20,
    recipes: Annotated[
        str,
        typer.Option(
            help="Comma-separated: minmax, percentile, mse, minmax+bias, mse+bias, mse+equalization. Default: all."
        ),
    ] = "",
    finish_epochs: Annotated[
        float,
        typer.Option(
            help="Epochs that networks are finished for before; then quantization-aware training is compared, too."
            " 0 compares inherited weights.",
            min=0,
        ),
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed that draws the networks.", min=0)] = 0,
    supernet: Supernet = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the rows as JSON to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Compare recipes of quantization: all units in int8 against fp32, on validation images.

    Recipes differ in how ranges of activations are chosen (all values, a percentile, or least squared
    error), in whether biases are corrected for rounded weights, and in whether neighbouring layers
    are equalized. With --finish-epochs, the row "trained" is quantization-aware training. Networks that
    lose more than half of their accuracy are named.
    """
    from nas.workflows.quantization_benchmark import (
        RECIPES,
        QuantizationBenchmarkRequest,
        benchmark_quantization,
    )
    from nas.workspace import open_workspace

    if out is not None:
        check_output_file(out, "--out")
    names = tuple(dict.fromkeys(name.strip() for name in recipes.split(",") if name.strip()))
    request = QuantizationBenchmarkRequest(
        recipes=names or tuple(RECIPES),
        networks=networks,
        seed=seed,
        finish=FinishSettings.of_epochs(finish_epochs),
    )
    with open_workspace() as workspace, TerminalProgress() as progress:
        rows = benchmark_quantization(workspace, workspace.supernet(supernet), request, progress)
    write_rows([row.as_json() for row in rows], out)
    if as_json:
        print_json([row.as_json() for row in rows])
        return
    _print(rows)


def _print(rows: "Sequence[QuantizationRow]") -> None:
    cells = []
    for name in dict.fromkeys(row.recipe for row in rows):
        losses = [row.loss_points for row in rows if row.recipe == name]
        mean = sum(losses) / len(losses)
        cells.append((name, str(len(losses)), f"{median(losses):+.2f}", f"{mean:+.2f}", f"{max(losses):+.2f}"))
    print_table(
        f"Points of validation accuracy lost by int8, {rows[0].images} images",
        ("recipe", "networks", "median", "mean", "worst"),
        cells,
    )
    for row in rows:
        if row.collapsed:
            print_lines(f"{row.recipe}: {row.summary} drops from {row.accuracy_fp32:.1%} to {row.accuracy:.1%}.")
