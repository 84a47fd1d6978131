"""What the calls of a function spent in each call below them, and what slow ones do that fast ones do not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from datacrumbs.commands.report import COMMAND
from datacrumbs.errors import DatacrumbsError
from datacrumbs.report.block_requests import direction
from datacrumbs.report.call_selection import CallSelection
from datacrumbs.report.explaining import Explanation, Node, explain
from datacrumbs.trace.reader import read_traces

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"f1": "/data/one"}
SLOW, FAST = 11, 97


@pytest.fixture
def trace(made, tmp_path: Path) -> Path:
    """97 writes of 100 us with a pwrite of 40 us, and 11 of 1,000 us with a pwrite of 40 and three preads of 200 us."""
    lines = []
    for turn in range(FAST + SLOW):
        begin, slow = turn * 5000, turn % 9 == 8 and turn < 9 * SLOW
        lines.append(made.call("pwrite", "POSIX", begin + 10, 40, ret=23, bytes=23, fhash="f1"))
        places = [begin + 60 + 210 * part for part in range(3 if slow else 0)]
        lines += [made.call("pread", "POSIX", place, 200, ret=7, bytes=7, fhash="f1") for place in places]
        lines.append(made.call("H5Dwrite", "HDF5", begin, 1000 if slow else 100, ret=0, fhash="f1"))
        lines.append(made.call("pwrite", "POSIX", begin + 2000, 5, ret=1, bytes=1, fhash="f1"))  # of nothing
    return made.write(tmp_path / "run.pfw.gz", lines, FILES)


def explained(path: Path, function: str, selection: CallSelection | None = None, **options: Any) -> Explanation:
    return explain(read_traces([path], details=True), selection or CallSelection(), function, **options)


def flat(node: Node) -> tuple[Any, ...]:
    return (node.name, node.calls, node.time_us, node.self_us, node.bytes, [flat(child) for child in node.children])


def test_the_tree(trace: Path) -> None:
    found = explained(trace, "H5Dwrite")
    total = 100 * FAST + 1000 * SLOW
    preads, pwrites = 3 * SLOW * 200, (FAST + SLOW) * 40
    assert (found.units, found.time_us, found.p50_us, found.incomplete) == (FAST + SLOW, total, 100, "")
    assert flat(found.root) == (
        *("H5Dwrite", FAST + SLOW, total, total - preads - pwrites, None),
        [
            ("pread", 3 * SLOW, preads, preads, 3 * SLOW * 7, []),
            ("pwrite", FAST + SLOW, pwrites, pwrites, (FAST + SLOW) * 23, []),
        ],
    )
    assert found.layer_bytes == {"POSIX": (FAST + SLOW) * 23 + 3 * SLOW * 7}


def test_slow_against_fast(trace: Path) -> None:
    found = explained(trace, "H5Dwrite", slow_vs_fast=True)
    assert (found.slow_units, found.fast_units, found.p90_us) == (SLOW, FAST, 1000)
    assert (found.root.slow, found.root.fast) == ((1, 360, 0), (1, 60, 0))
    pread, pwrite = found.root.children
    assert (pread.slow, pread.fast) == ((3, 600, 21), (0, 0, 0))
    assert (pwrite.slow, pwrite.fast) == ((1, 40, 23), (1, 40, 23))


def test_a_call_inside_another_of_its_name_is_no_unit(made, tmp_path: Path) -> None:
    lines = []
    for turn in range(13):
        lines += [made.call("walk", "POSIX", 100 * turn + 2, 3), made.call("walk", "POSIX", 100 * turn, 10)]
    found = explained(made.write(tmp_path / "run.pfw.gz", lines), "walk")
    assert flat(found.root) == ("walk", 13, 130, 91, None, [("walk", 13, 39, 39, None, [])])


def test_a_selection_chooses_calls_of_the_function_with_all_that_is_inside(made, tmp_path: Path) -> None:
    lines = []
    for turn in range(13):
        lines.append(made.call("read", "SYS", 100 * turn + 1, 5, ret=7, bytes=7, fhash="f2"))
        lines.append(made.call("fread", "STDIO", 100 * turn, 10, fhash="f1" if turn < 7 else "f2"))
    path = made.write(tmp_path / "run.pfw.gz", lines, {"f1": "/data/one", "f2": "/data/two"})
    found = explained(path, "fread", CallSelection(paths=("/data/one",)))
    assert flat(found.root) == ("fread", 7, 70, 35, None, [("read", 7, 35, 35, 49, [])])
    assert found.incomplete == ""
    with pytest.raises(DatacrumbsError, match="no call of it is in what the selection leaves"):
        explained(path, "fread", CallSelection(paths=("/data/three",)))


def test_other_threads_are_not_inside(made, tmp_path: Path) -> None:
    lines = [made.call("pread", "POSIX", 10, 5, thread=8), made.call("H5Dread", "HDF5", 0, 50)]
    assert explained(made.write(tmp_path / "run.pfw.gz", lines), "H5Dread").root.children == []


def test_requests_of_the_block_layer(made, tmp_path: Path) -> None:
    read, write = (int.from_bytes(text.encode(), "little") for text in ("R", "WS"))
    place = {"dev": 1, "sector": 2048, "ret": None}
    lines = [
        made.call("block_rq_issue", "BLOCK", 110, 0, bytes=4096, rwbs=read, **place),
        made.call("block_rq_complete", "BLOCK", 170, 0, rwbs=read, **place),
        made.call("block_rq_issue", "BLOCK", 180, 0, bytes=512, rwbs=write, **place),  # its completion is not there
        made.call("read", "POSIX", 100, 100, ret=4096, bytes=4096),
    ]
    found = explained(made.write(tmp_path / "run.pfw.gz", lines), "read")
    rows = {node.name: (node.calls, node.bytes, node.device_us, node.completed) for node in found.root.children}
    assert rows == {
        "block_rq_issue read": (1, 4096, 60, 1),
        "block_rq_issue write synchronous": (1, 512, 0, 0),
        "block_rq_complete read": (1, None, 0, 0),
    }
    assert found.root.self_us == 100


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        *[("R", "read"), ("WS", "write synchronous"), ("RA", "read ahead"), ("RM", "read metadata"), ("N", "other")],
        *[("FF", "flush after flush"), ("F", "flush"), ("FWFS", "write synchronous after flush"), ("D", "discard")],
        *[("", ""), ("?", "")],
    ],
)
def test_directions(text: str, meaning: str) -> None:
    assert direction(int.from_bytes(text.encode(), "little")) == meaning


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        ({"part": 1}, "part of a run: part 0 is not here"),
        ({"inclusion_path": "/data"}, "only calls on files below /data were recorded"),
    ],
)
def test_incomplete(made, tmp_path: Path, run: dict, reason: str) -> None:
    path = made.write(tmp_path / "run.pfw.gz", [made.call("H5Dwrite", "HDF5", 0, 50)], **run)
    assert explained(path, "H5Dwrite").incomplete == reason


def test_what_is_incomplete_has_no_shares(made, tmp_path: Path, capsys) -> None:
    path = made.write(tmp_path / "run.pfw.gz", [made.call("H5Dwrite", "HDF5", 0, 50)], part=1)
    assert COMMAND.run([str(path), "--explain", "H5Dwrite"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "incomplete, so times inside and shares are not known: part of a run: part 0 is not here"
    assert lines[2].split() == ["call", "layer", "calls", "time", "bytes"]


def test_a_function_whose_return_is_not_observed(made, tmp_path: Path) -> None:
    path = made.write(tmp_path / "run.pfw.gz", [made.call("H5Dwrite", "HDF5", 0, 0, ret=None)])
    assert explained(path, "H5Dwrite").incomplete == "its return is not observed"


def test_in_the_page(trace: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert COMMAND.run([str(trace), "--explain", "H5Dwrite", "--slow-vs-fast", "--html", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    section = text[text.index('<section id="explained"') : text.index('<section id="time"')]
    assert "Inside H5Dwrite" in section
    assert section.count("<rect ") == 3
    assert "pread (POSIX): 6.6 ms, itself 6.6 ms" in section
    assert "\u2003pread" in section
    assert "H5Dwrite &gt; pread" in section
    assert COMMAND.run([str(trace), "--html", str(page)]) == 0
    assert 'id="explained"' not in page.read_text(encoding="utf-8")


def test_in_words_and_as_json(trace: Path, capsys) -> None:
    assert COMMAND.run([str(trace), "--explain", "H5Dwrite", "--slow-vs-fast"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["pread", "POSIX", "33", "6.6", "ms", "6.6", "ms", "31.9%", "231", "B"] in lines
    assert ["H5Dwrite", ">", "pread", "0", "3", "<1", "us", "600", "us", "67%", "0", "B", "21", "B"] in lines
    assert COMMAND.run([str(trace), "--explain", "H5Dwrite", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["explanation"]["root"]["children"][0]["name"] == "pread"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--explain", "H5Dwrit"], "no call of it is in the trace; did you mean 'H5Dwrite'?"),
        (["--explain", "H5Dwrite", "--by", "file"], "--explain and --by exclude each other"),
        (["--slow-vs-fast"], "--slow-vs-fast needs --explain"),
    ],
)
def test_what_makes_no_sense(trace: Path, arguments: list[str], words: str) -> None:
    with pytest.raises(DatacrumbsError) as caught:
        COMMAND.run([str(trace), *arguments])
    assert caught.value.exit_code == 2
    assert words in caught.value.message
