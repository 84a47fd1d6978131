"""Which directories are of this node alone: a path below them is another file on another node."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MOUNT = "datacrumbs_mount"
MOUNTS = Path("/proc/self/mountinfo")

_LOCAL = (
    "bcachefs binfmt_misc bpf btrfs cgroup cgroup2 configfs debugfs devpts devtmpfs efivarfs exfat ext2 ext3 ext4 f2fs "
    "fusectl hugetlbfs jfs mqueue nilfs2 ntfs3 overlay proc pstore ramfs reiserfs resctrl rootfs securityfs sysfs "
    "tmpfs tracefs vfat xfs zfs"
)
LOCAL_TYPES = frozenset(_LOCAL.split())
"""File systems that no two nodes share. A type that is not known may be shared."""

# Users name mount points. The kernel escapes space and newline in them, but nothing else that Python takes for white
# space or for the end of a line.
_LINE = re.compile(r"(?:[^ ]+ ){4}(?P<point>[^ ]+) [^ ]+ (?:[^ ]+ )*?- (?P<kind>[^ ]+) ")


def node_mounts(text: str | None = None) -> dict[str, bool]:
    """Mount point -> whether everything below it belongs to this node alone.

    Only those that differ in that from the directory that they are in.

    Args:
        text: What ``/proc/self/mountinfo`` says; None to read it.
    """
    if text is None:
        try:
            text = MOUNTS.read_bytes().decode("utf-8", "surrogateescape")
        except OSError:
            return {}
    every: dict[str, bool] = {}
    for match in map(_LINE.match, text.split("\n")):
        if match:  # of two at one place the later one hides the other
            every[re.sub(r"\\([0-7]{3})", _byte, match["point"])] = match["kind"] in LOCAL_TYPES
    kept: dict[str, bool] = {}
    for point in sorted(every):
        if is_local(point, kept) is not every[point] or point == "/":
            kept[point] = every[point]
    return kept


def read_mount(arguments: Mapping[str, Any]) -> dict[str, bool]:
    """What a MOUNT line says; nothing where it is damaged."""
    point, local = arguments.get("point"), arguments.get("local")
    return {point: bool(local)} if isinstance(point, str) and isinstance(local, int) else {}


def is_local(path: str, mounts: Mapping[str, bool]) -> bool | None:
    """Whether a path is of its node alone, by the longest mount point that it is below; None if there is none."""
    found = [point for point in mounts if f"{path}/".startswith(_directory(point))]
    return mounts[max(found, key=len)] if found else None


def local_order(mounts: Mapping[str, bool]) -> Iterable[tuple[str, bool]]:
    """The mounts as beginnings of paths, with a slash at the end, the longest first: the first that fits decides."""
    return sorted(((_directory(point), local) for point, local in mounts.items()), key=lambda pair: -len(pair[0]))


def _directory(point: str) -> str:
    return point.rstrip("/") + "/"


def _byte(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 8))
