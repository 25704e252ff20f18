"""``hwnas audit``: the audit log."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from nas.cli.console import print_json, print_table
from nas.cli.measure import Json


def audit(
    count: Annotated[int, typer.Option("--count", help="Maximum number of entries to show.", min=1, max=100_000)] = 50,
    since: Annotated[
        datetime | None, typer.Option(help="Show only changes at this time (UTC) or later. Default: all.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List changes, newest first: who created, changed or deleted what, and when.

    Recorded are REST requests that changed something, and the creation and revocation of keys and agents.
    """
    from nas.workspace import open_workspace

    with open_workspace() as workspace:
        entries = workspace.store.audit.last(count, since=None if since is None else since.replace(tzinfo=UTC))
    if as_json:
        print_json(
            [
                {
                    "number": entry.number,
                    "made_at": entry.made_at.isoformat(timespec="seconds"),
                    "actor": entry.actor,
                    "tenant": entry.tenant,
                    "action": entry.action,
                    "subject": entry.subject,
                    "trace_id": entry.trace_id,
                }
                for entry in entries
            ]
        )
        return
    rows = [
        (
            entry.made_at.isoformat(sep=" ", timespec="seconds"),
            entry.actor,
            entry.tenant or "-",
            entry.action,
            entry.subject,
        )
        for entry in entries
    ]
    print_table("Changes", ("time", "who", "tenant", "action", "what"), rows)
