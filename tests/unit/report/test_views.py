"""What a row of a table is: calls by groups of files, by size, by time; and the columns that follow from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from datacrumbs.commands.report import COMMAND

from .printed import FILES, rows_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def trace(made, tmp_path: Path) -> Path:
    call = made.call
    calls = [
        call("openat", "SYS", 1000, 10, fhash="f1", ret=3),
        *(call("write", "SYS", 1100 + 20 * turn, 10, bytes=100, ret=100, fhash="f1") for turn in range(7)),
        *(call("write", "SYS", 2000 + 20 * turn, 10, bytes=8192, ret=8192, fhash="f2") for turn in range(5)),
        call("write", "SYS", 3000, 11, bytes=4, ret=4, fhash="f3"),
        call("openat", "SYS", 3100, 3, fhash="f4", ret=-1, errno=2),
        call("openat", "SYS", 3110, 5, fhash="f4", ret=4),
        call("read", "SYS", 25000, 500, bytes=1, fhash="f5"),
        call("read", "SYS", 25600, 7, bytes=0, fhash="f6"),
        call("poll", "SYS", 25700, 300),
    ]
    mounts = {"/": "ext4", "/data": "lustre"}
    before = [made.metadata("datacrumbs_mount", {"point": p, "local": 1, "type": k}) for p, k in mounts.items()]
    return made.write(tmp_path / "run.pfw.gz", calls, FILES, before=before)


@pytest.mark.parametrize(
    ("view", "name", "expected"),
    [
        (
            "directory",
            "directories",
            {"/data/run1": (2, 13, 41660), "/data/run2": (1, 1, 4), "/usr/lib": (1, 2, None), "/": (1, 1, 0)},
        ),
        (
            "series",
            "series",
            {"/data/run#/out.#.h5": (3, 14, 41664), "/usr/lib/libm.so.#": (1, 2, None), "/top": (1, 1, 0)},
        ),
        ("filesystem", "filesystems", {"lustre": (3, 14, 41664), "ext4": (2, 3, 0)}),
    ],
)
def test_files_in_groups(trace: Path, capsys, view: str, name: str, expected: dict) -> None:
    rows = rows_of(capsys, name, trace, "--by", view)
    assert {row[view]: (row["files"], row["count"], row["bytes"]) for row in rows} == expected


def test_a_file_system_that_the_trace_does_not_say(made, tmp_path: Path, capsys) -> None:
    trace = made.write(tmp_path / "run.pfw.gz", [made.call("write", "SYS", 1, 1, fhash="f1")], FILES)
    (row,) = rows_of(capsys, "filesystems", trace, "--by", "filesystem")
    assert (row["filesystem"], row["count"]) == ("not known", 1)


def test_a_call_on_one_file_inside_a_call_on_another_of_the_group_counts_once(made, tmp_path: Path, capsys) -> None:
    calls = [
        made.call("fopen", "STDIO", 100, 50, fhash="f1"),
        made.call("open", "POSIX", 110, 20, fhash="f2"),
    ]
    trace = made.write(tmp_path / "run.pfw.gz", calls, FILES)
    (row,) = rows_of(capsys, "directories", trace, "--by", "directory")
    assert (row["count"], row["time_us"], row["files"]) == (1, 50, 2)


def test_a_copy_within_a_directory_is_one_call(made, tmp_path: Path, capsys) -> None:
    copy = {"ret": 11, "bytes": 11, "fhash": "f1"}
    calls = [
        made.call("copy_file_range", "SYS", 100, 50, to_hash="f2", **copy),
        made.call("copy_file_range", "SYS", 200, 50, to_hash="f3", **copy),
    ]
    trace = made.write(tmp_path / "run.pfw.gz", calls, FILES)
    rows = rows_of(capsys, "directories", trace, "--by", "directory")
    assert {row["directory"]: row["count"] for row in rows} == {"/data/run1": 2, "/data/run2": 1}


def test_requests_by_size(trace: Path, capsys) -> None:
    rows = rows_of(capsys, "sizes", trace, "--by", "size")
    found = [(row["name"], row["size"], row["least_bytes"], row["count"], row["bytes"]) for row in rows]
    assert found == [
        ("read", "0 B", 0, 1, 0),
        ("read", "< 512 B", 1, 1, 1),
        ("write", "< 512 B", 1, 8, 704),
        ("write", "4 KiB +", 4096, 5, 5 * 8192),
    ]


def test_the_run_in_parts(trace: Path, capsys) -> None:
    rows = rows_of(capsys, "times", trace, "--by", "time")
    width = (25700 - 1000) // 24 + 1
    assert [row["phase"] for row in rows] == list(range(1, 25))
    assert [row["from_us"] for row in rows] == [width * number for number in range(24)]
    counts = {row["phase"]: row["count"] for row in rows if row["count"]}
    assert counts == {1: 10, 2: 4, 3: 2, 24: 3}
    assert sum(row["time_us"] or 0 for row in rows) == 10 + 70 + 50 + 11 + 8 + 807
    assert len(rows_of(capsys, "times", trace, "--by", "time", "--limit", 2)) == 2


def test_calls_that_were_added_up_are_spread_over_the_parts(made, tmp_path: Path, capsys) -> None:
    """Whole calls, none lost; what is known of one call is no estimate."""
    sums, one = made.profile("write", "SYS", 1000, 7919), made.profile("fsync", "SYS", 1000, 1)
    sums["args"] |= {"end": 25000, "errors": 11, "bytes": 7919 * 23}
    sums["args"] |= {"time_ns": 7919 * 1009, "times": "10:7919", "shortest_ns": 600, "longest_ns": 1020}
    trace = made.write(tmp_path / "run.pfw.gz", [], {}, before=[sums])
    rows = rows_of(capsys, "times", trace, "--by", "time")
    assert {row["count"] for row in rows[:23]} == {330, 331}  # of 1,001 us, and the last one of 977
    assert [sum(row[key] for row in rows) for key in ("count", "errors", "bytes")] == [7919, 11, 7919 * 23]
    assert all({"count", "errors", "bytes", "time_us", "begin_us"} <= set(row["approximate"]) for row in rows)
    assert {row["time_us"] for row in rows[:23]} == {333, 334}
    assert COMMAND.run([str(trace), "--by", "time"]) == 0
    printed = capsys.readouterr().out
    assert "taken as spread evenly" in printed
    assert printed.splitlines()[1].split()[0] == "part"
    rows = rows_of(capsys, "times", made.write(trace, [], {}, before=[one]), "--by", "time")
    assert [row["count"] for row in rows] == [1] + [0] * 23
    assert "count" not in rows[0]["approximate"]


def test_sums_of_any_moments_are_read(made, tmp_path: Path, capsys) -> None:
    """A trace may have been written by anything: an end before the beginning, the largest numbers."""
    sums, late = made.profile("write", "SYS", 2000, 7), made.profile("read", "SYS", 1000, (1 << 63) - 1)
    sums["args"]["end"], late["args"]["end"] = 1000, (1 << 63) - 1
    trace = made.write(tmp_path / "run.pfw.gz", [], {}, before=[sums, late])
    assert len(rows_of(capsys, "times", trace, "--by", "time")) == 24


def test_waits_opens_moments_and_bytes_of_a_call(trace: Path, capsys) -> None:
    (process,) = rows_of(capsys, "processes", trace, "--by", "process")
    assert (process["waits_us"], process["opens"], process["time_us"]) == (800, 3, 956)
    assert (process["begin_us"], process["end_us"]) == (0, 25000)
    files = {row["path"]: row for row in rows_of(capsys, "files", trace, "--by", "file")}
    one = files[FILES["f1"]]
    assert (one["opens"], one["mean_bytes"], one["waits_us"]) == (1, 100, 0)
    assert (one["begin_us"], one["end_us"]) == (0, 230)
    assert files[FILES["f4"]]["mean_bytes"] is None
    assert COMMAND.run([str(trace), "--by", "function"]) == 0
    # Where nothing was waiting, nothing is shown.
    (written,) = [line for line in capsys.readouterr().out.splitlines() if "write" in line]
    assert "<1 us" not in written
    functions = {row["name"]: row for row in rows_of(capsys, "functions", trace, "--by", "function")}
    assert (functions["read"]["waits_us"], functions["poll"]["waits_us"]) == (500, 300)
    assert functions["write"]["mean_bytes"] == round(functions["write"]["bytes"] / 13)


# ---- added up and sampled ----


def test_groups_where_calls_were_added_up(made, tmp_path: Path, capsys) -> None:
    def added(fhash: str, begin: int) -> dict[str, Any]:
        line = made.profile("write", "SYS", begin, 11)
        line["args"] |= {"fhash": fhash, "bytes": 110, "sizes": "4:11", "time_ns": 5000, "times": "9:11"}
        line["args"] |= {"shortest_ns": 400, "longest_ns": 500}
        return line

    after = [added("f1", 1000), added("f2", 2000), added("f5", 3000)]
    trace = made.write(tmp_path / "run.pfw.gz", [], FILES, after=after)
    (row,) = rows_of(capsys, "directories", trace, "--by", "directory")
    assert (row["directory"], row["files"], row["count"], row["bytes"]) == ("/data/run1", 2, 22, 220)
    assert (row["mean_bytes"], row["begin_us"], row["end_us"]) == (10, 0, 1011)
    (row,) = rows_of(capsys, "processes", trace, "--by", "process")
    assert (row["count"], row["waits_us"], row["time_us"]) == (33, 5, 15)
    (row,) = rows_of(capsys, "sizes", trace, "--by", "size")
    assert (row["size"], row["count"]) == (None, 33)
    rows = rows_of(capsys, "times", trace, "--by", "time")
    assert sum(row["count"] for row in rows) == 33
