"""What a command line asks to have probed, and the plan that it gets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CompositionRequest:
    """What the command line asks to have probed.

    Args:
        site: A site file; empty for the default one.
        only: Providers to take; empty for all of the site file.
        without: Providers to leave out.
        preset: Takes the place of the entries' presets.
        sample: One of how many calls gets a line; 0 for what the site file says.
        mode: Of all functions; empty for what the site file says.
    """

    site: str = ""
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    preset: str = ""
    sample: int = 0
    mode: str = ""


@dataclass(frozen=True, slots=True)
class OwnPlan:
    """The plan for one command, or why there is none.

    Args:
        document: Canonical text of the plan; empty where the command cannot be run.
        status: The exit status where the command cannot be run, else 0.
        problem: Why not.
        notes: What the user should know of the composition.
    """

    document: str = ""
    status: int = 0
    problem: str = ""
    notes: tuple[str, ...] = ()
