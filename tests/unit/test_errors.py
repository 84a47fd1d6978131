"""What becomes of an error on its way to the user."""

from __future__ import annotations

import errno
import json
import os

import pytest

from datacrumbs.errors import DatacrumbsError, ExitCode, refusal, reworded, unforeseen, usage_error


def test_an_error_crosses_a_process_unchanged() -> None:
    error = refusal("no", "ask")
    made = DatacrumbsError.of_parts(*json.loads(json.dumps(error.parts())))
    assert (made.message, made.hint, made.exit_code) == ("no", "ask", ExitCode.REFUSED)


def test_a_hint_has_a_line_of_its_own() -> None:
    assert DatacrumbsError("no").text == "no"
    assert DatacrumbsError("no", hint="ask").text == "no\nhint: ask"


def test_a_caller_adds_what_it_knows() -> None:
    with pytest.raises(DatacrumbsError) as caught, reworded("a.txt: ", hint="look", exit_code=ExitCode.REFUSED):
        raise usage_error("no")
    assert (caught.value.message, caught.value.hint, caught.value.exit_code) == ("a.txt: no", "look", ExitCode.REFUSED)


def test_an_errors_own_hint_and_code_stay() -> None:
    with pytest.raises(DatacrumbsError) as caught, reworded(hint="look"):
        raise usage_error("no", "ask")
    assert (caught.value.message, caught.value.hint, caught.value.exit_code) == ("no", "ask", ExitCode.USAGE)


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE), "/a"), "/a: Too many open files", "ulimit -n"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "No space left on device", ""),
        (OSError("no answer"), "no answer", ""),
        (ValueError("no"), "ValueError: no", ""),
    ],
)
def test_what_no_caller_foresaw_is_said_in_words(error: Exception, message: str, hint: str) -> None:
    told = unforeseen(error)
    assert (told.message, hint in told.hint, bool(told.hint)) == (message, True, bool(hint))
    assert told.exit_code == ExitCode.FAILED
