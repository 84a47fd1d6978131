"""How much a user's files take where traces are kept, and what is never asked for it."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from datacrumbs.runs import disk_space
from datacrumbs.runs.disk_space import free_bytes, taken_by
from datacrumbs.serving.caller import Caller
from datacrumbs.serving.denial import DenialError
from datacrumbs.system import SystemConfiguration

from ..probefile.served import served_file  # noqa: TID252 - a file system of the tests

ALICE = Caller(os.getuid(), os.getgid(), 0, "alice", frozenset(), ())
SIZES = (40_961, 8193)


@pytest.fixture
def configuration(tmp_path):
    directory = tmp_path / "alice" / "2026-01-01"
    directory.mkdir(parents=True)
    for number, size in enumerate(SIZES):
        (directory / f"{number}.pfw.gz").write_bytes(os.urandom(size))
    return SystemConfiguration(tmp_path)


def taken(directory: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*.gz"))


def test_the_files_of_a_user_are_added_up(configuration, tmp_path):
    assert taken_by(configuration, ALICE) == taken(tmp_path) >= sum(SIZES)
    assert taken_by(configuration, replace(ALICE, user="bob")) == 0
    assert taken_by(configuration, replace(ALICE, uid=12345)) == 0
    assert free_bytes(configuration) > 0


def test_where_directories_are_not_by_user_only_the_users_files_count(configuration, tmp_path):
    everywhere = replace(configuration, trace_pattern="{run_id}.pfw.gz")
    assert taken_by(everywhere, replace(ALICE, user="bob")) == taken(tmp_path)
    assert taken_by(everywhere, replace(ALICE, uid=12345)) == 0


def test_the_directory_has_the_users_name_as_paths_have_it(configuration, tmp_path):
    (tmp_path / "alice").rename(tmp_path / "REALM_alice_x")
    assert taken_by(configuration, replace(ALICE, user="REALM\\alice@x")) == taken(tmp_path) > 0


def test_a_link_leads_nowhere(configuration, tmp_path):
    before = taken_by(configuration, ALICE)
    (tmp_path / "alice" / "link").symlink_to("/usr")
    (tmp_path / "bob").symlink_to("alice")
    assert before <= taken_by(configuration, ALICE) < before + (1 << 20)
    assert taken_by(configuration, replace(ALICE, user="bob")) == 0


def test_there_are_not_too_many_to_look_at(configuration, monkeypatch):
    monkeypatch.setattr(disk_space, "ENTRIES_MOST", 2)
    with pytest.raises(DenialError, match="more than 2 files"):
        taken_by(configuration, ALICE)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_the_files_of_others_are_not_counted(configuration, tmp_path, monkeypatch):
    """One user's many would refuse everybody's runs."""
    monkeypatch.setattr(disk_space, "ENTRIES_MOST", 4)
    everywhere, before = replace(configuration, trace_pattern="{run_id}.pfw.gz"), taken(tmp_path)
    others = tmp_path / "others"
    others.mkdir()
    for number in range(7):
        for directory in (tmp_path, others):
            path = directory / f"{number}.pfw.gz"
            path.write_bytes(b"x")
            os.chown(path, 12345, 12345)
    os.chown(others, 12345, 12345)
    os.link(tmp_path / "alice" / "2026-01-01" / "0.pfw.gz", others / "own.pfw.gz")  # no other user can do that
    assert taken_by(everywhere, ALICE) == before


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/fuse").exists(), reason="mounts")
def test_a_file_system_of_the_users_is_not_asked(configuration, tmp_path):
    """It could keep its answer back for ever."""
    before, asked = taken(tmp_path), []
    mounted = tmp_path / "alice" / "mounted"
    mounted.mkdir()
    with served_file(mounted, b"x" * 100_003, 1000, may_read=threading.Event(), asked=asked):
        asked.clear()
        assert taken_by(configuration, ALICE) == before
        assert asked == []
