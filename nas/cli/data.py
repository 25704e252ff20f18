"""``hwnas data``: which data sets there are, any of them as a plain file, and files as stored data sets."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from nas.cli.console import print_json, print_table, show

if TYPE_CHECKING:
    from nas.store.data_sets import StoredDataSet

app = typer.Typer(
    help="List, add and delete data sets, or write one as the plain npz that --data npz: takes.", no_args_is_help=True
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


_STORED: Final = "stored:"
_LISTED = 1000


@app.command("list")
def list_sources(as_json: Json = False) -> None:
    """List what --data takes, and the data sets that were uploaded or added."""
    from nas.data.sources import SOURCES
    from nas.store.pages import PageRequest
    from nas.workspace import open_workspace

    with open_workspace() as workspace:
        stored, _ = workspace.store.data_sets.page(PageRequest(size=_LISTED))
    forms = [(source.form, source.description) for source in SOURCES]
    forms += [(f"{_STORED}{one.id}", f"{one.name}: {_contents(one)}") for one in stored]
    if as_json:
        print_json([{"form": form, "description": description} for form, description in forms])
        return
    print_table("What --data takes", ("form", "what it is"), forms)


@app.command()
def add(
    path: Annotated[Path, typer.Argument(help="An npz with x_train, y_train, x_test, y_test (uint8 images).")],
    name: Annotated[
        str | None,
        typer.Option(help="Letters, digits, '.', '_' and '-'. Default: the file's name without its ending."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Copy an npz into the home, so that the service and its workers can train on it.

    The same as uploading it with POST /v1/data-sets; adding a file twice is harmless.
    """
    from nas.data_uploads import DataUploads
    from nas.workspace import open_workspace

    with open_workspace() as workspace:
        stored = DataUploads(workspace.store, workspace.home).add(path, name=path.stem if name is None else name)
    data = f"{_STORED}{stored.id}"
    show(
        {"data": data, "name": stored.name} | ({} if stored.contents is None else stored.contents.as_json()),
        as_json=as_json,
        lines=[f"{stored.name}: {_contents(stored)}; train on it with: hwnas train --data {data}"],
    )


@app.command()
def delete(
    data_set_id: Annotated[str, typer.Argument(help="Id of a data set; `hwnas data list` shows them.")],
    as_json: Json = False,
) -> None:
    """Delete a data set that was uploaded or added, unless a supernet was trained on it."""
    from nas.jobs.deletion import Deletions
    from nas.workspace import open_workspace

    data_set_id = data_set_id.removeprefix(_STORED)
    with open_workspace() as workspace:
        Deletions(workspace.store, workspace.home).data_set(data_set_id)
    show({"deleted": data_set_id}, as_json=as_json, lines=[f"data set {data_set_id} is deleted."])


def _contents(data_set: "StoredDataSet") -> str:
    contents = data_set.contents
    if contents is None:
        return data_set.error or "not whole yet"
    image = contents.task.image
    return (
        f"{contents.images_train} training and {contents.images_test} test images of"
        f" {image.height}x{image.width}x{image.channels}, {contents.task.classes} classes"
    )


@app.command()
def export(
    name: Annotated[str, typer.Argument(help="A data set as --data takes it, for example fashion-mini.")],
    path: Annotated[Path, typer.Argument(help="The npz to write.")],
    as_json: Json = False,
) -> None:
    """Write a data set as an npz: x_train, y_train, x_test, y_test (uint8 images, NHWC), classes."""
    from nas.data.npz import export_npz
    from nas.data.sources import load_dataset

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
