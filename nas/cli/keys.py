"""``hwnas keys``: API keys of the REST service."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.console import print_json, print_lines, print_table, show
from nas.cli.measure import Json
from search_spaces.errors import UsageError

if TYPE_CHECKING:
    from nas.store.api_keys import ApiKey

app = typer.Typer(help="Create, list and revoke API keys of the REST service.")
_LONGEST = 200


@app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="What the key is for, such as the program that will use it.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="read (everything of the tenant), submit (start searches), calibrate (start calibrations) or"
            " admin (everything of every tenant); repeat it for several. Default: read, submit, calibrate.",
            show_default=False,
        ),
    ] = None,
    tenant: Annotated[
        str, typer.Option(help="Tenant of the key; keys of different tenants do not see each other's jobs and fronts.")
    ] = "default",
    max_queued: Annotated[
        int | None,
        typer.Option(help="Jobs and unfinished uploads of this key that may wait at once. Default: no limit.", min=1),
    ] = None,
    max_measurements_per_day: Annotated[
        int | None,
        typer.Option(help="Networks that jobs of this key may measure in any 24 hours. Default: no limit.", min=1),
    ] = None,
    max_priority: Annotated[
        int, typer.Option(help="Highest priority that jobs of this key may have.", min=-100, max=100)
    ] = 0,
    as_json: Json = False,
) -> None:
    """Create an API key and print it. Only its hash is stored, so it cannot be shown again.

    Send it as `Authorization: Bearer KEY`.
    """
    from nas.store.api_keys import SCOPES, KeyQuota
    from nas.store.audit import local_change
    from nas.workspace import open_workspace

    for label, text in (("the name", name), ("--tenant", tenant)):
        if not text.strip() or len(text) > _LONGEST or not text.isprintable():
            raise UsageError(f"{label} is {text!r}; give 1 to {_LONGEST} printable characters.")
    asked = scope or ["read", "submit", "calibrate"]
    unknown = [one for one in asked if one not in SCOPES]
    if unknown:
        raise UsageError(f"--scope is {unknown[0]!r}; give {', '.join(SCOPES)}.")
    scopes = frozenset(one for one in SCOPES if one in asked)
    quota = KeyQuota(
        max_queued=max_queued, max_measurements_per_day=max_measurements_per_day, max_priority=max_priority
    )
    with open_workspace() as workspace:
        key, text = workspace.store.api_keys.create(
            name=name, tenant=tenant, scopes=scopes, quota=quota, change=local_change("create key", tenant)
        )
    if as_json:
        print_json(_as_json(key) | {"key": text})
    else:
        print_lines(text)


@app.command("list")
def list_keys(as_json: Json = False) -> None:
    """List the API keys, including revoked ones, without the keys themselves."""
    from nas.workspace import open_workspace

    with open_workspace() as workspace:
        keys = workspace.store.api_keys.all()
    if as_json:
        print_json([_as_json(key) for key in keys])
        return
    rows = [
        (
            one["id"],
            one["name"],
            one["tenant"],
            " ".join(one["scopes"]),
            str(one["max_queued"] or "-"),
            str(one["max_measurements_per_day"] or "-"),
            str(one["max_priority"]),
            one["created_at"],
            one["revoked_at"] or "-",
        )
        for one in map(_as_json, keys)
    ]
    columns = ("id", "name", "tenant", "scopes", "queued", "measured per day", "priority", "created", "revoked")
    print_table("API keys", columns, rows)


@app.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="Id of a key; `hwnas keys list` shows them.")], as_json: Json = False
) -> None:
    """Revoke an API key: requests with it are refused from now on (within 5 seconds on PostgreSQL)."""
    from nas.store.audit import local_change
    from nas.workspace import open_workspace

    with open_workspace() as workspace:
        key = workspace.store.api_keys.revoke(key_id, change=local_change("revoke key"))
    show(_as_json(key), as_json=as_json, lines=[f"key {key.id} ({key.name}) is revoked."])


def _as_json(key: "ApiKey") -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "tenant": key.tenant,
        "scopes": sorted(key.scopes),
        **asdict(key.quota),
        "created_at": key.created_at.isoformat(timespec="seconds"),
        "revoked_at": None if key.revoked_at is None else key.revoked_at.isoformat(timespec="seconds"),
    }
