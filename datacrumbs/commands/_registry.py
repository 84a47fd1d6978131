"""All commands, by name."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datacrumbs.commands._command import Command

COMMANDS = (
    "cluster_setup",
    "completion",
    "daemon",
    "doctor",
    "epilog",
    "list",
    "mark",
    "probe_configurator",
    "prolog",
    "record",
    "report",
    "run",
    "runs",
    "salloc",
    "sbatch",
    "service_wrapper",
    "setup",
    "sign_probes",
    "srun",
    "stop",
    "top",
    "track",
    "trust",
    "untrack",
)
"""Each is a module beside this one that declares its `Command` as ``COMMAND``."""


def command_named(name: str) -> Command:
    """The command of a name; no other command's module is imported."""
    declared: Command = importlib.import_module(f"datacrumbs.commands.{name}").COMMAND
    return declared
