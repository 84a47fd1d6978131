"""Where the kernel's tracing files are, and whether it has kprobes."""

from __future__ import annotations

from pathlib import Path

PLACES = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
_KPROBE_SOURCE = Path("/sys/bus/event_source/devices/kprobe")


def tracefs_directory() -> Path | None:
    """Where tracefs is mounted; None where it is not, or this user may not look into it."""
    for place in PLACES:
        try:
            if (place / "events").is_dir():
                return place
        except OSError:
            continue
    return None


def mounted_tracefs() -> Path:
    """The same, where it is needed.

    Raises:
        FileNotFoundError: It is not mounted.
    """
    found = tracefs_directory()
    if found is None:
        raise FileNotFoundError("tracefs is not mounted: mount -t tracefs tracefs /sys/kernel/tracing")
    return found


def kprobes_available() -> bool:
    """Whether the running kernel has kprobes (CONFIG_KPROBES, CONFIG_KPROBE_EVENTS)."""
    return _KPROBE_SOURCE.is_dir()
