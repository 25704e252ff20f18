"""``hwnas recommend``: the best network for a device within limits."""

from typing import Annotated, Any

import typer

from nas.cli.console import print_json, print_lines
from nas.cli.limit_options import MaxLatencyP50, MaxLatencyP95, MaxLoadTime, MaxPeakMemory, MaxSize, MinAccuracy
from nas.cli.measure import Json, Supernet


def recommend(
    device: Annotated[str, typer.Argument(help="Device profile; `hwnas devices` lists them.")],
    max_latency_p50_ms: MaxLatencyP50 = None,
    max_latency_p95_ms: MaxLatencyP95 = None,
    max_size_bytes: MaxSize = None,
    max_peak_memory_bytes: MaxPeakMemory = None,
    max_load_time_ms: MaxLoadTime = None,
    min_accuracy: MinAccuracy = None,
    space: Annotated[
        str | None, typer.Option(help="Search space; required if the device has fronts in several.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Data set. Default: that of the supernet.")] = None,
    supernet: Supernet = None,
    as_json: Json = False,
) -> None:
    """Recommend the network with the best expected accuracy within limits, among all those verified on a device.

    If no network meets the limits, the error names the closest one, and the exit code is 1.
    """
    from nas.fronts.device_fronts import DeviceFronts
    from nas.fronts.limits import best_accuracy
    from nas.metrics import Constraints
    from nas.workspace import open_workspace
    from search_spaces.registry import canonical_name

    limits = {
        "max_latency_p50_ms": max_latency_p50_ms,
        "max_latency_p95_ms": max_latency_p95_ms,
        "max_size_bytes": max_size_bytes,
        "max_peak_memory_bytes": max_peak_memory_bytes,
        "max_load_time_ms": max_load_time_ms,
        "min_accuracy": min_accuracy,
    }
    constraints = Constraints.from_limits(limits)
    with open_workspace() as workspace:
        profile = workspace.profile(device)
        front = DeviceFronts(workspace.store).merged(
            profile.id, space=None if space is None else canonical_name(space), data=data, supernet=supernet
        )
    answer = front.recommendation(best_accuracy(front.values, constraints), constraints)
    if as_json:
        print_json(answer)
    else:
        print_lines(*_lines(answer))


def _lines(answer: dict[str, Any]) -> list[str]:
    from nas.fronts.front import Member
    from nas.fronts.member_text import accuracy_text

    member = Member.from_json(answer["member"])
    noisy = " (noisy reading)" if member.quality == "noisy" else ""
    return [
        f"{member.candidate[:12]}  {member.summary}, {member.precision}",
        f"  expected accuracy {accuracy_text(member)}",
        f"  latency p50 {member.latency_p50_ms.best_known:.3f} ms,"
        f" p95 {member.latency_p95_ms.best_known:.3f} ms{noisy}",
        f"  size {member.size_bytes / 1024:.0f} KiB",
        f"  verified for {answer['space']} on {answer['device']}, {answer['data']}; its models:"
        f" hwnas export {answer['front'][:12]} --out DIR",
    ]
