"""What root creates where others may write."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING

import pytest

from datacrumbs.daemon.files import RunFiles, create_trace
from datacrumbs.daemon.identity import Owner
from datacrumbs.errors import DatacrumbsError, ExitCode

if TYPE_CHECKING:
    from pathlib import Path

_ME = Owner(os.getuid(), os.getgid(), "me")


def test_trace_is_private_and_new(tmp_path: Path) -> None:
    with create_trace(tmp_path, ("me", "day", "a.pfw.gz"), _ME) as stream:
        stream.write(b"x")
    path = tmp_path / "me/day/a.pfw.gz"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with pytest.raises(DatacrumbsError, match="never overwritten"):
        create_trace(tmp_path, ("me", "day", "a.pfw.gz"), _ME)
    assert path.read_bytes() == b"x"


def test_link_for_the_trace_directory(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(DatacrumbsError, match="symbolic link") as caught:
        create_trace(tmp_path / "link", ("a.pfw.gz",), _ME)
    assert caught.value.exit_code is ExitCode.REFUSED


def test_link_on_the_way(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "me").symlink_to("elsewhere")
    with pytest.raises(DatacrumbsError, match="is a link") as caught:
        create_trace(tmp_path, ("me", "a.pfw.gz"), _ME)
    assert caught.value.exit_code is ExitCode.REFUSED
    assert not list((tmp_path / "elsewhere").iterdir())


def test_link_for_the_trace(tmp_path: Path) -> None:
    (tmp_path / "a.pfw.gz").symlink_to("/etc/passwd")
    with pytest.raises(DatacrumbsError):
        create_trace(tmp_path, ("a.pfw.gz",), _ME)


def test_missing_trace_directory(tmp_path: Path) -> None:
    with pytest.raises(DatacrumbsError, match="cannot open the trace directory") as caught:
        create_trace(tmp_path / "missing", ("a.pfw.gz",), _ME)
    assert caught.value.hint


def test_one_daemon_for_a_run_id(tmp_path: Path) -> None:
    first = RunFiles(tmp_path, "7")
    with pytest.raises(DatacrumbsError, match="already running"):
        RunFiles(tmp_path, "7")
    second = RunFiles(tmp_path, "8")
    first.announce(tmp_path / "trace", _ME)
    assert json.loads(first.ready.read_text()) == {"pid": os.getpid(), "trace": str(tmp_path / "trace")}
    first.close()
    second.close()
    assert not list(tmp_path.iterdir())
    RunFiles(tmp_path, "7").close()
