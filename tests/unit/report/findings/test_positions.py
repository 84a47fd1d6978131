"""Where reads and writes begin, followed through open, lseek and results, and not guessed where it is not known."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from datacrumbs.report.findings.judging import gathered
from datacrumbs.report.nesting import with_runs
from datacrumbs.trace.reader import read_traces

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"f1": "/data/one", "f2": "/data/two"}


@pytest.fixture
def placed(made, tmp_path: Path):
    """Gives position and pattern of each read and write, in the order of the lines."""

    def place(lines: list[dict[str, Any]]) -> list[tuple[int | None, str | None]]:
        traces = read_traces([made.write(tmp_path / "run.pfw.gz", lines, FILES)], details=True)
        requests = gathered(traces, with_runs(traces, traces.calls)).requests.sort("order")
        rows = requests.filter(requests["kind"].is_in(["read", "write"]))
        return list(rows.select("position", "pattern").iter_rows())

    return place


class Lines:
    """Calls on descriptors, one microsecond each."""

    def __init__(self, made: Any, begin: int = 0) -> None:
        self.made, self.now, self.lines = made, begin, []

    def add(self, name: str, ret: int, **arguments: Any) -> Lines:
        self.now += 10
        duration = arguments.pop("dur", 1)
        self.lines.append(self.made.call(name, "POSIX", self.now, duration, **{"fhash": "f1", "ret": ret} | arguments))
        return self

    def open(self, fd: int = 3, flags: int = 0, **more: Any) -> Lines:
        return self.add("open", fd, flags=flags, **more)

    def move(self, name: str, size: int, fd: int = 3, **more: Any) -> Lines:
        return self.add(name, size, fd=fd, bytes=size, count=size, **more)

    def seek(self, to: int, fd: int = 3, **more: Any) -> Lines:
        return self.add("lseek", to, fd=fd, offset=to, whence=0, **more)


def test_results_and_seeks_are_followed(made, placed) -> None:
    lines = Lines(made).open().move("read", 100).move("read", 23).seek(1000).move("read", 7).seek(50).move("write", 11)
    lines.move("read", 13).move("pread", 5, offset=4096).move("read", 3)
    assert placed(lines.lines) == [
        (0, "first"),
        (100, "consecutive"),
        (1000, "sequential"),
        (50, "first"),  # the first write
        (61, "random"),
        (4096, "sequential"),
        (74, "random"),
    ]


def test_a_descriptor_is_opened_again(made, placed) -> None:
    lines = Lines(made).open().move("read", 100).add("close", 0, fd=3).open(fhash="f2").move("read", 7, fhash="f2")
    assert placed(lines.lines) == [(0, "first"), (0, "first")]


def test_failed_calls_move_nothing(made, placed) -> None:
    lines = Lines(made).open().move("read", 100).add("read", -1, fd=3, errno=4).add("lseek", -1, fd=3, errno=22)
    assert placed(lines.move("read", 7).lines)[-1] == (100, "consecutive")


@pytest.mark.parametrize(
    "shared",
    [
        lambda lines: lines.add("dup", 5, fd=3),
        lambda lines: lines.add("sendfile", 100, fd=3, bytes=100),
        lambda lines: lines.move("read", 5, fd=9),  # a descriptor of the same file that was never opened
        lambda lines: lines.move("read", 5, process=8),  # of a child
        lambda lines: lines.move("read", 5, thread=9, dur=30),  # two threads at once
    ],
    ids=["dup", "sendfile", "unknown", "child", "threads"],
)
def test_what_others_may_move_is_not_guessed(made, placed, shared) -> None:
    lines = shared(Lines(made).open().move("read", 100))
    assert placed(lines.move("read", 7).lines)[-1] == (None, None)


def test_a_child_that_does_not_use_it_changes_nothing(made, placed) -> None:
    lines = Lines(made).open().move("read", 100).open(process=8).move("read", 5, process=8)
    assert placed(lines.move("read", 7).lines)[-1] == (100, "consecutive")


def test_appended_data_follows_itself(made, placed) -> None:
    lines = Lines(made).open(flags=0o2001).move("write", 100).move("write", 7)
    assert placed(lines.lines) == [(None, "consecutive"), (None, "consecutive")]


def test_random_calls_are_followed_as_one_by_one(made, placed) -> None:
    chooser = random.Random(7)
    lines, expected, at = Lines(made), [], dict[int, int]()
    for _ in range(1009):
        fd = chooser.choice([3, 4, 5])
        file = {"fhash": "f1" if fd == 3 else "f2"}
        action = chooser.choice(["open", "lseek", "read", "write", "pread"]) if fd in at else "open"
        size, place = chooser.randrange(1, 100), chooser.randrange(10_000)
        if action == "open":
            lines.open(fd, **file)
            at[fd] = 0
        elif action == "lseek":
            lines.seek(place, fd, **file)
            at[fd] = place
        elif action == "pread":
            lines.move("pread", size, fd, offset=place, **file)
            expected.append(place)
        else:
            lines.move(action, size, fd, **file)
            expected.append(at[fd])
            at[fd] += size
    assert [position for position, _ in placed(lines.lines)] == expected
