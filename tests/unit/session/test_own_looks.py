"""What was found of a target file holds for one state of it, for what was asked, and where root alone writes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from datacrumbs.session import own_looks
from datacrumbs.session.own_looks import kept_looks

if TYPE_CHECKING:
    from pathlib import Path

GOOD, BAD = ("", "", ""), ("target.place", "wrong", "")
WANTED = {"path": "/x", "build_id": "00", "functions": [16], "returns": [], "moved": [], "usdt": []}


class Looks:
    """Looks at a file, and how many were needed."""

    def __init__(self, directory: Path, file: Path) -> None:
        self.directory, self.file, self.number, self.verdict = directory, file, 0, GOOD

    def look(self) -> tuple[str, str, str]:
        self.number += 1
        return self.verdict

    def ask(self, **changed: object) -> tuple[str, str, str]:
        with self.file.open("rb") as stream:
            return kept_looks(self.directory)(stream, WANTED | changed, self.look)


@pytest.fixture
def looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Looks:
    monkeypatch.setattr(own_looks, "SETTLED_SECONDS", 0)
    (tmp_path / "file").write_text("content")
    return Looks(tmp_path / "kept", tmp_path / "file")


def test_one_look_is_enough_for_one_state(looks: Looks) -> None:
    assert [looks.ask() for _ in range(3)] == [GOOD] * 3
    assert looks.number == 1


def test_other_places_are_looked_at(looks: Looks) -> None:
    for changed in ({"functions": [17]}, {"returns": [16]}, {"usdt": [(1, 2)]}, {"build_id": "01"}, {}):
        looks.ask(**changed)
    assert looks.number == 5


@pytest.mark.parametrize("what", ["written", "replaced", "mode"])
def test_a_file_that_changed_is_looked_at_again(looks: Looks, what: str) -> None:
    looks.ask()
    status = looks.file.stat()
    if what == "mode":
        looks.file.chmod(0o777)
    else:
        target = looks.file if what == "written" else looks.file.with_name("other")
        target.write_text("Content")
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
        target.replace(looks.file)
    looks.ask()
    assert looks.number == 2


def test_what_others_may_write_is_looked_at_each_time(looks: Looks) -> None:
    for uid, mode in ((65534, 0o644), (0, 0o664), (0, 0o646)):
        os.chown(looks.file, uid, 0)
        looks.file.chmod(mode)
        looks.ask()
        looks.ask()
    assert looks.number == 6


def test_what_is_wrong_is_looked_at_again(looks: Looks) -> None:
    looks.verdict = BAD
    assert [looks.ask(), looks.ask()] == [BAD, BAD]
    looks.verdict = GOOD
    assert looks.ask() == GOOD
    assert looks.number == 3


def test_what_may_change_within_a_tick_is_not_kept(looks: Looks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_looks, "SETTLED_SECONDS", 1e9)
    looks.ask()
    looks.ask()
    assert looks.number == 2
    assert not looks.directory.exists()


def test_what_others_could_have_written_is_not_taken(looks: Looks) -> None:
    looks.ask()
    (file,) = looks.directory.iterdir()
    looks.directory.chmod(0o777)
    looks.ask()
    looks.directory.chmod(0o700)
    looks.ask()
    assert looks.number == 2
    text = file.read_bytes()
    file.write_bytes(text + b" ")
    looks.ask()
    assert looks.number == 3
    if os.geteuid() == 0:
        os.chown(file, 65534, 65534)
        looks.ask()
        assert looks.number == 4


def test_other_rules_look_again(looks: Looks, monkeypatch: pytest.MonkeyPatch) -> None:
    looks.ask()
    monkeypatch.setattr(own_looks.analysis_cache, "rules", lambda: "others")
    looks.ask()
    monkeypatch.setattr(own_looks, "_own_rules", lambda: "others")
    looks.ask()
    assert looks.number == 3
