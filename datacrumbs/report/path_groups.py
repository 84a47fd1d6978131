"""Files that programs use by the way, under names for ``--path`` and ``--not-path``."""

from __future__ import annotations

from datacrumbs.errors import usage_error

GROUPS = {
    "@loader": (
        *("/etc/ld.so.*", "*.so", "*.so.[0-9]*", "/usr/lib/locale/*", "/usr/share/locale/*"),
        *("*/gconv/*", "/etc/localtime", "/usr/share/zoneinfo/*", "/etc/nsswitch.conf", "/proc/self/maps"),
    ),
    "@python": ("*.py", "*.pyc", "*/__pycache__", "*/__pycache__/*", "*/site-packages", "*/dist-packages", "*.pth"),
    "@system": ("/proc/*", "/sys/*", "/dev/*"),
}
"""Name -> globs: the loader's and the locale's files, Python's modules, and what the kernel makes up."""


def globs_of(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Globs with the names of groups among them replaced by the groups' own.

    Raises:
        DatacrumbsError: (exit 2) for a name that begins with ``@`` and is no group's.
    """
    found: list[str] = []
    for pattern in patterns:
        if pattern.startswith("@") and pattern not in GROUPS:
            raise usage_error(f"{pattern!r} is no group of files; expected {', '.join(GROUPS)} or a glob")
        found += GROUPS.get(pattern, (pattern,))
    return tuple(found)
