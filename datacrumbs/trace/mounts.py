"""File systems of a node: of which type, with which sizes, and whether a path below them is another file elsewhere."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

MOUNT = "datacrumbs_mount"
MOUNTS = Path("/proc/self/mountinfo")
MOST_MOUNTS = 1 << 16
"""That are taken from a trace, which any program may have written."""

_LOCAL = (
    "bcachefs binfmt_misc bpf btrfs cgroup cgroup2 configfs debugfs devpts devtmpfs efivarfs exfat ext2 ext3 ext4 f2fs "
    "fusectl hugetlbfs jfs mqueue nilfs2 ntfs3 overlay proc pstore ramfs reiserfs resctrl rootfs securityfs sysfs "
    "tmpfs tracefs vfat xfs zfs"
)
LOCAL_TYPES = frozenset(_LOCAL.split())
"""File systems that no two nodes share. A type that is not known may be shared."""
_OVERLAY = "overlay"

# Users name mount points. The kernel escapes space and newline in them, but nothing else that Python takes for white
# space or for the end of a line.
_LINE = re.compile(r"(?:[^ ]+ ){4}(?P<point>[^ ]+) [^ ]+ (?:[^ ]+ )*?- (?P<kind>[^ ]+) [^ ]* (?P<options>[^ ]*)")
_SECTOR = 512  # in which XFS gives the width of its stripes (xfs(5)); ext4 gives it in blocks (ext4(5))
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system, as far as it is known without asking a server.

    Args:
        local: Whether everything below it belongs to this node alone.
        kind: Its type as the kernel names it; empty where a trace does not say.
        block_bytes: What it prefers to transfer at once (``f_bsize`` of statvfs(3)); 0 where that is not known, as for
            each of the following.
        stripe_bytes: Width of a stripe over all disks, of ext4 and XFS.
        read_bytes: The largest request by which it reads from its server.
        write_bytes: The largest request by which it writes to its server.
    """

    local: bool
    kind: str = ""
    block_bytes: int = 0
    stripe_bytes: int = 0
    read_bytes: int = 0
    write_bytes: int = 0


_SIZES = ("block_bytes", "stripe_bytes", "read_bytes", "write_bytes")


def node_mounts(text: str | None = None) -> dict[str, Mount]:
    """Mount point -> its file system.

    Only those that differ from the one that they are in.

    A server is not asked, since one that is gone keeps its clients waiting: the sizes of a network file system are
    those of its mount options, and stripes of Lustre, BeeGFS and the like are not known.

    Args:
        text: What ``/proc/self/mountinfo`` says; None to read it.
    """
    if text is None:
        try:
            text = MOUNTS.read_bytes().decode("utf-8", "surrogateescape")
        except OSError:
            return {}
    found = [match for match in map(_LINE.match, text.split("\n")) if match]
    # Of two at one place the later one hides the other.
    every = {_unescaped(match["point"]): (_unescaped(match["kind"]), match["options"]) for match in found}
    mounts: dict[str, Mount] = {}
    answers: dict[str, bool] = {}
    for point, (kind, options) in sorted(every.items()):
        local = kind in LOCAL_TYPES
        # What an overlay is laid over may be on a server, and so may a directory on the way to the mount point.
        answers[point] = local and kind != _OVERLAY and value_at(point.rpartition("/")[0] or "/", answers) is not False
        mounts[point] = _with_sizes(Mount(local, kind), options, _block_bytes(point) if answers[point] else 0)
    return differing(mounts)


def read_mount(arguments: Mapping[str, Any]) -> dict[str, Mount]:
    """What a MOUNT line says; nothing where it is damaged."""
    point, local, kind = arguments.get("point"), arguments.get("local"), arguments.get("type", "")
    if not (isinstance(point, str) and isinstance(local, int) and isinstance(kind, str)):
        return {}
    sizes = {name: arguments.get(name) for name in _SIZES}
    return {point: Mount(bool(local), kind, **{name: n for name, n in sizes.items() if type(n) is int and n > 0})}


def mount_fields(mount: Mount) -> list[tuple[str, str | int]]:
    """What a MOUNT line has beside the mount point."""
    sizes = [(name, getattr(mount, name)) for name in _SIZES]
    return [("local", int(mount.local)), ("type", mount.kind), *((name, number) for name, number in sizes if number)]


def value_at(path: str, mounts: Mapping[str, Value]) -> Value | None:
    """What belongs to a path, by the longest mount point that it is below; None if there is none."""
    place = path.rstrip("/")
    while place.startswith("/"):
        if place in mounts:
            return mounts[place]
        place = place.rpartition("/")[0]
    return mounts.get("/") if path.startswith("/") else None


def differing(values: Mapping[str, Value]) -> dict[str, Value]:
    """Only the mount points whose value differs from that of the one that they are in: `value_at` is the same."""
    kept: dict[str, Value] = {}
    for point in sorted(values):
        if value_at(point, kept) != values[point]:
            kept[point] = values[point]
    return kept


def _with_sizes(mount: Mount, options: str, block_bytes: int) -> Mount:
    numbers = {
        name: int(value)
        for name, _, value in (option.partition("=") for option in options.split(","))
        if value.isdecimal() and value.isascii()
    }
    units = {"ext4": ("stripe", block_bytes), "xfs": ("swidth", _SECTOR)}
    option, unit = units.get(mount.kind, ("", 0))
    return replace(
        mount,
        block_bytes=block_bytes,
        stripe_bytes=numbers.get(option, 0) * unit,
        read_bytes=numbers.get("rsize", 0),
        write_bytes=numbers.get("wsize", 0),
    )


def _block_bytes(point: str) -> int:
    try:
        return os.statvfs(os.fsencode(point)).f_bsize
    except OSError:  # not to be reached by this user
        return 0


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda escape: chr(int(escape[1], 8)), text)
