"""Detects the local processor and its device profiles, one per installed runtime."""

import os
import platform
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from hw_profiles.errors import ProfileError
from hw_profiles.host import local_host, resolved_device_id
from hw_profiles.profile import DeviceProfile
from hw_profiles.runtimes.protocol import Runtime
from hw_profiles.runtimes.registry import get_runtime, runtime_names
from search_spaces.errors import UnknownNameError

_CPUINFO: Final = Path("/proc/cpuinfo")

_VARIANT: Final = re.compile(r"(?P<base>[^@]+)@(?P<threads>[1-9]\d{0,3}),1")

_RELEVANT_ISA: Final = frozenset(
    {
        *("sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni"),
        *("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
        *("amx_tile", "amx_int8", "amx_bf16"),
        *("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2"),
    }
)
"""Instruction sets that numeric kernels are written for, as Linux names them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """A processor as its operating system describes it."""

    name: str
    architecture: str
    isa: tuple[str, ...]
    cores: int


def detect_processor(cpuinfo: Path = _CPUINFO) -> Processor:
    """The local processor; without ``cpuinfo`` (not Linux) its instruction sets stay unknown."""
    described = _first_entry(cpuinfo.read_text("utf-8", "replace")) if cpuinfo.exists() else {}
    architecture = platform.machine() or "unknown"
    flags = described.get("flags", described.get("Features", "")).split()
    return Processor(
        name=described.get("model name") or platform.processor() or architecture,
        architecture="aarch64" if architecture == "arm64" else architecture,
        isa=tuple(sorted(_RELEVANT_ISA.intersection(flags))),
        cores=os.cpu_count() or 1,
    )


def detect_profiles(processor: Processor | None = None) -> tuple[DeviceProfile, ...]:
    """One profile for each installed runtime on the local processor: one thread, batch 1; ids begin with the host."""
    found = processor or detect_processor()
    return tuple(_profile_of(get_runtime(name), found) for name in runtime_names())


def resolve_profile(profile_id: str) -> DeviceProfile:
    """A profile of this machine by its id: ``HOST/RUNTIME``, or ``HOST/RUNTIME@THREADS,1`` with more threads.

    Raises:
        UnknownNameError: if no profile has this id; the message lists the known ones.
        ProfileError: for more threads than cores.
    """
    found = find_local_profile(profile_id)
    if found is None:
        raise UnknownNameError("device", profile_id, tuple(sorted(profile.id for profile in detect_profiles())))
    return found


def find_local_profile(profile_id: str) -> DeviceProfile | None:
    """As :func:`resolve_profile`, but None for an id that no profile of this machine has."""
    known = {profile.id: profile for profile in detect_profiles()}
    wanted = resolved_device_id(profile_id)
    variant = _VARIANT.fullmatch(wanted)
    if variant is None or variant["base"] not in known:
        return known.get(wanted)
    profile = known[variant["base"]]
    return replace(profile, threads=int(variant["threads"])).on_host(profile.device)


def check_runs_here(profile: DeviceProfile) -> None:
    """Checks that a profile describes this machine, so that it can be measured here.

    Raises:
        ProfileError: if it belongs to another host, its runtime is not installed, or processor or versions differ.
    """
    if profile.device != local_host():
        raise ProfileError(
            f"{profile.id} is a device of {profile.device!r}, and this host is {local_host()!r}; run this there, or"
            " start a job, which goes there."
        )
    detected = {one.runtime: one for one in detect_profiles()}
    here = detected.get(profile.runtime)
    if here is None:
        raise ProfileError(
            f"device profile {profile.id!r} needs the runtime {profile.runtime!r}; installed: {', '.join(detected)}."
        )
    for name in ("runtime_version", "processor", "architecture", "isa", "cores", "precisions"):
        if getattr(profile, name) != getattr(here, name):
            raise ProfileError(
                f"device profile {profile.id!r} has {name} = {getattr(profile, name)!r}, this machine"
                f" {getattr(here, name)!r}; only this machine can be measured."
            )
    if profile.batch != 1:
        raise ProfileError(f"device profile {profile.id!r} has batch {profile.batch}; only 1 can be measured.")


def _profile_of(runtime: Runtime, processor: Processor) -> DeviceProfile:
    precisions = runtime.precisions(processor.isa)
    host = local_host()
    return DeviceProfile(
        id=f"{host}/{runtime.name}",
        device=host,
        runtime=runtime.name,
        runtime_version=runtime.version,
        processor=processor.name,
        architecture=processor.architecture,
        isa=processor.isa,
        cores=processor.cores,
        precisions=precisions,
        weight_bits={precision: runtime.weight_bits(precision) for precision in precisions},
    )


def _first_entry(cpuinfo: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in cpuinfo.partition("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
