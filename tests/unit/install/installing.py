"""What setting up leaves, and what its steps say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.install import scheduler_links, steps
from datacrumbs.install.step import performed

if TYPE_CHECKING:
    from pathlib import Path


def files_below(directory: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mode, path.read_bytes() if path.is_file() else b"") for path in directory.rglob("*")
    }


def install(*what, dry_run: bool = False):
    return performed(steps.install(*what), dry_run=dry_run)


def uninstall(paths, *, dry_run: bool = False):
    return performed(steps.uninstall(paths), dry_run=dry_run)


def link(*what, dry_run: bool = False):
    return performed(scheduler_links.link(*what), dry_run=dry_run)


def unlink(*what, dry_run: bool = False):
    return performed(scheduler_links.unlink(*what), dry_run=dry_run)


def states(done) -> set[str]:
    return {step.state for step in done}
