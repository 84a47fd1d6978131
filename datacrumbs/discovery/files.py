"""Whether there is a file, asked about places that the user may not be allowed to look into."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def is_file(path: Path) -> bool:
    """Whether a regular file is there; also False where this user cannot look (``Path.is_file`` raises there)."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Whether a directory is there; also False where this user cannot look."""
    try:
        return path.is_dir()
    except OSError:
        return False
