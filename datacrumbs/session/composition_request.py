"""What a command line asks to have probed."""

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
