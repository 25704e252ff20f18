"""A front as a table: its members, and the baselines beside them."""

from nas.cli.console import print_lines, print_table
from nas.fronts.front import Front, Latency, Member
from nas.fronts.member_text import accuracy_text, precision_text, share_text

_COLUMNS = (
    "candidate",
    "network",
    "precision",
    "KiB",
    "predicted p50 ms [90 %]",
    "p50 ms",
    "p95 ms",
    "inherited",
    "validation",
    "expected [90 %]",
    "test",
)
_NOISY_MARK = "~"


def print_front(front: Front) -> None:
    """Prints members by rising latency, then the baselines under the same measurement."""
    budget = f"{front.evaluations} real evaluations"
    if front.budget is not None:
        budget += f", {front.budget.lookups} float look-ups"
    method = "" if front.method in (None, "hwnas") else f", method {front.method}"
    title = f"Front of {front.space} on {front.device}, {front.data}: {budget}{method}"
    print_table(title, _COLUMNS, [_row(member) for member in front.members])
    beside = () if front.baselines is None else front.baselines.members
    if front.baselines is not None:
        rows = [
            _row(front.baselines.largest_fp32, "largest fp32"),
            _row(front.baselines.largest_int8, "largest int8"),
            *(_row(member, "random") for member in front.baselines.random),
        ]
        print_table(f"Baselines on {front.device}, same measurement{_random_budget(front)}", _COLUMNS, rows)
    if any(member.quality == "noisy" for member in (*front.members, *beside)):
        print_lines(f"{_NOISY_MARK} noisy: the latency reading failed its own quality check on this machine.")


def _random_budget(front: Front) -> str:
    if front.random_budget is None:
        return ""
    spent = front.random_budget
    return f"; random: {spent.evaluations} real evaluations, {spent.lookups} float look-ups"


def _row(member: Member, label: str | None = None) -> tuple[str, ...]:
    mark = _NOISY_MARK if member.quality == "noisy" else ""
    return (
        label or member.candidate[:12],
        member.summary,
        precision_text(member),
        f"{member.size_bytes / 1024:.0f}",
        _predicted(member.latency_p50_ms),
        mark + _measured(member.latency_p50_ms),
        mark + _measured(member.latency_p95_ms),
        share_text(member.accuracy_inherited_val),
        share_text(member.accuracy_val),
        "-" if member.accuracy is None else accuracy_text(member),
        share_text(member.accuracy_test),
    )


def _predicted(latency: Latency) -> str:
    if latency.predicted is None or latency.interval_90 is None:
        return "-"
    low, high = latency.interval_90
    return f"{latency.predicted:.3f} [{low:.3f}, {high:.3f}]"


def _measured(latency: Latency) -> str:
    return "-" if latency.measured is None else f"{latency.measured:.3f}"
