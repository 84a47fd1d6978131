"""One command on many nodes: which nodes a text means, and what each of them answered.

Nothing of a user's becomes a word of a shell's: the command is fixed words, and others are quoted.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError, usage_error
from datacrumbs.output import last_message, one_line
from datacrumbs.secure.places_of_users import leave_out_places_of_users

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from types import ModuleType

BEYOND_SECONDS = 15.0
"""How much longer than its own time limit a command is waited for: it is to say itself that it was too slow."""
FAN_OUT = 64
_LINES_KEPT = 1000
_LINE_KEPT = 4000
_UNREACHED = 255  # ssh's own status; none of our commands has it
_SIGNALLED = 128
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}")
_SUDO = ("sudo", "-n", "--")
_EXAMPLE = "node[1-4] or node1,node2"
_CONFIGURATIONS = ("HOME", "XDG_CONFIG_HOME", "CLUSTERSHELL_CFGDIR")
"""Where ClusterShell looks for what groups are: commands, which it runs."""


class NodeOutcome(StrEnum):
    """What became of a command on a node."""

    DONE = "done"
    FAILED = "failed"
    UNREACHED = "unreachable"
    SILENT = "no answer"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one node answered.

    Args:
        node: Its name.
        outcome: Whether the command did what it was to do; ``INTERRUPTED`` where the user did not wait for it.
        status: Its exit status; None where there is none.
        output: What it printed, by lines.
        messages: What it, or ssh, wrote to standard error.
    """

    node: str
    outcome: NodeOutcome
    status: int | None = None
    output: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()

    @property
    def is_definite(self) -> bool:
        """Whether the node has said what it did; else it may have done it all the same, or may do so yet."""
        return self.outcome is NodeOutcome.DONE or (
            self.outcome is NodeOutcome.FAILED and (self.status or 0) < _SIGNALLED
        )

    @property
    def last_message(self) -> str:
        """Why it did not, in one line: the last message of the command, with its hint, else that of ssh."""
        if self.outcome is NodeOutcome.DONE:
            return ""
        return last_message(self.messages) or one_line(self.messages[-1:])


@dataclass(frozen=True, slots=True)
class Answers:
    """What all nodes answered, in their order, and whether the user interrupted it."""

    answers: tuple[Answer, ...]
    interrupted: bool


@dataclass(frozen=True, slots=True)
class Access:
    """How nodes are reached.

    Args:
        programs: Directory of the product's commands there.
        login: User to log in as; empty for what ssh is configured for.
        by_sudo: Whether that user becomes root by sudo, without a password.
        fan_out: How many nodes are asked at once.
    """

    programs: Path
    login: str = ""
    by_sudo: bool = False
    fan_out: int = FAN_OUT

    def command_line(self, name: str, words: Iterable[str]) -> str:
        """A command of the product's, as the shell of a node is given it."""
        return shlex.join([*(_SUDO if self.by_sudo else ()), str(self.programs / name), *words])


def node_names(text: str) -> tuple[str, ...]:
    """The nodes that a list means, in its order: ``node[1-4,7],login1``, or a group of ClusterShell's, ``@compute``.

    Raises:
        DatacrumbsError: (exit 1) when ClusterShell is not installed; (exit 2) for no such list, an empty one, or a name
            that no host has: ssh would take some for options.
    """
    try:
        names = _library().expanded(text)
    except ValueError as error:
        raise usage_error(f"--node-list {text[:80]!a}: {error}; expected {_EXAMPLE}") from None
    wrong = next((name for name in names if not _NAME.fullmatch(name)), None)
    if wrong is not None or not names:
        problem = "no node" if wrong is None else f"{wrong[:80]!a} is not the name of a host"
        raise usage_error(f"--node-list {text[:80]!a}: {problem}; expected {_EXAMPLE}")
    return tuple(names)


def folded(nodes: Sequence[str]) -> str:
    """Names of nodes in their short form: ``node[1-3]``."""
    return str(_library().folded(nodes))


def ask(nodes: Sequence[str], line: str, access: Access, seconds: float, given: bytes = b"") -> Answers:
    """Run a command line on nodes, and wait for all of them.

    Args:
        nodes: Their names, as `node_names` gives them.
        line: What `Access.command_line` made.
        access: How they are reached.
        seconds: Time limit of the command, which it is to keep itself.
        given: What it reads.

    Raises:
        DatacrumbsError: (exit 1) when ClusterShell is not installed.
    """
    said: dict[tuple[str, str], list[str]] = {}

    def hear(node: str, stream: str, text: bytes) -> None:
        lines = said.setdefault((node, stream), [])
        if len(lines) < _LINES_KEPT:
            lines.append(text[:_LINE_KEPT].decode("utf-8", "replace"))

    ends = _library().run_over_ssh(
        nodes,
        line,
        login=access.login,
        fan_out=access.fan_out,
        seconds=seconds + BEYOND_SECONDS,
        given=given,
        heard=hear,
    )

    def answer(node: str) -> Answer:
        if node in ends.too_long:
            return Answer(node, NodeOutcome.SILENT, messages=("its answer is too long, and was not read to its end",))
        status = ends.statuses.get(node)
        output, messages = (tuple(said.get((node, stream), ())) for stream in ("stdout", "stderr"))
        return Answer(node, _outcome(status, is_late=node in ends.late), status, output, messages)

    return Answers(tuple(answer(node) for node in nodes), ends.interrupted)


def _outcome(status: int | None, *, is_late: bool) -> NodeOutcome:
    if is_late:
        return NodeOutcome.SILENT
    if status is None:
        return NodeOutcome.INTERRUPTED
    if status == _UNREACHED:
        return NodeOutcome.UNREACHED
    return NodeOutcome.FAILED if status else NodeOutcome.DONE


def _library() -> ModuleType:
    leave_out_places_of_users(_CONFIGURATIONS, "ClusterShell's configuration")
    try:
        from datacrumbs.nodes import cluster_shell  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise DatacrumbsError(
            "ClusterShell is not installed",
            hint="pip install 'datacrumbs[cluster]', or the distribution's package (python3-clustershell)",
        ) from None
    return cluster_shell
