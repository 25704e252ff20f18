"""Channel counts that processors handle well."""


def round_width(width: float, divisor: int = 8) -> int:
    """The nearest multiple of ``divisor``, at most 10 % below ``width`` (MobileNet's rule)."""
    rounded = max(divisor, int(width + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * width else rounded
