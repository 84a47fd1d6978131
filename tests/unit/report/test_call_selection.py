"""Which calls a report is about: those on some files, and not on others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from datacrumbs.commands.report import COMMAND
from datacrumbs.errors import DatacrumbsError

from .printed import FILES, rows_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def trace(made, tmp_path: Path) -> Path:
    calls = [made.call("write", "SYS", 1000 + 20 * turn, 10, fhash=f"f{turn + 1}") for turn in range(4)]
    calls += [made.call("read", "SYS", 2000, 5, fhash="f5"), made.call("poll", "SYS", 3000, 5)]
    return made.write(tmp_path / "run.pfw.gz", calls, FILES)


def test_files_are_left_out(trace: Path, capsys) -> None:
    paths = {row["path"] for row in rows_of(capsys, "files", trace, "--by", "file", "--not-path", "@loader")}
    assert paths == {FILES["f1"], FILES["f2"], FILES["f3"]}
    rows = rows_of(capsys, "functions", trace, "--by", "function", "--not-path", "@loader", "--not-path", "/data/*")
    # What is on no file stays.
    assert {row["name"]: row["count"] for row in rows} == {"read": 1, "poll": 1}
    with_both = rows_of(capsys, "files", trace, "--by", "file", "--path", "/data/*", "--not-path", "*/run2/*")
    assert {row["path"] for row in with_both} == {FILES["f1"], FILES["f2"]}


def test_an_unknown_group_of_files(trace: Path) -> None:
    with pytest.raises(DatacrumbsError, match="'@nothing' is no group of files; expected @loader, @python, @system or"):
        COMMAND.run([str(trace), "--not-path", "@nothing"])


def test_a_copy_is_left_out_where_neither_file_is_to_be_seen(made, tmp_path: Path, capsys) -> None:
    copy = {"ret": 11, "bytes": 11}
    calls = [
        made.call("copy_file_range", "SYS", 100, 50, fhash="f4", to_hash="f1", **copy),
        made.call("copy_file_range", "SYS", 200, 50, fhash="f4", to_hash="f4", **copy),
    ]
    trace = made.write(tmp_path / "run.pfw.gz", calls, FILES)
    rows = rows_of(capsys, "files", trace, "--by", "file", "--not-path", "@loader")
    assert [(row["path"], row["count"]) for row in rows] == [(FILES["f1"], 1)]
