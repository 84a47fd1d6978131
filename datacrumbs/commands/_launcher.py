"""What the launcher does in a command's place: it stays the program in C that it is."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

from datacrumbs.client import launcher

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def wrap(words: Sequence[str]) -> NoReturn:
    """Become ``datacrumbs_wrap`` with these words."""
    _become(launcher().name, words)


def mark_process(options: argparse.Namespace) -> NoReturn:
    """Become the launcher, which asks for the process: its file is the one that runs have probes on."""
    named = [f"--run-id={options.run_id}"] if options.run_id is not None else []
    _become("datacrumbs_mark", [*named, f"--pid={options.process}"])


def _become(name: str, words: Sequence[str]) -> NoReturn:
    sys.stdout.flush()
    os.execv(launcher(), [name, *words])  # noqa: S606 - no shell is meant
