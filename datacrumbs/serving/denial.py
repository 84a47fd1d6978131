"""A refusal of a service, with a code that programs and logs can count."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from datacrumbs.errors import DatacrumbsError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class DenialError(DatacrumbsError):
    """Why a service does not do what it is asked for.

    Args:
        code: ``<check>.<reason>``, stable; the log and the reply carry it.
        message: What is wrong.
        hint: How to fix it.
        exit_code: 3, or 2 when the plan itself is wrong.
    """

    def __init__(self, code: str, message: str, hint: str = "", *, exit_code: ExitCode = ExitCode.REFUSED) -> None:
        super().__init__(message, hint=hint, exit_code=exit_code)
        self.code = code


def refused_by(service: str, reply: Mapping[str, Any]) -> DenialError:
    """The refusal that a service replied to a client; ``service`` is what the message calls it."""
    code = next((code for code in ExitCode if code and code == reply.get("exit_code")), ExitCode.REFUSED)
    message = f"the {service} refused: {reply.get('message', 'without a reason')}"
    return DenialError(str(reply.get("code", "service.fault")), message, str(reply.get("hint", "")), exit_code=code)


@contextmanager
def denying(code: str, exit_code: ExitCode = ExitCode.REFUSED) -> Iterator[None]:
    """Deny with a code what fails within.

    Raises:
        DenialError: For every `DatacrumbsError`, with its words.
    """
    try:
        yield
    except DatacrumbsError as error:
        raise DenialError(code, error.message, error.hint, exit_code=exit_code) from None
