"""Devices of an agent: which of the offered ones are used, and what changed since it last registered."""

from collections.abc import Sequence
from typing import Final

from hw_profiles.profile import DeviceProfile
from hw_profiles.runtimes.registry import runtime_names
from nas.store.store import Store

_COMPARED: Final = (
    "processor", "architecture", "isa", "cores", "runtime_version", "precisions", "threads", "batch",
)  # fmt: skip


def agent_devices(name: str, offered: Sequence[DeviceProfile]) -> tuple[tuple[DeviceProfile, ...], list[str]]:
    """The offered profiles that this service can measure with, as devices of an agent; a sentence for each other."""
    used: list[DeviceProfile] = []
    notes: list[str] = []
    known = runtime_names()
    for profile in (one.on_host(name) for one in offered):
        if profile.runtime not in known:
            notes.append(
                f"{profile.id} is not used: the runtime {profile.runtime} is not installed where the service runs;"
                f" there: {', '.join(known)}."
            )
        elif profile.batch != 1:
            notes.append(f"{profile.id} is not used: it has batch {profile.batch}; only 1 can be measured.")
        else:
            used.append(profile)
    return tuple(used), notes


def change_of(store: Store, profile: DeviceProfile) -> str | None:
    """What is different from when a device was last detected, in one sentence; None if nothing that changes timings."""
    before = store.devices.find(profile.id)
    if before is None or before.profile.fingerprint == profile.fingerprint:
        return None
    changes = [
        f"{field} {getattr(before.profile, field)!r} is now {getattr(profile, field)!r}"
        for field in _COMPARED
        if getattr(before.profile, field) != getattr(profile, field)
    ]
    return (
        f"{profile.id} has changed ({'; '.join(changes)}): a new set of measurements starts, apart from the"
        " earlier ones."
    )
