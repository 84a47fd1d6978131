"""What ``datacrumbs_track`` and ``datacrumbs_untrack`` do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.client.tracking import become_owner, track, untrack
from datacrumbs.output import inform

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from datacrumbs.client.tracking import Tracking


def track_executable(arguments: argparse.Namespace) -> None:
    """Add the client library to an executable."""
    _change(arguments, track, ("tracked", "already tracked"))


def untrack_executable(arguments: argparse.Namespace) -> None:
    """Remove the client library from an executable."""
    _change(arguments, untrack, ("no longer tracked", "not tracked"))


# The words say what the file is now: after a change, and when there was nothing to change.
def _change(arguments: argparse.Namespace, change: Callable[..., Tracking], words: tuple[str, str]) -> None:
    places = become_owner(arguments.executable, arguments.output)
    tracking = change(*places, dry_run=arguments.dry_run)
    outcome = f"{tracking.path}: {words[0] if tracking.changed else words[1]}"
    inform(f"dry run, nothing is changed; then {outcome}" if arguments.dry_run else outcome)
