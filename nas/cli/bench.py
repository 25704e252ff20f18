"""``hwnas bench``: benchmarks on recorded data and on this machine."""

import typer

from nas.cli.bench_chaos import chaos
from nas.cli.bench_device import device
from nas.cli.bench_kernels import kernels
from nas.cli.bench_policy import policy
from nas.cli.bench_predictors import ablation, accuracy, calibration, models
from nas.cli.bench_quantization import quantization
from nas.cli.bench_results import limits, results
from nas.cli.bench_search import front, search
from nas.cli.bench_service import service
from nas.cli.bench_supernet import supernet

app = typer.Typer(
    help="Run benchmarks on recorded tables or on this machine; print a table and write JSON rows.",
    no_args_is_help=True,
)
app.command("calibration")(calibration)
app.command("accuracy")(accuracy)
app.command("ablation")(ablation)
app.command("models")(models)
app.command("device")(device)
app.command("search")(search)
app.command("front")(front)
app.command("results")(results)
app.command("limits")(limits)
app.command("policy")(policy)
app.command("quantization")(quantization)
app.command("supernet")(supernet)
app.command("kernels")(kernels)
app.command("service")(service)
app.command("chaos")(chaos)
