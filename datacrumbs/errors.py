"""The one exception that carries a message, a hint and an exit code to the user."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

RECREATE = "recreate the probe file with datacrumbs_probe_configurator"
"""The hint for a probe file that no longer fits what it probes, or what reads it."""


class ExitCode(IntEnum):
    """What a command's exit status means, the same for every command."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    FOUND = 4
    NOT_RUN = 125
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        """In words, for documents."""
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.DONE: "done",
    ExitCode.FAILED: "the work failed",
    ExitCode.USAGE: "wrong command line, configuration or input",
    ExitCode.REFUSED: "refused for security",
    ExitCode.FOUND: "the report has findings that --fail-on names",
    ExitCode.NOT_RUN: "the command was not run, since it could not be traced",
    ExitCode.INTERRUPTED: "interrupted",
}


class DatacrumbsError(Exception):
    """A failure that a user can act on.

    Raised anywhere; what no boundary below it answers, `datacrumbs.commands._main` catches once: it prints
    ``message`` and ``hint`` to stderr, and the command ends with ``exit_code``.

    Args:
        message: What is wrong. For input files ``FILE:LINE: KEY: problem; expected ...``.
        hint: How to fix it, as an instruction; empty when the message says it all.
        exit_code: The command's exit status.
    """

    def __init__(self, message: str, *, hint: str = "", exit_code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code


def usage_error(message: str, hint: str = "") -> DatacrumbsError:
    """The error for a wrong command line or configuration (exit 2)."""
    return DatacrumbsError(message, hint=hint, exit_code=ExitCode.USAGE)


def refusal(message: str, hint: str = "") -> DatacrumbsError:
    """The error for something refused for security (exit 3)."""
    return DatacrumbsError(message, hint=hint, exit_code=ExitCode.REFUSED)


def did_you_mean(name: str, known: Collection[str]) -> str:
    """What to put behind a name that is not known: the known one that looks most like it, or nothing."""
    import difflib  # noqa: PLC0415 - most commands end without it

    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
