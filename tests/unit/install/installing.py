"""What setting up leaves, and what its steps say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def files_below(directory: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mode, path.read_bytes() if path.is_file() else b"") for path in directory.rglob("*")
    }


def states(steps) -> set[str]:
    return {step.state for step in steps}
