"""``hwnas db``: copies the database."""

from typing import Annotated

import typer

from nas.cli.console import TerminalProgress, print_json, print_lines, print_table
from nas.cli.measure import Json

app = typer.Typer(help="Copy the database, such as from SQLite to PostgreSQL.")


@app.callback()
def options() -> None:
    """Keeps ``copy`` a command of its own while there is no other."""


@app.command("copy")
def copy(
    source: Annotated[str, typer.Argument(help="URL of the database to copy, or path of a SQLite file.")],
    target: Annotated[
        str, typer.Argument(help="URL of an empty database: postgresql://USER@HOST/NAME or sqlite:///PATH.")
    ],
    as_json: Json = False,
) -> None:
    """Copy every table of a database into an empty one, such as from SQLite to PostgreSQL or back.

    Copies everything or nothing. Stop the service and its workers first: what they write during the copy is not
    copied. Files (artifacts, supernets, predictors) stay in HWNAS_HOME; only the database is copied. Afterwards set
    HWNAS_DATABASE_URL to the target. Keep passwords off the command line with PGPASSFILE or PGPASSWORD.
    """
    from nas.store.copying import copy_database

    with TerminalProgress(quiet=as_json) as progress:
        counts = copy_database(_url(source), _url(target), progress)
    if as_json:
        print_json({"rows": dict(counts), "total": sum(counts.values())})
        return
    print_table("copied rows", ("table", "rows"), [(name, str(count)) for name, count in counts.items()])
    print_lines(f"{sum(counts.values())} rows in {len(counts)} tables; set HWNAS_DATABASE_URL to use the copy.")


def _url(text: str) -> str:
    return text if "://" in text else f"sqlite:///{text}"
