"""Times and sizes as people read them."""

from __future__ import annotations


def duration(microseconds: float) -> str:
    """A time with three digits and a unit; lines say whole microseconds, so 0 is less than one."""
    if microseconds == 0:
        return "<1 us"
    if microseconds < 1:
        return f"{microseconds * 1000:.3g} ns"
    for limit, divisor, unit in ((999.5, 1, "us"), (999_500, 1000, "ms")):
        if microseconds < limit:
            return f"{microseconds / divisor:.3g} {unit}"
    return f"{microseconds / 1_000_000:,.2f} s"


def moment(microseconds: int) -> str:
    """A time after the first call."""
    return f"{microseconds / 1e6:,.3f} s" if microseconds >= 1e6 else duration(microseconds) if microseconds else "0"


def size(number: int) -> str:
    """Bytes with a binary unit."""
    value = float(number)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{number} B" if unit == "B" else f"{value:,.1f} {unit}"
