"""A refusal of the signing service, with a code that programs and logs can count."""

from __future__ import annotations

from datacrumbs.errors import DatacrumbsError, ExitCode


class DenialError(DatacrumbsError):
    """Why a plan is not signed.

    Args:
        code: ``<check>.<reason>``, stable; the log and the reply carry it.
        message: What is wrong.
        hint: How to fix it.
        exit_code: 3, or 2 when the plan itself is wrong.
    """

    def __init__(self, code: str, message: str, hint: str = "", *, exit_code: ExitCode = ExitCode.REFUSED) -> None:
        super().__init__(message, hint=hint, exit_code=exit_code)
        self.code = code
