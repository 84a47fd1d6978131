"""What a process of the user's answers, and what it fails with."""

from __future__ import annotations

import os
from contextlib import closing
from typing import Any

import pytest

from datacrumbs.errors import DatacrumbsError, ExitCode, refusal
from datacrumbs.session.invoker import invoker
from datacrumbs.session.programs import NOT_FOUND, CommandError, executable
from datacrumbs.session.worker import Worker


def answer_of(work: Any) -> Any:
    with closing(Worker(invoker({**os.environ, "OWN": "1"}), work)) as worker:
        while not worker.has_ended():
            pass
        return worker.result()


def test_an_answer_comes_from_another_process_in_the_users_environment() -> None:
    pid, variable = answer_of(lambda: [os.getpid(), os.environ["OWN"]])
    assert pid != os.getpid()
    assert variable == "1"


def test_the_systems_errors_come_in_its_words() -> None:
    with pytest.raises(DatacrumbsError) as caught:
        answer_of(lambda: os.stat("/no/such"))  # noqa: PTH116
    assert caught.value.message == "/no/such: No such file or directory"


def test_a_command_that_is_not_there_has_its_exit_status() -> None:
    with pytest.raises(CommandError) as caught:
        answer_of(lambda: executable("no-such-command", os.environ))
    assert (caught.value.message, caught.value.status) == ("command not found", NOT_FOUND)


def test_a_failure_keeps_its_hint_and_exit_code() -> None:
    def refuse() -> None:
        raise refusal("no", "ask")

    with pytest.raises(DatacrumbsError) as caught:
        answer_of(refuse)
    assert (caught.value.message, caught.value.hint, caught.value.exit_code) == ("no", "ask", ExitCode.REFUSED)


def test_a_process_that_ends_without_an_answer_is_a_failure() -> None:
    with pytest.raises(DatacrumbsError, match="ended before its work was done"):
        answer_of(lambda: os._exit(0))
