"""Where the kernel's headers are on this host."""

from __future__ import annotations

import os
from pathlib import Path

from datacrumbs.cache.inspected_files import looked_at

MODULES = Path("/lib/modules", os.uname().release)


def header_directories() -> tuple[Path, ...]:
    """Directories of kernel headers here: the running kernel's first, then any other."""
    sources = sorted(Path("/usr/src").glob("linux-headers-*"), reverse=True)
    kernels = sorted(Path("/usr/src/kernels").glob("*"), reverse=True)
    places = (MODULES / "build", MODULES / "source", *sources, *kernels)
    looked_at(*places)
    return tuple(path for path in places if path.is_dir())


def missing_headers() -> Path | None:
    """Where bcc looks for kernel headers and does not find them; None when they are there.

    Of a kernel that carries its headers, bcc before 0.30 would then take them from a directory in /tmp that anybody can
    have made (CVE-2024-2314).
    """
    headers = MODULES / "build"
    if headers.is_dir() and (MODULES / "source").is_dir():
        headers = MODULES / "source"
    return None if (headers / "include/linux/kconfig.h").is_file() else headers
