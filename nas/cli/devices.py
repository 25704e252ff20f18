"""``hwnas devices``: the devices that networks can be measured on."""

from typing import Annotated

import typer

from nas.cli.console import print_json, print_table


def devices(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")] = False,
) -> None:
    """Detect this machine's processor and list all known device profiles.

    A profile is a processor with a runtime, a number of threads and a batch size: latency depends on all of them.
    """
    from hw_profiles.detect import detect_profiles  # noqa: PLC0415
    from nas.workspace import open_workspace  # noqa: PLC0415

    with open_workspace() as workspace:
        for profile in detect_profiles():
            workspace.store.devices.put(profile)
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
