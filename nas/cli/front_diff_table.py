"""The difference between two fronts as tables."""

from typing import TYPE_CHECKING

from nas.cli.console import print_lines, print_table

if TYPE_CHECKING:
    from nas.fronts.diff import FrontDiff
    from nas.fronts.front import Member


def print_diff(found: "FrontDiff", a: str, b: str) -> None:
    """Prints members of A alone, of B alone, of both, and the hypervolumes."""
    columns = ("candidate", "network", "precision", "p50 ms", "expected accuracy")
    for name, members in ((a, found.only_a), (b, found.only_b)):
        if members:
            print_table(f"Only in {name}", columns, [_row(member) for member in members])
    if found.both:
        rows = [
            (common.a.candidate[:12], common.a.summary, name, _number(before), _number(after))
            for common in found.both
            for name, (before, after) in (common.changed or {"unchanged": (None, None)}).items()
        ]
        print_table("In both", ("candidate", "network", "figure", a, b), rows)
    print_lines(
        f"hypervolume ({', '.join(found.objectives)}): {a} {found.hypervolume_a:.4g}, {b} {found.hypervolume_b:.4g};"
        f" reference {', '.join(f'{name} {value:.4g}' for name, value in found.reference.items())}"
    )


def _row(member: "Member") -> tuple[str, ...]:
    from nas.fronts.member_text import accuracy_text

    latency = f"{member.latency_p50_ms.best_known:.3f}"
    return member.candidate[:12], member.summary, member.precision, latency, accuracy_text(member)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"
