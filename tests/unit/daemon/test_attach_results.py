"""Which failures to attach are remembered."""

from __future__ import annotations

import errno
import os
import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from datacrumbs.daemon.attach_results import AttachResults, unattached
from datacrumbs.engine import links
from datacrumbs.engine.attach import Attached, AttachFailure, Programs, attach_group, prepare_group
from datacrumbs.engine.methods import AttachMethod
from datacrumbs.model.plan import Attach, Filters, Function, Group, Plan, Target

if TYPE_CHECKING:
    from pathlib import Path

GROUPS = {
    Attach.TRACEPOINT: Group(
        "block", "block", Attach.TRACEPOINT, Target("", "6.1.0"), (Function("issue", "block:issue", "BLOCK"),)
    ),
    Attach.UPROBE: Group(
        "posix", "libc", Attach.UPROBE, Target("/lib/x.so", "ab"), (Function("read", "read", "POSIX", offset=64),)
    ),
    Attach.USDT: Group(
        "python", "usdt", Attach.USDT, Target("/lib/x.so", "ab"), (Function("gc", "python:gc", "PYTHON", offset=64),)
    ),
}


def remembered(path: Path, way: Attach, number: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a function whose attaching failed like that is left out by the next run."""

    def fail(*_: object, **__: object) -> links.Link:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(links, "attach_tracepoint", fail)
    monkeypatch.setattr(links, "attach_uprobe_multi", fail)
    monkeypatch.setattr(links, "attach_uprobe", fail)
    group, attached = GROUPS[way], Attached()
    plan = Plan((), (group,), (), Filters())
    attach_group(prepare_group(group, "/lib/x.so", 0, (), {}), Programs(lambda _: -1, AttachMethod.MULTI), attached)
    (failure,) = attached.failures
    said = "the kernel does not probe the instruction there" if number == 524 else os.strerror(number)
    assert failure.reason.startswith(said)
    results = AttachResults(path)
    results.record(plan, {}, attached.failures)
    return results.known_failures(plan, {}) == {0: failure.reason}


@pytest.mark.parametrize("way", GROUPS)
@pytest.mark.parametrize(
    "number", [errno.EINTR, errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.EIO, errno.EPERM, errno.EBUSY]
)
def test_a_failure_of_the_moment_is_tried_again(
    tmp_path: Path, way: Attach, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not remembered(tmp_path / "attach.sqlite", way, number, monkeypatch)


@pytest.mark.parametrize("way", [Attach.TRACEPOINT, Attach.UPROBE])
@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP, 524])
def test_a_failure_that_lasts_is_not(tmp_path: Path, way: Attach, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert remembered(tmp_path / "attach.sqlite", way, number, monkeypatch)


@pytest.mark.parametrize(("number", "kept"), [(errno.EINVAL, False), (errno.EOPNOTSUPP, True)])
def test_a_semaphore_of_another_run_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, *, kept: bool
) -> None:
    """While a run probes the same place with another semaphore, the kernel takes the place for a wrong one."""
    assert remembered(tmp_path / "attach.sqlite", Attach.USDT, number, monkeypatch) is kept


def test_what_was_remembered_before_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "attach.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE attach_failures (owner INTEGER)")
    database.close()
    assert AttachResults(path).known_failures(Plan((), (GROUPS[Attach.UPROBE],), (), Filters()), {}) == {}


def test_a_probe_that_is_not_moved_is_tried_where_the_moved_one_failed(tmp_path: Path) -> None:
    plain = Plan((), (GROUPS[Attach.UPROBE],), (), Filters())
    group = GROUPS[Attach.UPROBE]
    moved = replace(plain, groups=(replace(group, functions=(replace(group.functions[0], skip=4),)),))
    results = AttachResults(tmp_path / "attach.sqlite")
    results.record(moved, {}, [AttachFailure(0, "read", "Operation not supported", errno.EOPNOTSUPP)])
    assert results.known_failures(plain, {}) == {}
    assert set(results.known_failures(moved, {})) == {0}
    assert [each.offset for each in unattached(moved, {0: "Operation not supported"})] == [68]


def test_failures_in_files_of_one_user_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datacrumbs.daemon.attach_results.KEPT_OF_AN_OWNER", 7)
    results = AttachResults(tmp_path / "attach.sqlite")
    failure = AttachFailure(0, "read", "Operation not supported", errno.EOPNOTSUPP)
    plans = []
    for number in range(11):
        target = Target("/lib/x.so", f"{number:02x}")
        functions = (Function("read", "read", "POSIX", offset=64),)
        plans.append((Plan((), (Group("posix", "libc", Attach.UPROBE, target, functions),), (), Filters()), target))
    other, target = plans.pop()
    results.record(other, {target: 1001}, [failure])
    for plan, target in plans:
        results.record(plan, {target: 1000}, [failure])
    known = [bool(results.known_failures(plan, {target: 1000})) for plan, target in plans]
    assert known == [False] * 3 + [True] * 7
    assert results.known_failures(other, {other.groups[0].target: 1001}) == {0: failure.reason}
