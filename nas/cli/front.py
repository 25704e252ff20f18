"""``hwnas front`` and ``hwnas export``: the stored fronts, as tables, files and models."""

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.console import print_json, print_lines, print_table, show
from nas.cli.front_diff_table import print_diff
from nas.output_paths import check_output_file, check_output_folder

app = typer.Typer(help="Show and compare the stored fronts, or write one as a file.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
FrontId = Annotated[str, typer.Argument(help="First digits of a front's id; `hwnas front list` shows them.")]


@app.command("list")
def list_fronts(as_json: Json = False) -> None:
    """List the stored fronts, newest first."""
    from nas.workspace import open_workspace

    with open_workspace() as workspace:
        known = workspace.store.fronts.all()
    if as_json:
        print_json(
            [
                {
                    "id": front.id,
                    "device": front.profile_id,
                    "space": front.space,
                    "search": front.search_id,
                    "supernet": front.supernet_id,
                    "created_at": front.created_at.isoformat(),
                }
                for front in known
            ]
        )
        return
    print_table(
        "Fronts",
        ("id", "device", "space", "supernet", "made"),
        [(f.id[:12], f.profile_id, f.space, f.supernet_id[:12], f"{f.created_at:%Y-%m-%d %H:%M}") for f in known],
    )


@app.command("show")
def show_front(front_id: FrontId, as_json: Json = False) -> None:
    """Show one front and its baselines.

    Each network has its accuracy on the validation images, its expected accuracy on new images with a
    90 % interval, and its accuracy on the test images, which the search does not use.
    """
    from nas.cli.front_table import print_front
    from nas.workflows.exporting import stored_front
    from nas.workspace import open_workspace

    with open_workspace() as workspace:
        _, front = stored_front(workspace, front_id)
    if as_json:
        print_json(front.as_json())
    else:
        print_front(front)


@app.command("export")
def export_front(
    front_id: FrontId,
    out: Annotated[Path, typer.Option("--out", help="JSON file to write (schema hwnas.front/1).")],
    as_json: Json = False,
) -> None:
    """Write a front as a JSON file, and its models to artifacts/ in the same folder."""
    from nas.workflows.exporting import export_front_file, stored_front
    from nas.workspace import open_workspace

    check_output_file(out, "--out")
    check_output_folder(out.parent / "artifacts", "--out")
    with open_workspace() as workspace:
        info, front = stored_front(workspace, front_id)
        written = export_front_file(workspace, front, out)
    show(
        {"front": info.id, "file": str(out), "members": len(written.members)},
        as_json=as_json,
        lines=[f"wrote {out} with {len(written.members)} members, their files in {out.parent / 'artifacts'}."],
    )


@app.command("diff")
def diff(
    a: Annotated[str, typer.Argument(help="First digits of a front's id.")],
    b: Annotated[str, typer.Argument(help="First digits of another front's id.")],
    as_json: Json = False,
) -> None:
    """Compare two fronts: members of only one, changed values of common ones, hypervolume of each.

    Hypervolume has a common reference, the worst value of either front in each objective.
    """
    from nas.fronts.diff import diff_fronts
    from nas.workflows.exporting import stored_front
    from nas.workspace import open_workspace

    with open_workspace() as workspace:
        (info_a, front_a), (info_b, front_b) = stored_front(workspace, a), stored_front(workspace, b)
    found = diff_fronts(front_a, front_b)
    if as_json:
        print_json({"a": info_a.id, "b": info_b.id} | found.as_json())
    else:
        print_diff(found, info_a.id[:12], info_b.id[:12])


def export(
    front_id: FrontId,
    out: Annotated[Path, typer.Option("--out", help="Folder to write: front.json, artifacts/, plots.")],
    as_json: Json = False,
) -> None:
    """Export a front's models, each with its files and manifest, and the front file and plots.

    Every file is checked against its hash and loaded once before the command ends.
    """
    from nas.fronts.plot import plot_html, plot_png
    from nas.workflows.exporting import check_export, export_front_file, stored_front
    from nas.workspace import open_workspace

    check_output_folder(out / "artifacts", "--out")
    for name in ("front.json", "front.png", "front.html"):
        check_output_file(out / name, "--out")
    with open_workspace() as workspace:
        info, front = stored_front(workspace, front_id)
        written = export_front_file(workspace, front, out / "front.json")
        checked = check_export(written, out)
        plot_png(written, out / "front.png")
        plot_html(written, out / "front.html")
    show(
        {"front": info.id, "folder": str(out), "members": len(written.members), "files_checked": checked},
        as_json=as_json,
        lines=[f"wrote {out}: front.json, front.png, front.html and {checked} files, each loaded back and checked."],
    )
    if not written.members:
        print_lines("this front has no members.")
