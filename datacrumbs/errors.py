"""The one exception that carries a message, a hint and an exit code to the user."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

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

    @property
    def text(self) -> str:
        """The message with its hint, as users read it."""
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message

    def parts(self) -> tuple[str, str, int]:
        """What `of_parts` makes the error of again, in another process: JSON carries it."""
        return self.message, self.hint, int(self.exit_code)

    @staticmethod
    def of_parts(message: str, hint: str, code: int) -> DatacrumbsError:
        """The error of another process, by its `parts`."""
        return DatacrumbsError(message, hint=hint, exit_code=ExitCode(code))


def usage_error(message: str, hint: str = "") -> DatacrumbsError:
    """The error for a wrong command line or configuration (exit 2)."""
    return DatacrumbsError(message, hint=hint, exit_code=ExitCode.USAGE)


def refusal(message: str, hint: str = "") -> DatacrumbsError:
    """The error for something refused for security (exit 3)."""
    return DatacrumbsError(message, hint=hint, exit_code=ExitCode.REFUSED)


def unforeseen(error: BaseException) -> DatacrumbsError:
    """The error for an exception that no caller foresaw: the system's own words where it is the system's."""
    if not isinstance(error, OSError):
        return DatacrumbsError(f"{type(error).__name__}: {error}")
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
    return DatacrumbsError(f"{where}{error.strerror or error}", hint=hint_of(error))


def hint_of(error: OSError) -> str:
    """What to do about a failure that has the same cause wherever it shows; empty where that is not known."""
    return "raise the limit of open files (ulimit -n)" if error.errno == errno.EMFILE else ""


@contextmanager
def reworded(prefix: str = "", *, hint: str = "", exit_code: ExitCode | None = None) -> Iterator[None]:
    """Give the errors of a block what only its caller knows: where it was, and what that means.

    Args:
        prefix: What the message begins with.
        hint: For an error that has none.
        exit_code: In place of the error's own; None keeps that.
    """
    try:
        yield
    except DatacrumbsError as error:
        code = error.exit_code if exit_code is None else exit_code
        raise DatacrumbsError(f"{prefix}{error.message}", hint=error.hint or hint, exit_code=code) from None


def did_you_mean(name: str, known: Collection[str]) -> str:
    """What to put behind a name that is not known: the known one that looks most like it, or nothing."""
    import difflib  # noqa: PLC0415 - most commands end without it

    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
