"""``hwnas train``: trains a supernet."""

from typing import Annotated

import typer

from nas.cli.console import TerminalProgress, show


def train(
    data: Annotated[
        str, typer.Option(help="fashion-mini, npz:PATH, imagefolder:PATH, hf:NAME or stored:ID (`hwnas data list`).")
    ] = "fashion-mini",
    space: Annotated[str, typer.Option(help="The search space whose networks share weights.")] = "mobilenet_v3:tiny",
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Passes over the training images. Default: 20, or with fewer than about 6,000 images as many as make"
            " 1,500 steps, at most 200.",
            min=1,
            show_default=False,
        ),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Batch size. Default: 64.", min=2)] = None,
    optimizer: Annotated[str | None, typer.Option(help="Optimizer: sgd, adamw or muon. Default: sgd.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak learning rate. Default: sgd 0.2, adamw 0.003, muon 0.006.")
    ] = None,
    flip: Annotated[
        bool | None,
        typer.Option(
            "--flip/--no-flip",
            help="Flip training images horizontally at random. Default: on for fashion-mini; off for all other data,"
            " since flipping changes the meaning of digits and text.",
        ),
    ] = None,
    crop: Annotated[
        int | None,
        typer.Option(help="Reflection padding in pixels for random crops; 0 for none. Default: 2."),
    ] = None,
    cutout: Annotated[
        int | None,
        typer.Option(help="Side in pixels of a random square cut out of each training image; 0 for none. Default: 0."),
    ] = None,
    validation: Annotated[
        float | None, typer.Option(help="Share of the training images used for validation. Default: 0.2.")
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="Start from the weights (except the classifier) of another supernet of the same space, given by the"
            " first digits of its id. Helps with few images. Default: random weights."
        ),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(help="Any other training setting as NAME=VALUE, such as ema_decay=0.98; repeat it for several."),
    ] = None,
    skip_damaged: Annotated[
        bool,
        typer.Option("--skip-damaged", help="Leave out images of an imagefolder that cannot be read, and list them."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Random seed; the same seed, settings and data give the same weights.")] = 0,
    device_train: Annotated[
        str, typer.Option(help="Where to train: auto (a CUDA GPU if there is one), cpu or cuda.")
    ] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="Number of threads for training on a CPU. Default: all cores.", min=1)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")] = False,
) -> None:
    """Train a supernet: one set of weights shared by all networks of a space.

    Each step trains the largest network on the labels, and the smallest and two random ones half on
    the labels and half on its outputs (sandwich rule, in-place distillation). Interrupt it with Ctrl-C and
    run the same command again to resume where it stopped. Groups (groups_train in an npz) are never
    split between training and validation; test images are not used. Under torchrun each process takes
    its share of every batch.
    """
    from nas.data.sources import flips_by_default, load_dataset, skipping_damaged
    from nas.training.compute import Compute
    from nas.training.learning_curve import CURVE_PNG
    from nas.training.processes import process_rank
    from nas.training.settings import TrainingSettings, parse_settings
    from nas.workflows.supernet_trust import supernet_trust
    from nas.workflows.training import TrainingTask
    from nas.workflows.training import train as run_training
    from nas.workspace import open_workspace

    data = skipping_damaged(data) if skip_damaged else data
    given = {
        "epochs": epochs,
        "batch_size": batch_size,
        "optimizer": optimizer,
        "learning_rate": learning_rate,
        "flip": flips_by_default(data) if flip is None else flip,
        "shift_px": crop,
        "cutout_px": cutout,
        "validation_fraction": validation,
        "seed": seed,
        "init": init,
    }
    chosen = {name: value for name, value in given.items() if value is not None} | parse_settings(setting or [])
    leads = process_rank() == 0
    compute = Compute(device=device_train, threads=threads)
    with open_workspace() as workspace, TerminalProgress(quiet=not leads) as progress:
        images = None if "epochs" in chosen else len(load_dataset(workspace.data_source(data)).y_train)
        settings = TrainingSettings.with_defaults(chosen, images=images)
        task = TrainingTask(data=data, space=space, settings=settings, compute=compute)
        supernet = run_training(workspace, task, progress)
        trust = supernet_trust(workspace, supernet)
        curve = workspace.supernet_folder(supernet) / CURVE_PNG
    if not leads:
        return
    show(
        {
            "supernet": supernet.id,
            "space": supernet.space,
            "data": supernet.data_name,
            "task": supernet.task.as_json(),
            "metrics": dict(supernet.metrics),
            "trust": trust.as_json(),
            "learning_curve": str(curve),
        },
        as_json=as_json,
        lines=[
            f"Supernet {supernet.id[:12]} of {supernet.space} on {supernet.data_name}, trained in"
            f" {supernet.metrics['seconds']:.0f} s; learning curve: {curve}.",
            *trust.lines,
        ],
    )
