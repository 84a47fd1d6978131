"""As whom files that users made are looked at."""

from __future__ import annotations

import os
import pwd
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from datacrumbs.secure import user_rights
from datacrumbs.secure.user_rights import LOOKING_ID, NOBODY, give_up_root, is_unused, looking_id
from datacrumbs.serving.limited import Bounds, answer

if TYPE_CHECKING:
    from pathlib import Path

BOUNDS = Bounds(memory=64 << 20, processor_seconds=10, clock_seconds=60)


@pytest.fixture(autouse=True)
def subordinates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Whose ids are which."""
    path = tmp_path / "subuid"
    path.write_text("ann:100000:65536\n")
    monkeypatch.setattr(user_rights, "SUBORDINATE_IDS", path)
    looking_id.cache_clear()
    return path


def looks_as() -> bytes:
    give_up_root()
    return repr([*os.getresuid(), *os.getresgid(), *os.getgroups()]).encode()


def test_an_id_that_nobody_has_is_unused() -> None:
    assert is_unused(LOOKING_ID)
    assert not is_unused(0)
    assert not is_unused(100000)
    assert not is_unused(165535)
    assert is_unused(165536)


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
@pytest.mark.parametrize("whose", ["range", "overlapping", "account"])
def test_who_has_the_id_of_processes_that_look_cannot_stop_them(
    subordinates: Path, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    """One user's subordinate ids, or an account, may include it: then those that look are nobody's."""
    assert answer(looks_as, BOUNDS, 1000) == repr([LOOKING_ID] * 6).encode()
    looking_id.cache_clear()
    if whose == "account":
        monkeypatch.setattr(pwd, "getpwuid", lambda uid: SimpleNamespace(pw_uid=uid))
    else:
        more = f"bob:{LOOKING_ID - 1}:1\n" if whose == "overlapping" else ""
        subordinates.write_text(f"ann:65000:1000\n{more}")
    assert answer(looks_as, BOUNDS, 1000) == repr([NOBODY] * 6).encode()


def test_the_account_database_is_asked_once_and_not_by_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be a slow server."""
    asked: list[int] = []
    monkeypatch.setattr(user_rights, "is_unused", lambda uid: not asked.append(uid))
    for _ in range(2):
        assert answer(lambda: repr(asked).encode(), BOUNDS, 1000) == b"[65522]"
    assert asked == [LOOKING_ID]
