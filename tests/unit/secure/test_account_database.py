"""Whether an id is somebody's, where the account database may not answer."""

from __future__ import annotations

import grp
import os
import pwd
import signal
from types import SimpleNamespace

import pytest

from datacrumbs.secure import account_database, killed, user_rights
from datacrumbs.secure.account_database import has_name
from datacrumbs.secure.user_rights import LOOKING_ID, NOBODY, is_unused, looking_id

DAEMON = 1  # an account and a group everywhere
CHILDREN = f"/proc/self/task/{os.getpid()}/children"


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine an answer, or the end of a child, may take long."""
    monkeypatch.setattr(account_database, "ANSWER_SECONDS", 300)
    monkeypatch.setattr(killed, "END_SECONDS", 300)


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that does not answer."""

    def wait(_: int) -> None:
        while True:
            signal.pause()

    monkeypatch.setattr(pwd, "getpwuid", wait)
    monkeypatch.setattr(account_database, "ANSWER_SECONDS", 0.1)


def children() -> list[str]:
    with open(CHILDREN) as stream:
        return stream.read().split()


def test_what_the_database_says() -> None:
    before = children()
    assert has_name(DAEMON) is True
    assert has_name(LOOKING_ID) is False
    assert children() == before


def test_an_id_of_a_group_alone_is_somebodys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grp, "getgrgid", lambda gid: SimpleNamespace(gr_gid=gid))
    assert has_name(LOOKING_ID) is True


@pytest.mark.usefixtures("silent")
def test_no_answer_is_waited_for_without_end() -> None:
    """It was, at the start of services, of runs and of commands that look at files."""
    before = children()
    assert has_name(LOOKING_ID) is None
    assert not is_unused(LOOKING_ID)
    assert children() == before
    looking_id.cache_clear()
    assert looking_id() == NOBODY
    looking_id.cache_clear()


def test_a_question_that_fails_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pwd, "getpwuid", lambda _: 1 / 0)
    assert has_name(LOOKING_ID) is None


def test_ids_of_subuid_need_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_rights, "subordinate_ranges", lambda: iter([(LOOKING_ID, LOOKING_ID + 1, "ann")]))
    monkeypatch.setattr(user_rights, "has_name", lambda _: 1 / 0)
    assert not is_unused(LOOKING_ID)
