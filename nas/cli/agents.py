"""``hwnas agents``: creates, lists and revokes agents."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from nas.cli.console import print_json, print_table, show

app = typer.Typer(help="Create, list and revoke agents, which measure on remote devices.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Name = Annotated[str, typer.Argument(help="Name of the agent: the first part of its devices' ids.")]


@app.command("create")
def create_agent(name: Name, as_json: Json = False) -> None:
    """Create an agent and print its token, which is not stored and cannot be shown again.

    Start the agent on the device with it: `hwnas agent --server URL --token-file FILE`.
    """
    from nas.store.audit import local_change
    from nas.workspace import open_workspace

    with open_workspace() as workspace:
        token = workspace.store.agents.create(name, change=local_change("create agent")).reveal()
    lines = [token, f"start the agent on the device: hwnas agent --server URL --token {token}"]
    show({"agent": name, "token": token}, as_json=as_json, lines=lines)


@app.command("list")
def list_agents(as_json: Json = False) -> None:
    """List the agents with their devices and when each was last seen."""
    from nas.store.agents import ALIVE_S
    from nas.workspace import open_workspace

    with open_workspace() as workspace:
        known = workspace.store.agents.all()
        devices = [device.profile for device in workspace.store.devices.all()]
    now = datetime.now(UTC)
    rows: list[dict[str, object]] = []
    for agent in known:
        about = agent.about or {}
        seen_s = None if agent.last_seen is None else (now - agent.last_seen).total_seconds()
        state = "never connected" if seen_s is None else "connected" if seen_s < ALIVE_S else "away"
        own = [profile for profile in devices if profile.device == agent.name]
        rows.append(
            {
                "name": agent.name,
                "state": "revoked" if agent.revoked_at is not None else state,
                "last_seen": None if agent.last_seen is None else agent.last_seen.isoformat(timespec="seconds"),
                "version": about.get("version"),
                "confinement": about.get("confinement"),
                "processor": own[0].processor if own else None,
                "devices": [profile.id for profile in own],
            }
        )
    if as_json:
        print_json(rows)
        return
    columns = ("name", "state", "last_seen", "version", "confinement", "processor", "devices")
    print_table("Agents", columns, [[_cell(row[column]) for column in columns] for row in rows])


@app.command("revoke")
def revoke_agent(name: Name, as_json: Json = False) -> None:
    """End an agent's access at once; its devices and measurements stay."""
    from nas.store.audit import local_change
    from nas.workspace import open_workspace

    with open_workspace() as workspace:
        workspace.store.agents.revoke(name, change=local_change("revoke agent"))
    show({"agent": name, "state": "revoked"}, as_json=as_json, lines=[f"agent {name!r} is revoked."])


def _cell(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value or "")
