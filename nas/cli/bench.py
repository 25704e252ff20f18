"""``hwnas bench``: how good the parts are, on recorded data and on this machine."""

import typer

from nas.cli.bench_device import device
from nas.cli.bench_kernels import kernels
from nas.cli.bench_predictors import ablation, accuracy, calibration

app = typer.Typer(
    help="Benchmark the parts, on recorded tables or on this machine; print a table and write JSON rows.",
    no_args_is_help=True,
)
app.command("calibration")(calibration)
app.command("accuracy")(accuracy)
app.command("ablation")(ablation)
app.command("device")(device)
app.command("kernels")(kernels)
