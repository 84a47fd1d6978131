"""What may be added up, what is a trace, and what is said of one that is not whole."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from datacrumbs.commands.report import COMMAND
from datacrumbs.errors import DatacrumbsError
from datacrumbs.report.overlapping_traces import check_apart, lives_of
from datacrumbs.trace.reader import find_traces, read_traces


def lines(made, *processes: int, begin: int = 10**15) -> list[dict]:
    return [made.call("read", "POSIX", begin + turn, 1, process=process) for process in processes for turn in range(3)]


def test_one_process_in_two_runs_is_refused(made, tmp_path: Path) -> None:
    one = made.write(tmp_path / "one.pfw.gz", lines(made, 7, 8))
    other = made.write(tmp_path / "other.pfw.gz", lines(made, 8, 9), run_id="other")
    with pytest.raises(DatacrumbsError) as caught:
        COMMAND.run([str(tmp_path)])
    assert caught.value.exit_code == 2
    for part in (str(one), str(other), "process 8 of node node", "twice"):
        assert part in caught.value.message
    assert str(one) in caught.value.hint
    assert COMMAND.run([str(one)]) == COMMAND.run([str(other)]) == 0


@pytest.mark.parametrize(
    "second",
    [
        {"host": "elsewhere"},
        {"run_id": "other", "begin": 10**15 + 500},
        {"run_id": "other", "processes": (11,)},
        {"part": 1},
    ],
)
def test_what_shares_no_calls_is_added_up(made, tmp_path: Path, second: dict) -> None:
    processes, begin = second.pop("processes", (7,)), second.pop("begin", 10**15)
    made.write(tmp_path / "one.pfw.gz", lines(made, 7))
    made.write(tmp_path / "two.pfw.gz", lines(made, *processes, begin=begin), **second)
    traces = read_traces(find_traces([tmp_path]))
    check_apart(traces, lives_of(traces))


def test_one_trace_given_twice_is_one_trace(made, tmp_path: Path) -> None:
    path = made.write(tmp_path / "one.pfw.gz", lines(made, 7))
    (tmp_path / "link.pfw.gz").symlink_to(path)
    (tmp_path / "hard.pfw.gz").hardlink_to(path)
    assert len(find_traces([path, tmp_path, tmp_path / "." / "one.pfw.gz", tmp_path / "link.pfw.gz"])) == 1
    shutil.copy(path, tmp_path / "copy.pfw.gz")
    with pytest.raises(DatacrumbsError, match="counted twice"):
        COMMAND.run([str(tmp_path)])


def test_what_is_no_regular_file_is_refused_at_once(made, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.pfw.gz")
    for path in (tmp_path / "fifo.pfw.gz", "/dev/null"):
        with pytest.raises(DatacrumbsError, match="not a regular file") as caught:
            read_traces(find_traces([path]))
        assert caught.value.exit_code == 2
    with pytest.raises(DatacrumbsError, match="no trace in this directory"):
        find_traces([tmp_path])
    with pytest.raises(DatacrumbsError, match="not a regular file"):
        COMMAND.run([str(made.write(tmp_path / "one.pfw.gz", lines(made, 7))), str(tmp_path / "fifo.pfw.gz")])


@pytest.mark.parametrize("more", [b"x", b"\0" * 512, b"\x1f", b"\x1f\x8b", b"\x1f\x8b" + bytes(99), b"rest" * 1000])
def test_bytes_behind_a_trace_do_not_make_it_short(made, tmp_path: Path, more: bytes) -> None:
    path = made.write(tmp_path / "one.pfw.gz", lines(made, 7))
    path.write_bytes(path.read_bytes() + more)
    (file,) = read_traces([path]).files
    assert file.shortcoming == "damaged: bytes that are no part of it follow its end"
    assert file.lines == 3


def test_a_second_trace_behind_the_first_is_noticed(made, tmp_path: Path) -> None:
    path = made.write(tmp_path / "one.pfw.gz", lines(made, 7))
    path.write_bytes(path.read_bytes() * 2)
    assert "calls are in the file" in read_traces([path]).files[0].shortcoming


def test_a_run_that_goes_on_is_not_cut_short(made, tmp_path: Path) -> None:
    path = made.write(tmp_path / "one.pfw.gz", lines(made, 7))
    text = gzip.decompress(path.read_bytes()).splitlines(keepends=True)[:-2]
    path.write_bytes(gzip.compress(b"".join(text)))
    with path.open("ab"):
        assert read_traces([path]).files[0].shortcoming == "not finished: the run is still going on"
    assert read_traces([path]).files[0].shortcoming == "cut short: no footer"


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_directory_that_cannot_be_listed_is_not_empty(shared_directory: Path) -> None:
    outer = shared_directory / "listed"
    closed = outer / "closed"
    closed.mkdir(mode=0o700, parents=True)
    for place in (closed, outer):
        command = [Path(sysconfig.get_path("scripts")) / "datacrumbs_report", place]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, user=65534, group=65534, timeout=300
        )
        assert done.returncode == 2
        assert done.stderr == f"datacrumbs_report: {closed}: cannot be listed: Permission denied\n"


@pytest.mark.parametrize(("since", "until"), [("10", "2"), ("2000000000000000", "1999999999999999"), ("20us", "10us")])
def test_an_interval_of_nothing_is_refused(made, tmp_path: Path, since: str, until: str) -> None:
    path = made.write(tmp_path / "one.pfw.gz", lines(made, 7))
    with pytest.raises(DatacrumbsError, match="--since is later than --until") as caught:
        COMMAND.run([str(path), "--since", since, "--until", until])
    assert caught.value.exit_code == 2


def test_an_interval_of_nothing_in_two_kinds_of_time(made, tmp_path: Path) -> None:
    path = made.write(tmp_path / "one.pfw.gz", lines(made, 7))
    with pytest.raises(DatacrumbsError, match="--since is later than --until"):
        COMMAND.run([str(path), "--since", "5", "--until", str(10**15 + 1)])
