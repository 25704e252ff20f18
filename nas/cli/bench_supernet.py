"""``hwnas bench supernet``: inherited weights against networks trained alone."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.console import TerminalProgress, print_json, print_lines, print_table
from nas.cli.finish_option import FinishEpochs
from nas.home import write_bytes
from nas.training.finish_settings import FinishSettings
from search_spaces.errors import UsageError

if TYPE_CHECKING:
    from nas.workflows.supernet_benchmark import SupernetBenchmark


def supernet(
    data: Annotated[
        str, typer.Option(help="Data set: fashion-mini, npz:PATH, imagefolder:PATH or hf:NAME.")
    ] = "fashion-mini",
    space: Annotated[str, typer.Option(help="Search space of the supernet.")] = "mobilenet_v3:tiny",
    networks: Annotated[int, typer.Option(help="Number of sampled networks to train alone, at least 3.")] = 20,
    epochs: Annotated[int, typer.Option(help="Epochs of the supernet and of each network alone.", min=1)] = 8,
    optimizer: Annotated[str | None, typer.Option(help="Optimizer: sgd, adamw or muon. Default: sgd.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak learning rate. Default: sgd 0.2, adamw 0.003, muon 0.006.")
    ] = None,
    rate_factors: Annotated[
        str,
        typer.Option(
            help="Learning rates tried for each network alone, relative to the supernet's; the one with"
            " the best validation accuracy is used."
        ),
    ] = "0.5,1,2",
    finish_epochs: FinishEpochs = None,
    flip: Annotated[
        bool | None,
        typer.Option("--flip/--no-flip", help="Flip training images. Default: on for fashion-mini only."),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(help="Any other training setting as NAME=VALUE, such as ema_decay=0.98; repeat it for several."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed for training.")] = 0,
    device_train: Annotated[
        str, typer.Option(help="Where to train: auto (a CUDA GPU if there is one), cpu or cuda.")
    ] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="Number of threads for training on a CPU. Default: all cores.", min=1)
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the JSON document to this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the JSON document instead of a table.")] = False,
) -> None:
    """Train sampled networks alone and compare them with the weights they inherit from the supernet.

    All networks train for as many steps as the supernet, on the same images. The table shows test
    accuracies; nothing is selected by them. Interrupt it with Ctrl-C and run the same command again to
    resume where it stopped.
    """
    from nas.data.sources import flips_by_default
    from nas.training.compute import Compute
    from nas.training.settings import TrainingSettings, parse_settings
    from nas.workflows.supernet_benchmark import SupernetBenchmarkRequest, benchmark_supernet
    from nas.workspace import open_workspace

    given = {"epochs": epochs, "optimizer": optimizer, "learning_rate": learning_rate, "seed": seed}
    given["flip"] = flips_by_default(data) if flip is None else flip
    chosen = {name: value for name, value in given.items() if value is not None} | parse_settings(setting or [])
    request = SupernetBenchmarkRequest(
        data=data,
        space=space,
        settings=TrainingSettings.with_defaults(chosen),
        networks=networks,
        rate_factors=_factors(rate_factors),
        finish=FinishSettings.of_epochs(finish_epochs),
        compute=Compute(device=device_train, threads=threads),
    )
    with open_workspace() as workspace, TerminalProgress() as progress:
        found = benchmark_supernet(workspace, request, progress)
    if out is not None:
        write_bytes(out, (json.dumps(found.as_json(), indent=1) + "\n").encode())
    if as_json:
        print_json(found.as_json())
        return
    _print(found)


def _expected_ranking(tau: float, interval: tuple[float, float]) -> str:
    return (
        f"Kendall tau {tau:.2f} (90 % interval {interval[0]:.2f} to {interval[1]:.2f}) of the finished accuracy that a"
        " search expects"
    )


def _factors(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--rate-factors is {text!r}; give numbers separated by commas, such as 0.5,1,2.") from error


def _print(found: "SupernetBenchmark") -> None:
    def percent(value: float | None) -> str:
        return "-" if value is None else f"{value:.1%}"

    print_table(
        f"{found.space} on {found.data}: test accuracy after {found.steps} steps",
        ("network", "inherited", "finished", "alone", "learning rate"),
        [
            [
                one.summary if one.sampled else f"{one.summary} (largest)",
                percent(one.inherited_test),
                percent(one.finished_test),
                percent(one.alone_test),
                f"x {one.alone_rate_factor:g}",
            ]
            for one in found.networks
        ],
    )
    low, high = found.on_test.kendall_tau_interval_90
    finished = found.finished_gap_test
    print_lines(
        f"alone minus inherited: {found.gap_test * 100:.1f} points on average,"
        f" {found.worst_gap_test * 100:.1f} at worst",
        *([] if finished is None else [f"finished minus alone: {finished * 100:+.1f} points on average"]),
        f"Kendall tau {found.on_test.kendall_tau:.2f} (90 % interval {low:.2f} to {high:.2f});"
        f" {found.on_test.kendall_tau_noise_corrected:.2f} without the noise of {found.images_test} images",
        *([] if found.expected_tau is None else [_expected_ranking(*found.expected_tau)]),
        f"{found.step_cost.images_per_s:.0f} images/s; a step costs {found.step_cost.ratio:.2f} of its networks trained"
        " separately",
    )
