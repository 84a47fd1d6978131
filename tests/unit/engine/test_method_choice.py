"""Which way to attach is taken on which kernel; the kernel's answers are made up here."""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING

import pytest

from datacrumbs.engine import method_choice
from datacrumbs.engine.method_choice import EarlyLinks, check_cookies, choose, links_work
from datacrumbs.engine.methods import AttachMethod
from datacrumbs.errors import DatacrumbsError

if TYPE_CHECKING:
    from collections.abc import Callable

BOUND = 300


class FakeLink:
    def __init__(self) -> None:
        self.closed = threading.Event()

    def close(self) -> None:
        self.closed.set()


def failing(number: int) -> Callable[..., object]:
    def fail(*_: object, **__: object) -> object:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.fixture
def loading(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that loads every program."""
    monkeypatch.setattr(method_choice, "load_program", lambda *_: os.open("/dev/null", os.O_RDONLY))


def kernel_with(monkeypatch: pytest.MonkeyPatch, *, session: bool, multi: bool) -> None:
    monkeypatch.setattr(method_choice, "links_work", lambda **asked: session if asked["session"] else multi)


@pytest.mark.parametrize(
    ("session", "multi", "expected"),
    [
        (True, True, AttachMethod.SESSION),
        (False, True, AttachMethod.MULTI),
        (False, False, AttachMethod.PERF),
    ],
)
def test_the_fastest_way_that_works_is_taken(
    monkeypatch: pytest.MonkeyPatch, *, session: bool, multi: bool, expected: AttachMethod
) -> None:
    kernel_with(monkeypatch, session=session, multi=multi)
    assert choose(AttachMethod.AUTO) is expected


@pytest.mark.parametrize(("method", "since"), [(AttachMethod.SESSION, "6.13"), (AttachMethod.MULTI, "6.6")])
def test_a_way_that_the_kernel_lacks_is_refused_when_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, method: AttachMethod, since: str
) -> None:
    kernel_with(monkeypatch, session=False, multi=False)
    with pytest.raises(DatacrumbsError, match=f"this kernel has no uprobe {method} links") as caught:
        choose(method)
    assert since in caught.value.hint
    assert choose(AttachMethod.PERF) is AttachMethod.PERF


@pytest.mark.usefixtures("loading")
@pytest.mark.parametrize("session", [True, False])
def test_links_work_where_one_was_made(monkeypatch: pytest.MonkeyPatch, *, session: bool) -> None:
    made = FakeLink()
    refused = failing(errno.EINVAL)
    monkeypatch.setattr(method_choice.links, "attach_uprobe_session", lambda *_: made if session else refused())
    monkeypatch.setattr(method_choice.links, "attach_uprobe_multi", lambda *_, **__: refused() if session else made)
    assert links_work(session=session)
    assert made.closed.wait(BOUND)
    assert not links_work(session=not session)


@pytest.mark.usefixtures("loading")
@pytest.mark.parametrize(
    ("number", "works"),
    [
        (errno.EINVAL, False),
        (errno.EOPNOTSUPP, False),
        (errno.ENOSYS, False),
        (errno.ENOMEM, True),
        (errno.EPERM, True),
    ],
)
def test_only_errors_about_the_way_itself_rule_it_out(
    monkeypatch: pytest.MonkeyPatch, number: int, *, works: bool
) -> None:
    monkeypatch.setattr(method_choice.links, "attach_uprobe_multi", failing(number))
    assert links_work(session=False) is works


def test_a_kernel_without_cookies_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(method_choice, "load_program", failing(errno.EINVAL))
    with pytest.raises(DatacrumbsError, match="no attach cookies"):
        check_cookies()
    monkeypatch.setattr(method_choice, "load_program", failing(errno.EPERM))  # said where the real programs are loaded
    check_cookies()


@pytest.mark.usefixtures("loading")
def test_early_links_end_all(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[FakeLink] = []
    several = threading.Event()

    def attach(*_: object, **__: object) -> FakeLink:
        made.append(FakeLink())
        if len(made) == 3:
            several.set()
        return made[-1]

    monkeypatch.setattr(method_choice.links, "attach_uprobe_multi", attach)
    monkeypatch.setattr(method_choice.links, "close_links", lambda some: [link.close() for link in some])
    early = EarlyLinks()
    assert several.wait(BOUND)
    early.stop()
    count = len(made)
    assert not any(link.closed.is_set() for link in made)
    early.close()
    assert all(link.closed.wait(BOUND) for link in made)
    assert len(made) == count


def test_early_links_do_without_where_the_kernel_makes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(method_choice, "load_program", failing(errno.EPERM))
    early = EarlyLinks()
    early.stop()
    early.close()
