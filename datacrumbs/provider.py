"""All that a provider imports: the hook marker and the dataclasses that its hooks return.

A provider is a distribution with an entry point in the group ``datacrumbs.providers`` that
names a module with functions marked `hookimpl`. The hooks are specified, with examples, in
`datacrumbs.plugins.hookspecs`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import pluggy

from datacrumbs.model.fault_rules import Evidence, FindingRule, Suspicion
from datacrumbs.model.plan import (
    ARGUMENT_LIMIT,
    Argument,
    Attach,
    Function,
    Result,
    Returns,
    Role,
    Snippet,
    Target,
)

__all__ = [
    "ARGUMENT_LIMIT",
    "Argument",
    "Attach",
    "Check",
    "CheckState",
    "Cost",
    "Evidence",
    "FindingRule",
    "Function",
    "Host",
    "Layer",
    "Option",
    "Options",
    "Preset",
    "ProbeTarget",
    "Provider",
    "Result",
    "Returns",
    "Role",
    "Snippet",
    "Suspicion",
    "Target",
    "hookimpl",
]

ENTRY_POINT_GROUP = "datacrumbs.providers"
hookimpl = pluggy.HookimplMarker("datacrumbs")

OptionValue = str | int | bool | tuple[str, ...]
Options = Mapping[str, OptionValue]


@dataclass(frozen=True, slots=True)
class Option:
    """An option that a provider takes in the site file under ``options``.

    Args:
        name: Key; lower case with underscores.
        type: ``string``, ``integer``, ``boolean`` or ``list`` (of strings).
        default: Value when the site file does not set it.
        help: One line for the reference.
        choices: Allowed values; empty for any.
    """

    name: str
    type: str
    default: OptionValue
    help: str
    choices: tuple[str, ...] = ()


class Layer(StrEnum):
    """Where a provider's functions are between the application and the kernel, from the application down.

    Where two providers describe one place, the one nearer to the application wins.
    """

    APPLICATION = "application"
    DATA_FORMAT = "data format"
    MESSAGE_PASSING = "message passing"
    LIBRARY = "library"
    C_LIBRARY = "C library"
    SYSTEM_CALLS = "system calls"
    KERNEL = "kernel"

    @property
    def position(self) -> int:
        """Its place in the order; smaller is nearer to the application."""
        return 10 * (1 + list(Layer).index(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """What a provider says of itself. Its name is its entry point's; distribution and version are the installed ones.

    Args:
        title: One line for ``--list``.
        layer: Where its functions are.
        options: What it takes in the site file.
        libraries: Shell patterns of file names and sonames (``libmpi.so.*``) of the libraries that it is about. When a
            traced program maps such a library that the plan does not have, the trace says so.
    """

    title: str
    layer: Layer
    options: tuple[Option, ...] = ()
    libraries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Host:
    """The machine that a plan is made for.

    Args:
        release: Kernel release, as ``uname -r``.
        machine: Hardware name, as ``uname -m``.
        environment: The environment in which libraries are looked for.
        program: Executable that will be traced, when the user named one: its libraries only.
        root: Root directory in which the program runs, where that is not this process's; ``program`` is in it, by its
            path on this host.
        others: With a program: also what would be found without one, since it may start other programs.
    """

    release: str
    machine: str
    environment: Mapping[str, str] = field(default_factory=dict)
    program: Path | None = None
    others: bool = False
    root: Path = Path("/")


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """Something that a provider can probe on this host, in one way.

    Args:
        target: The ELF file or the kernel.
        attach: How its functions are probed.
        label: What it is, for ``--list`` (``Open MPI 4.1``, ``glibc``, ``system calls``).
    """

    target: Target
    attach: Attach
    label: str


class Cost(StrEnum):
    """What a preset costs a traced program, by order of magnitude."""

    LOW = "low"  # below 1 % of a typical I/O program
    MEDIUM = "medium"  # a few percent
    HIGH = "high"  # may dominate programs of many small calls


@dataclass(frozen=True, slots=True)
class Preset:
    """A named selection of functions.

    Args:
        name: What users write after ``--preset``; all providers have ``all``, and ``data`` and
            ``metadata`` where they mean something.
        title: One line for ``--list``.
        cost: What to expect.
        functions: Names (of `Function.name` or `Function.symbol`) that it selects; an empty set for all. Where finding
            them takes time, a function that gives them: it is called only when the preset is used, and an empty set
            from it selects nothing.
    """

    name: str
    title: str
    cost: Cost
    functions: frozenset[str] | Callable[[], frozenset[str]] = frozenset()


class CheckState(StrEnum):
    """Outcome of a doctor check."""

    OK = "ok"
    WARNING = "warning"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding of `datacrumbs_doctor`.

    Args:
        name: What was looked at.
        state: The outcome.
        detail: What was found.
        fix: What to do about it, as a command where there is one; empty when ok.
    """

    name: str
    state: CheckState
    detail: str
    fix: str = ""
