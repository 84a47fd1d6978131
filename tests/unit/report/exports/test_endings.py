"""Calls are written in the form that a name ends in, whole or not at all."""

from __future__ import annotations

import csv
import gzip
import json
import os
from typing import TYPE_CHECKING

import polars as pl
import pytest

from datacrumbs.commands.report import COMMAND
from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.report.exports.endings import FORMS, ending, export
from datacrumbs.report.exports.rows import ARGUMENTS
from datacrumbs.trace.reader import read_traces

if TYPE_CHECKING:
    from pathlib import Path

    from datacrumbs.trace.reader import Traces

HOSTILE = "=cmd|' /C calc'!A0\x1b[31m"


@pytest.fixture
def traces(made, tmp_path: Path) -> Traces:
    call = made.call
    lines = [
        call("write", "SYS", 105, 3, bytes=11, fhash="aa"),
        call("pwrite", "POSIX", 104, 6, bytes=11, fhash="aa"),
        call("H5Dwrite", "HDF5", 100, 20),
        call("H5Dwrite", "HDF5", 120, 5),
        call("read", "SYS", 100, 4, thread=8, errno=9, ret=-1),
    ]
    return read_traces([made.write(tmp_path / "run.pfw.gz", lines, {"aa": HOSTILE})])


def test_a_row_for_each_call(traces: Traces, tmp_path: Path) -> None:
    export(traces, traces.calls, tmp_path / "run.parquet")
    rows = pl.read_parquet(tmp_path / "run.parquet")
    assert rows["name"].to_list() == ["write", "pwrite", "H5Dwrite", "H5Dwrite", "read"]
    assert rows["layer"].to_list() == ["system calls", "POSIX", "HDF5", "HDF5", "system calls"]
    assert rows["bytes"].sum() == 22
    assert rows["host"].unique().to_list() == ["node"]
    assert rows["path"].unique().drop_nulls().to_list() == [HOSTILE]


def test_rows_have_arguments_of_calls(made, tmp_path: Path) -> None:
    calls = [
        made.call("pread", "POSIX", 100, 5, ret=7, bytes=7, fd=3, offset=1009, count=4096),
        made.call("open", "POSIX", 200, 5, ret=3, flags=577),
        made.call("lseek", "POSIX", 300, 5, ret=13, fd=3, offset=-4, whence=1),
    ]
    traces = read_traces([made.write(tmp_path / "run.pfw.gz", calls)], details=True)
    export(traces, traces.calls, tmp_path / "run.parquet")
    rows = pl.read_parquet(tmp_path / "run.parquet")
    assert rows.select(ARGUMENTS).rows() == [
        (3, 1009, 4096, None, None),
        (None, None, None, None, 577),
        (3, -4, None, 1, None),
    ]
    assert COMMAND.run([str(tmp_path / "run.pfw.gz"), "--export", str(tmp_path / "run.csv")]) == 0
    with (tmp_path / "run.csv").open(newline="") as stream:
        assert [row["offset"] for row in csv.DictReader(stream)] == ["1009", "", "-4"]


def test_nothing_in_csv_is_computed_or_moves_a_cursor(traces: Traces, tmp_path: Path) -> None:
    export(traces, traces.calls, tmp_path / "run.csv")
    with (tmp_path / "run.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["dur_us"] for row in rows] == ["3", "6", "20", "5", "4"]
    assert rows[0]["path"] == "'" + HOSTILE.replace("\x1b", "\\x1b")


def test_layers_of_a_timeline_are_in_the_order_of_the_tables(made, tmp_path: Path) -> None:
    calls = [made.call(name, name, 100, 5) for name in ("SYS", "NEWLAYER", "POSIX", "HDF5")]
    traces = read_traces([made.write(tmp_path / "run.pfw.gz", calls)])
    export(traces, traces.calls, tmp_path / "run.pftrace")
    timeline = (tmp_path / "run.pftrace").read_bytes()
    # A layer's track comes before the name of its slices, which is written where it is first used.
    last = [timeline.rindex(name.encode()) for name in ("NEWLAYER", "HDF5", "POSIX", "system calls")]
    assert last == sorted(last)


def test_time_by_stacks(traces: Traces, tmp_path: Path) -> None:
    export(traces, traces.calls, tmp_path / "run.collapsed")
    assert (tmp_path / "run.collapsed").read_text().splitlines() == [
        "process [7];HDF5 H5Dwrite 19",
        "process [7];HDF5 H5Dwrite;POSIX pwrite 3",
        "process [7];HDF5 H5Dwrite;POSIX pwrite;system calls write 3",
        "process [7];system calls read 4",
    ]


def test_a_speedscope_profile_of_each_layer(traces: Traces, tmp_path: Path) -> None:
    export(traces, traces.calls, tmp_path / "run.speedscope.json")
    document = json.loads((tmp_path / "run.speedscope.json").read_text())
    totals = {profile["name"]: sum(profile["weights"]) for profile in document["profiles"]}
    assert totals == {"all layers": 29, "HDF5": 25, "POSIX": 6, "system calls": 7}
    names = [frame["name"] for frame in document["shared"]["frames"]]
    for profile in document["profiles"]:
        assert profile["endValue"] == sum(profile["weights"])
        assert all(place < len(names) for sample in profile["samples"] for place in sample)


def test_a_compressed_timeline_is_the_same(traces: Traces, tmp_path: Path) -> None:
    for name in ("run.pftrace", "run.pftrace.gz"):
        export(traces, traces.calls, tmp_path / name)
    assert gzip.decompress((tmp_path / "run.pftrace.gz").read_bytes()) == (tmp_path / "run.pftrace").read_bytes()


@pytest.mark.parametrize("form", FORMS)
def test_no_calls(made, tmp_path: Path, form: str) -> None:
    traces = read_traces([made.write(tmp_path / "run.pfw.gz", [])])
    export(traces, traces.calls, tmp_path / f"run{form}")
    assert (tmp_path / f"run{form}").exists()


@pytest.mark.parametrize("name", ["run.json", "run", ".parquet", "run.pftrace.xz"])
def test_an_unknown_form(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatacrumbsError, match="unknown form; expected a name that ends in") as caught:
        ending(tmp_path / name)
    assert caught.value.exit_code == ExitCode.USAGE


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "run.csv")
    with pytest.raises(DatacrumbsError, match="not a regular file"):
        ending(tmp_path / "run.csv")


def test_a_place_that_cannot_be_written(traces: Traces, tmp_path: Path) -> None:
    with pytest.raises(DatacrumbsError, match="cannot be written: No such file or directory; nothing was written"):
        export(traces, traces.calls, tmp_path / "missing" / "run.csv")


def test_a_failure_leaves_nothing(traces: Traces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_traces: Traces, _calls: pl.LazyFrame, place: Path) -> None:
        place.write_text("half")
        raise OSError(28, os.strerror(28))

    monkeypatch.setitem(FORMS, ".csv", fail)
    (tmp_path / "run.csv").write_text("before")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(DatacrumbsError, match="No space left on device"):
        export(traces, traces.calls, tmp_path / "run.csv")
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "run.csv").read_text() == "before"


def test_moments_beyond_all_numbers_and_processes_below_0_are_no_calls(made, tmp_path: Path) -> None:
    far = 1 << 62
    calls = [made.call("read", "POSIX", far, far, process=-3), made.call("seek", "SYS", far, 0, process=-3)]
    traces = read_traces([made.write(tmp_path / "run.pfw.gz", calls)])
    assert (traces.files[0].lines, traces.files[0].skipped) == (0, 2)
    for form in FORMS:
        export(traces, traces.calls, tmp_path / f"out{form}")
        assert (tmp_path / f"out{form}").exists()
