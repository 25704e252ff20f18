"""``hwnas devices``: the device profiles, as a table and as TOML files."""

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.console import print_json, print_lines, print_table, show
from nas.cli.device_check import check

app = typer.Typer(
    help="List the device profiles, show one as TOML, add one, or check how well one repeats itself.",
    invoke_without_command=True,
)
app.command("check")(check)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


@app.callback()
def devices(context: typer.Context, as_json: Json = False) -> None:
    """Detect this machine's processor and list all known device profiles.

    A profile is a processor with a runtime, a thread count and a batch size: latency depends on all of them.
    """
    if context.invoked_subcommand is not None:
        return
    from nas.workspace import open_workspace

    with open_workspace() as workspace:
        workspace.put_local_devices()
        known = workspace.store.devices.all()
    if as_json:
        print_json([device.profile.as_json() | {"fingerprint": device.profile.fingerprint} for device in known])
        return
    rows = [
        (
            profile.id,
            f"{profile.processor}, {profile.cores} cores",
            " ".join(profile.isa),
            f"{profile.runtime} {profile.runtime_version}",
            str(profile.threads),
            str(profile.batch),
            ", ".join(f"{precision} {how}" for precision, how in profile.precisions.items()),
        )
        for profile in (device.profile for device in known)
    ]
    print_table(
        "Device profiles",
        ("id", "processor", "instruction sets", "runtime", "threads", "batch", "precisions"),
        rows,
    )


@app.command("show")
def show_device(
    device: Annotated[str, typer.Argument(help="Id of a device profile; `hwnas devices` lists them.")],
    as_json: Json = False,
) -> None:
    """Show a device profile as TOML, the format that `hwnas devices add` reads."""
    from nas.workspace import open_workspace

    with open_workspace() as workspace:
        profile = workspace.profile(device)
    if as_json:
        print_json(profile.as_json() | {"fingerprint": profile.fingerprint})
    else:
        print_lines(profile.to_toml().rstrip())


@app.command("add")
def add_device(
    file: Annotated[Path, typer.Argument(help="TOML file of the profile.")],
    as_json: Json = False,
) -> None:
    """Add a profile of this machine, for example with more threads.

    Start from an existing profile: `hwnas devices show local-cpu/onnxruntime > two.toml`, change `id` and
    `threads`, and add it.
    """
    from hw_profiles.detect import check_runs_here, detect_profiles
    from hw_profiles.profile import DeviceProfile
    from nas.workspace import open_workspace
    from search_spaces.errors import UsageError

    profile = DeviceProfile.load(file)
    check_runs_here(profile)
    if any(profile.id == one.id and profile != one for one in detect_profiles()):
        raise UsageError(f"{profile.id} is the id of a detected profile; give this one another id in {file}.")
    with open_workspace() as workspace:
        workspace.store.devices.put(profile)
    show({"device": profile.id, "fingerprint": profile.fingerprint}, as_json=as_json, lines=[f"added {profile.id}."])
