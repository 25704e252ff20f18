"""``hwnas measurements``: import and export of measurement tables."""

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.console import print_json, print_lines, print_table, show

app = typer.Typer(
    help=(
        "Import, list and export measurement tables: latencies by device and accuracies by task.\n\n"
        "A table is CSV (.csv or .csv.gz), one row per architecture, with the columns space, arch (the space's "
        "canonical string), latency_ms:DEVICE and accuracy:TASK; an empty cell means not measured. "
        "`hwnas calibrate` and `hwnas search` learn from recorded devices."
    ),
    no_args_is_help=True,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


@app.command("import")
def import_tables(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Tables, .csv or .csv.gz.")],
    as_json: Json = False,
) -> None:
    """Import recorded tables: all of them, or none if one is invalid.

    Importing a table twice is harmless. Tables of one space are used together, so they may have the
    same rows for different devices; two different values for one row and device are an error.
    """
    from nas.recorded_tables import RecordedTables
    from nas.workspace import open_workspace

    with open_workspace() as workspace:
        added = RecordedTables(workspace.home).add(files)
    document = [
        {
            "table": recorded.id,
            "file": str(path),
            "space": recorded.space,
            "rows": len(recorded.table),
            "devices": list(recorded.table.latency_ms),
            "tasks": list(recorded.table.accuracy),
            "new": new,
        }
        for path, (recorded, new) in zip(files, added, strict=True)
    ]
    lines = [
        f"{'imported' if row['new'] else 'known already:'} {row['file']}: {row['rows']} rows of {row['space']},"
        f" {len(row['devices'])} devices, {len(row['tasks'])} tasks (table {str(row['table'])[:12]})"  # type: ignore[arg-type]
        for row in document
    ]
    show(document, as_json=as_json, lines=lines)


@app.command("list")
def list_known(as_json: Json = False) -> None:
    """List the devices and tasks with measurements, recorded or taken here."""
    from nas.workflows.measurement_tables import list_measurements
    from nas.workspace import open_workspace

    with open_workspace() as workspace:
        known = list_measurements(workspace)
    if as_json:
        print_json(
            [
                {
                    "space": row.space,
                    "kind": row.kind,
                    "name": row.name,
                    "rows": row.rows,
                    "origin": row.origin,
                    "file": row.file_name,
                }
                for row in known
            ]
        )
        return
    if not known:
        print_lines(
            "no measurements yet; take some with `hwnas calibrate`, or import some with `hwnas measurements import`."
        )
        return
    print_table(
        "Measurements",
        ("space", "kind", "device or task", "rows", "from"),
        [(row.space, row.kind, row.name, str(row.rows), row.file_name or "measured here") for row in known],
    )


@app.command("export")
def export(
    space: Annotated[str, typer.Argument(help="A search space, for example mobilenet_v3:tiny.")],
    file: Annotated[Path, typer.Argument(help="The table to write, .csv or .csv.gz.")],
    device: Annotated[
        list[str] | None, typer.Option("--device", "-d", help="Only this device; repeat the option for several.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write all measurements of a space as one table, both imported and taken here.

    Values are written exactly, so `hwnas measurements import` elsewhere gives the same table. Measurements
    for other images or classes than the space was published with are left out: the table has no column
    for them.
    """
    from nas.workflows.measurement_tables import export_measurements
    from nas.workspace import open_workspace

    with open_workspace() as workspace:
        table = export_measurements(workspace, space, file, device or ())
    show(
        {
            "file": str(file),
            "space": table.space,
            "rows": len(table),
            "devices": list(table.latency_ms),
            "tasks": list(table.accuracy),
        },
        as_json=as_json,
        lines=[
            f"wrote {file}: {len(table)} rows of {table.space}, {len(table.latency_ms)} devices,"
            f" {len(table.accuracy)} tasks."
        ],
    )
