"""Rows in the order of any column, and in the order in which people read them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from datacrumbs.commands.report import COMMAND
from datacrumbs.errors import DatacrumbsError
from datacrumbs.report.sorting import by_layer, column_of, in_order

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [{"path": "/b", "bytes": 7}, {"path": "/a", "bytes": None}, {"path": "/c", "bytes": 11}]


def test_numbers_from_the_largest_and_texts_from_a() -> None:
    assert [row["path"] for row in in_order(ROWS, "bytes", reverse=False)] == ["/c", "/b", "/a"]
    assert [row["path"] for row in in_order(ROWS, "bytes", reverse=True)] == ["/b", "/c", "/a"]
    assert [row["path"] for row in in_order(ROWS, "path", reverse=False)] == ["/a", "/b", "/c"]
    assert [row["path"] for row in in_order(ROWS, "path", reverse=True)] == ["/c", "/b", "/a"]


def test_a_column_has_its_key_and_its_heading() -> None:
    assert column_of("bytes", ROWS) == "bytes"
    assert column_of("file", ROWS) == "path"
    assert column_of("bytes/call", [{"mean_bytes": 7}]) == "mean_bytes"
    assert column_of("count", ROWS) is None
    assert column_of("count", []) is None


def test_functions_in_the_order_of_the_stack() -> None:
    rows = [
        {"layer": layer, "name": name, "time_us": time}
        for layer, name, time in (("system calls", "read", 9), ("HDF5", "H5Dread", 1), ("system calls", "write", 10))
    ]
    assert [row["name"] for row in by_layer(rows)] == ["H5Dread", "write", "read"]


def test_what_is_shown_in_nanoseconds_is_in_their_order() -> None:
    rows = [
        {"layer": "POSIX", "name": name, "time_us": microseconds, "time_ns": nanoseconds}
        for name, microseconds, nanoseconds in (("access", 2, 1900), ("chdir", 1, None), ("pread", 1, 2790))
    ]
    assert [row["name"] for row in by_layer(rows)] == ["pread", "access", "chdir"]
    assert [row["name"] for row in in_order(rows, "time_us", reverse=False)] == ["pread", "access", "chdir"]
    assert [row["name"] for row in in_order(rows, "time_us", reverse=True)] == ["chdir", "access", "pread"]


@pytest.fixture
def trace(made, tmp_path: Path) -> Path:
    calls = [
        *(made.call("write", "SYS", 100 + 20 * n, 3, bytes=10, fhash="a") for n in range(11)),
        *(made.call("pread", "POSIX", 1000 + 2000 * n, 1000, bytes=1, fhash="b") for n in range(2)),
        made.call("fsync", "SYS", 9000, 500, fhash="c"),
    ]
    return made.write(tmp_path / "run.pfw.gz", calls, {"a": "/a", "b": "/b", "c": "/c"})


def test_each_table_that_has_the_column_is_sorted(trace: Path, capsys) -> None:
    def names(*arguments: str) -> tuple[list[str], list[str]]:
        assert COMMAND.run([str(trace), "--json", *arguments]) == 0
        data = json.loads(capsys.readouterr().out)
        return [row["name"] for row in data["functions"]], [row["path"] for row in data["files"]]

    assert names("--sort", "calls") == (["write", "pread", "fsync"], ["/a", "/b", "/c"])
    assert names("--sort", "count", "--reverse") == (["fsync", "pread", "write"], ["/c", "/b", "/a"])
    # Only files have it; the rows that are cut are the last ones of that order.
    assert names("--sort", "file", "--reverse", "--limit", "1")[1] == ["/c"]
    assert COMMAND.run([str(trace), "--sort", "bytes"]) == 0
    assert capsys.readouterr().out.count("system calls") >= 2


def test_a_column_that_no_table_has(trace: Path) -> None:
    with pytest.raises(
        DatacrumbsError, match=r"--sort speed: no such column; expected one of functions: lay.*; of fil"
    ):
        COMMAND.run([str(trace), "--sort", "speed"])


@pytest.mark.parametrize("column", ["self", "wall_us", "share"])
def test_a_column_that_only_wide_tables_have(trace: Path, column: str) -> None:
    with pytest.raises(DatacrumbsError, match=f"--sort {column}: only --wide has this column"):
        COMMAND.run([str(trace), "--sort", column])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--reverse",), "--reverse needs --sort COLUMN"),
        (("--sort", "time", "--html", "x"), "--html and --sort exclude each other"),
        (("--wide", "--export", "x.csv"), "--export and --wide exclude each other"),
        (("--by", "file", "--explain", "read"), "--explain and --by exclude each other"),
    ],
)
def test_what_is_for_tables_alone(trace: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(DatacrumbsError, match=message):
        COMMAND.run([str(trace), *arguments])


def test_a_wide_table_has_all_columns(trace: Path, capsys) -> None:
    assert COMMAND.run([str(trace), "--wide", "--by", "file"]) == 0
    heading = capsys.readouterr().out.splitlines()[1]
    assert all(
        word in heading for word in ("opens", "bytes/call", "p90", "max", "first call", "last call", "wall", "share")
    )
