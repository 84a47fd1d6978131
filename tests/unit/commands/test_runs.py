"""What a user has, as a table."""

from __future__ import annotations

import argparse
import gzip
import os
import re
from typing import TYPE_CHECKING

from datacrumbs.commands import _runs
from datacrumbs.commands._runs import show_runs
from datacrumbs.runs.own_traces import INCOMPLETE, OwnTrace

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_table_has_headings_and_units(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    recorded = "datacrumbs-dd-20260101T000000"
    for name, size, moment in ((recorded, 1 << 20, 7), ("a\x1b[31m b", 7, 86400)):
        trace = tmp_path / f"{name}.pfw.gz"
        trace.write_bytes(gzip.compress(b"[\n"))
        os.truncate(trace, size)
        os.utime(trace, (moment, moment))
    show_runs(argparse.Namespace(prefix=tmp_path, json=False))
    heads, *rows = (re.split(" {2,}", line) for line in capsys.readouterr().out.splitlines())
    assert heads == ["when", "size", "state", "run", "command", "trace"]
    assert [row[1:] for row in rows] == [
        ["7 B", "not complete", r"a\x1b[31m b", rf"{tmp_path}/a\x1b[31m b.pfw.gz"],
        ["1.0 MiB", "not complete", recorded, "dd", f"{tmp_path}/{recorded}.pfw.gz"],
    ]


def test_a_time_of_no_year_hinders_no_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On some file systems (tmpfs) a file's owner can set such times."""
    whens = (1 << 60, 0, -(1 << 60))
    found = [OwnTrace(when, str(when), "", 7, INCOMPLETE, "/t") for when in whens]
    monkeypatch.setattr(_runs, "own_traces", lambda *_: found)
    show_runs(argparse.Namespace(prefix=tmp_path, json=False))
    _, *rows = capsys.readouterr().out.splitlines()
    assert [row.startswith("?") for row in rows] == [True, False, True]
    assert "1970" in rows[1] or "1969" in rows[1]
