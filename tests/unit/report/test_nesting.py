"""A byte, a call and a microsecond are counted once, whatever layers a trace has of them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from datacrumbs.report import nesting
from datacrumbs.report.call_selection import CallSelection, select, select_profiles
from datacrumbs.report.nesting import outermost
from datacrumbs.report.summary import table
from datacrumbs.report.time_partitions import time_partitions
from datacrumbs.trace.reader import read_traces

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"f1": "/data/one", "f2": "/data/two", "f3": "pipe:[11]", "f4": "/dev/pts/3"}


@pytest.fixture
def rows_of(made, tmp_path: Path):
    def rows(calls: list[dict], view: str) -> list[dict]:
        traces = read_traces([made.write(tmp_path / "run.pfw.gz", calls, FILES)])
        return table(traces, select(traces, CallSelection()), select_profiles(traces, CallSelection()), view)

    return rows


def stack(made, begin: int) -> list[dict]:
    """23 bytes through four layers, each call with those inside before it, as they return."""
    inner = {"ret": 23, "bytes": 23, "fhash": "f1"}
    return [
        made.call("pwrite", "SYS", begin + 3, 2, **inner, symbol="pwrite64"),
        made.call("pwrite", "POSIX", begin + 2, 4, **inner),
        made.call("MPI_File_write_at", "MPIIO", begin + 1, 7, bytes=23, fhash="f1"),
        made.call("H5Dwrite", "HDF5", begin, 11, bytes=23, fhash="f1"),
    ]


@pytest.mark.parametrize("view", ["file", "process"])
def test_a_byte_that_passes_four_layers_is_counted_once(made, rows_of, view: str) -> None:
    (row,) = rows_of([line for turn in range(13) for line in stack(made, 1000 * (turn + 1))], view)
    assert (row["count"], row["bytes"], row["time_us"]) == (13, 13 * 23, 13 * 11)
    assert row["layers"] == ["HDF5"]


def test_calls_of_one_layer_inside_each_other(made, rows_of) -> None:
    calls = []
    for turn in range(13):
        calls += [
            made.call("fstatat", "POSIX", 1000 * turn + 1, 2, fhash="f1"),
            made.call("stat", "POSIX", 1000 * turn, 5, fhash="f1"),
        ]
    calls += [made.call("fstatat", "POSIX", 90_000 + 10 * turn, 2, fhash="f1") for turn in range(7)]
    (layer,) = rows_of(calls, "layer")
    assert (layer["count"], layer["nested"], layer["time_us"]) == (20, 13, 13 * 5 + 7 * 2)
    rows = {row["name"]: (row["count"], row["nested"]) for row in rows_of(calls, "function")}
    assert rows == {"stat": (13, 0), "fstatat": (7, 13)}


def test_calls_with_lines_are_nested_also_beside_profiles(made, rows_of) -> None:
    calls = []
    for turn in range(13):
        calls += [
            made.call("pread", "POSIX", 1000 * turn + 1, 2, fhash="f1", bytes=11),
            made.call("preadv", "POSIX", 1000 * turn, 5, fhash="f1", bytes=11),
        ]
    expected = {view: rows_of(calls, view) for view in ("layer", "function")}
    calls.append(made.profile("H5Dread", "HDF5", 50_000, 17, process=8))
    for view, rows in expected.items():
        found = [row for row in rows_of(calls, view) if row["layer"] == "POSIX"]
        assert [{key: row[key] for key in rows[0]} for row in found] == rows
    (added,) = [row for row in rows_of(calls, "layer") if row["layer"] == "HDF5"]
    assert (added["count"], added["nested"]) == (17, 0)


def test_what_a_layer_writes_when_it_closes_was_counted_before(made, rows_of) -> None:
    calls = [
        *(made.call("fwrite", "STDIO", 100 * turn, 2, bytes=100, fhash="f1") for turn in range(13)),
        made.call("write", "POSIX", 5001, 3, bytes=1300, fhash="f1"),
        made.call("fclose", "STDIO", 5000, 9, fhash="f1"),
        # Nothing says what these put into the file, so what is written then counts.
        made.call("fputs", "STDIO", 6000, 2, fhash="f2"),
        made.call("write", "POSIX", 7001, 3, bytes=17, fhash="f2"),
        made.call("fclose", "STDIO", 7000, 9, fhash="f2"),
    ]
    rows = {row["path"]: row for row in rows_of(calls, "file")}
    assert rows["/data/one"]["bytes"] == 1300
    assert rows["/data/two"]["bytes"] == 17
    assert rows["/data/two"]["layers"] == ["STDIO", "POSIX"]


def test_the_block_layer_adds_nothing_to_what_caused_it(made, rows_of) -> None:
    calls = [
        made.call("write", "POSIX", 100, 9, bytes=4096, fhash="f1"),
        made.call("block_rq_issue", "BLOCK", 105, 0, bytes=4096, ret=None),
        made.call("block_rq_issue", "BLOCK", 900, 0, bytes=4096, ret=None),
    ]
    (row,) = rows_of(calls, "process")
    assert (row["count"], row["bytes"], row["layers"]) == (1, 4096, ["POSIX"])
    (row,) = rows_of(calls[1:], "process")
    assert (row["count"], row["bytes"], row["time_us"]) == (2, 8192, None)


def test_other_threads_and_files_are_not_inside(made, rows_of) -> None:
    calls = [
        made.call("pread", "POSIX", 103, 2, bytes=11, fhash="f2"),
        made.call("pread", "POSIX", 103, 2, bytes=13, fhash="f1", thread=8),
        made.call("H5Dread", "HDF5", 100, 50, bytes=17, fhash="f1"),
    ]
    assert {row["path"]: row["bytes"] for row in rows_of(calls, "file")} == {"/data/one": 30, "/data/two": 11}
    (row,) = rows_of(calls, "process")
    assert row["bytes"] == 30


def test_waits_are_not_files(made, rows_of) -> None:
    calls = [made.call("read", "POSIX", 100 * turn, 9, fhash=file) for turn, file in enumerate(FILES)]
    assert {row["path"] for row in rows_of(calls, "file")} == {"/data/one", "/data/two"}
    assert {row["path"] for row in rows_of(calls, "channel")} == {"pipe:[11]", "/dev/pts/3"}


def test_what_has_no_duration_shows_none(made, rows_of) -> None:
    calls = [
        made.call("block_rq_issue", "BLOCK", 100, 0, ret=None),
        made.call("rewind", "STDIO", 200, 0, ret=None),
        made.call("rewind", "STDIO", 300, 3, ret=None),
        made.call("lseek", "POSIX", 400, 0),
    ]
    rows = {row["name"]: (row["time_us"], row["p50_us"], row["timed"]) for row in rows_of(calls, "function")}
    assert rows == {"block_rq_issue": (None, None, 0), "rewind": (3, 3, 2), "lseek": (0, 0, 1)}


@pytest.mark.parametrize("view", ["function", "layer", "process"])
def test_a_function_without_a_result_has_durations_also_beside_profiles(made, rows_of, view: str) -> None:
    calls = [made.call("rewind", "STDIO", 100 * turn, 0 if turn else 5, ret=None) for turn in range(11)]
    calls += [made.call("block_rq_issue", "BLOCK", 5000 + turn, 0, ret=None) for turn in range(3)]
    expected = rows_of(calls, view)
    calls.append(made.profile("H5Dread", "HDF5", 50_000, 17, process=8))
    found = [row for row in rows_of(calls, view) if row.get("layer") != "HDF5" and row.get("pid") != 8]
    assert [{key: row[key] for key in expected[0]} for row in found] == expected
    if view == "function":
        assert {row["name"]: (row["p50_us"], row["timed"]) for row in found} == {
            "rewind": (0, 11),
            "block_rq_issue": (None, 0),
        }


# ---- the rule for calls of one microsecond ----


@pytest.mark.parametrize(
    ("first", "second", "inside"),
    [
        # (category, begin, duration) in the file's order -> which are inside the other
        (("POSIX", 5, 3), ("SYS", 5, 3), "second"),
        (("SYS", 5, 3), ("POSIX", 5, 3), "first"),
        (("POSIX", 5, 3), ("POSIX", 5, 3), "second"),
        (("POSIX", 5, 3), ("POSIX", 5, 0), "second"),  # it began later, in the same microsecond
        (("POSIX", 5, 0), ("POSIX", 5, 3), ""),  # it was over when the other one began
        (("POSIX", 5, 3), ("POSIX", 8, 0), ""),  # one after the other
        (("POSIX", 5, 3), ("SYS", 8, 0), "second"),
        (("SYS", 5, 3), ("POSIX", 8, 0), ""),
        (("POSIX", 5, 0), ("POSIX", 5, 0), ""),
        (("POSIX", 5, 0), ("SYS", 5, 0), "second"),
        (("SYS", 5, 0), ("POSIX", 5, 0), "first"),
        (("SYS", 5, 3), ("POSIX", 6, 0), "second"),  # a callback: an interval is an interval
        (("POSIX", 5, 3), ("POSIX", 7, 3), ""),
    ],
)
def test_calls_that_share_a_microsecond(made, tmp_path: Path, first: tuple, second: tuple, inside: str) -> None:
    lines = [made.call(name, *each) for name, each in (("first", first), ("second", second))]
    traces = read_traces([made.write(tmp_path / "run.pfw.gz", lines)])
    marked = outermost(traces, traces.calls, "process").filter("within").collect()
    assert marked["name"].cast(pl.String).to_list() == ([inside] if inside else [])


def test_random_stacks_are_taken_apart_as_they_were_made(made, tmp_path: Path, monkeypatch) -> None:
    # Nested calls of three layers, cut to microseconds as the writer does: all but the roots are inside.
    chooser = random.Random(5)
    lines, roots = [], []
    layers = ("HDF5", "MPIIO", "POSIX")

    def nest(thread: int, begin: int, depth: int) -> int:
        end = begin + chooser.randrange(1100, 2500)
        for _ in range(chooser.randrange(3) if depth < 2 else 0):
            end = nest(thread, end, depth + 1) + chooser.randrange(400, 1700)
        name = "root" if depth == 0 else "inner"
        lines.append(made.call(name, layers[depth], begin // 1000, end // 1000 - begin // 1000, thread=thread))
        return end

    for thread in (7, 8, 9):
        now = 10**9
        for _ in range(101):
            now = nest(thread, now, 0) + chooser.randrange(1000, 5000)
            roots.append(now)
    traces = read_traces([made.write(tmp_path / "run.pfw.gz", lines)])
    whole = outermost(traces, traces.calls, "process").sort("order").collect()
    names = whole["name"].cast(pl.String).to_numpy()
    assert np.array_equal(names == "root", ~whole["within"].to_numpy())
    # The same a stretch at a time.
    monkeypatch.setattr(nesting, "WINDOW_ROWS", 37)
    assert len(list(time_partitions(traces.calls, 37))) > 4
    assert outermost(traces, traces.calls, "process").sort("order").collect().equals(whole)


def is_inside(call: dict, other: dict) -> bool:
    """Whether a call is inside another one of its thread, by the rules."""
    begin, end, rank, order = (call[key] for key in ("begin", "end", "rank", "order"))
    if end > begin:
        place, others = (begin, -end, rank, order), (other["begin"], -other["end"], other["rank"], other["order"])
        return others < place and other["end"] >= end
    is_long, higher = other["end"] > other["begin"], other["rank"] < rank
    if other["begin"] < begin < other["end"]:
        return True
    if other["end"] == begin and higher:
        return True
    before = higher or (other["rank"] == rank and other["order"] < order)
    return is_long and other["begin"] == begin and before


@pytest.mark.parametrize("spread", [3, 40, 10**9])
def test_random_calls_are_nested_by_the_rules(spread: int) -> None:
    chooser = random.Random(spread)
    for _ in range(41):
        count = chooser.randrange(1, 61)
        calls = [
            {"begin": begin, "end": begin + chooser.choice([0, 0, 1, 2, 3, spread]), "rank": chooser.randrange(3)}
            | {"order": order, "tid": chooser.randrange(2), "wanted": chooser.random() < 0.6}
            for order, begin in enumerate(chooser.randrange(spread) - spread // 2 for _ in range(count))
        ]
        chooser.shuffle(calls)
        frame = pl.DataFrame(calls).rename({"begin": "ts"}).with_columns(run=0, pid=7)
        rank, wanted = frame["rank"].cast(pl.UInt8).to_numpy(), frame["wanted"].to_numpy()
        inside, covered = nesting.inside_by_time(frame, None, rank, wanted)
        for row, call in enumerate(calls):
            others = [other for other in calls if other is not call and other["tid"] == call["tid"]]
            assert inside[row] == any(is_inside(call, other) for other in others)
            if call["wanted"]:
                assert covered[row] == any(is_inside(call, other) for other in others if other["wanted"])


def test_many_calls_in_one_microsecond_take_no_longer() -> None:
    count = 200_003
    frame = pl.DataFrame({"ts": [5] * count, "order": range(count)}).with_columns(
        end=pl.col("ts") + pl.col("order") % 3
    )
    frame = frame.with_columns(run=0, pid=7, tid=7)
    inside, _ = nesting.inside_by_time(frame, None, np.zeros(count, np.uint8), None)
    ends = frame["end"].to_numpy() - 5
    order = np.arange(count)
    # All but the first of the longest, and those of no duration that come before every longer one.
    assert np.array_equal(inside, np.where(ends > 0, order != 2, order > 1))


@pytest.mark.parametrize("view", ["function", "file", "process", "layer"])
@pytest.mark.parametrize("turns", [(101,), (2, 101, 2, 3, 0, 2, 53)], ids=["one run", "several runs"])
def test_calls_that_are_kept_in_files(made, tmp_path: Path, view: str, turns: tuple[int, ...], monkeypatch) -> None:
    paths = []
    for number, count in enumerate(turns):
        calls = [line for turn in range(count) for line in stack(made, 100 * turn)]
        paths.append(made.write(tmp_path / f"{number}.pfw.gz", calls, FILES, run_id=f"run {number}"))
    whole = read_traces(paths)
    monkeypatch.setattr(nesting, "WINDOW_ROWS", 37)
    parts = read_traces(paths, memory=1)
    assert parts.spill
    found, wanted = (table(each, each.calls, each.profiles, view) for each in (parts, whole))
    assert found == wanted


@pytest.mark.parametrize("deep", [False, True])
def test_one_look_is_enough_for_all_tables(made, tmp_path: Path, deep: bool) -> None:
    """Also where the calls on files all serve others, and those on channels do not."""
    chooser = random.Random(7)
    calls = []
    for turn in range(211):
        file, begin = chooser.choice(list(FILES)), 10 * turn + chooser.randrange(3)
        layers = ("POSIX", "SYS") if file in {"f3", "f4"} else ("VFS", "EXT4")
        for depth, layer in enumerate(layers):
            more = {"depth": depth} if deep and depth else {}
            line = made.call("read", layer, begin + depth, 9 - 2 * depth, bytes=turn, fhash=file, **more)
            calls.insert(chooser.randrange(len(calls) + 1), line)
    traces = read_traces([made.write(tmp_path / "run.pfw.gz", calls, FILES)])
    look = nesting.Nesting(traces, traces.calls, nesting.SCOPES)
    for view in ("function", "file", "channel", "process", "layer"):
        rows = table(traces, traces.calls, traces.profiles, view)
        assert rows
        assert table(traces, traces.calls, traces.profiles, view, nesting=look) == rows
