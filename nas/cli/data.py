"""``hwnas data``: which data sets there are, and any of them as a plain file."""

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.console import print_json, print_table, show

app = typer.Typer(help="List data sets, or write one as the plain npz that --data npz: takes.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


@app.command("list")
def list_sources(as_json: Json = False) -> None:
    """List what --data takes."""
    from nas.data.sources import SOURCES  # noqa: PLC0415

    if as_json:
        print_json([{"form": source.form, "description": source.description} for source in SOURCES])
        return
    print_table("What --data takes", ("form", "what it is"), [(s.form, s.description) for s in SOURCES])


@app.command()
def export(
    name: Annotated[str, typer.Argument(help="A data set as --data takes it, for example fashion-mini.")],
    path: Annotated[Path, typer.Argument(help="The npz to write.")],
    as_json: Json = False,
) -> None:
    """Write a data set as an npz: x_train, y_train, x_test, y_test (uint8 images, NHWC), classes."""
    from nas.data.npz import export_npz  # noqa: PLC0415
    from nas.data.sources import load_dataset  # noqa: PLC0415

    dataset = load_dataset(name)
    export_npz(dataset, path)
    task, image = dataset.task, dataset.task.image
    document = {
        "path": str(path),
        "train": len(dataset.x_train),
        "test": len(dataset.x_test),
        "task": task.as_json(),
        "fingerprint": dataset.fingerprint,
    }
    show(
        document,
        as_json=as_json,
        lines=[
            f"wrote {path}: {len(dataset.x_train)} training and {len(dataset.x_test)} test images"
            f" of {image.height}x{image.width}x{image.channels}, {task.classes} classes."
        ],
    )
