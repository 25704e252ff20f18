"""Values of a front's members as text, the same in tables and reports."""

from nas.fronts.front import Member


def share_text(fraction: float | None) -> str:
    """An accuracy, or a dash where there is none."""
    return "-" if fraction is None else f"{fraction:.1%}"


def precision_text(member: Member) -> str:
    """The precision, and how many units are computed in float all the same."""
    count = len(member.float_units)
    return f"{member.precision}, {count} in float" if count else member.precision


def accuracy_text(member: Member) -> str:
    """Expected accuracy with its 90 % interval; the validation accuracy in fronts of earlier versions."""
    if member.accuracy is None:
        return f"{member.accuracy_val:.1%} (validation)"
    low, high = member.accuracy.interval_90
    return f"{member.accuracy.expected:.1%} [{low:.1%}, {high:.1%}]"
