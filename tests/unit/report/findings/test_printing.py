"""Findings as people and programs get them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from datacrumbs.commands.report import COMMAND
from datacrumbs.report.findings.judging import FaultFound, Place
from datacrumbs.report.findings.printing import headline

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "/data/<b>\x1b[31m[red]&"


def trace_of(made, place: Path, count: int, size: int = 1000, **run: object) -> Path:
    write = {"ret": size, "bytes": size, "fd": 3, "count": size, "fhash": "f1"}
    lines = [made.call("write", "POSIX", 2000 * turn, 1000, **write) for turn in range(count)]
    named = [made.metadata("process_name", {"name": "<i>in\x1bgest"}, 7)]
    return made.write(place / "run.pfw.gz", lines, {"f1": HOSTILE}, before=named, **run)


def test_in_words(made, tmp_path: Path, capsys) -> None:
    assert COMMAND.run([str(trace_of(made, tmp_path, 1009))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Findings"
    assert re.match(r"critical  many small writes: 100% of the I/O time of <i>in.+gest \(pid 7\), 1.01 s$", lines[1])
    assert "1,009 of 1,009 writes moved less than 1.0 MiB" in lines[2]
    assert lines[3].startswith("          limit: more than 1,000 writes of less than 1.0 MiB, and more than 10% of all")
    assert lines[4].startswith("          try: ")
    assert "\x1b" not in "".join(lines)


def test_nothing_found(made, tmp_path: Path, capsys) -> None:
    assert COMMAND.run([str(trace_of(made, tmp_path, 13))]) == 0
    assert re.match(r"Findings: none of the \d+ faults looked for\n", capsys.readouterr().out)


def test_for_programs(made, tmp_path: Path, capsys) -> None:
    path = str(trace_of(made, tmp_path, 1009))
    assert COMMAND.run([path, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (finding,) = document["findings"]
    assert (finding["rule"], finding["severity"], finding["processes"]) == ("small-writes", "critical", 1)
    (place,) = finding["places"]
    assert (place["pid"], place["path"], place["share"], place["time_us"]) == (7, HOSTILE, 1, 1_009_000)
    assert "small-writes" in document["judged"]
    assert COMMAND.run([path, "--json", "--by", "file"]) == 0
    assert "findings" not in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    "case",
    [
        (1009, 1000, "critical", 4),
        (1009, 65536, "critical", 0),  # a warning
        (1009, 65536, "warning", 4),
        (1009, 65536, "note", 4),
        (13, 1000, "note", 0),
    ],
)
@pytest.mark.parametrize("form", [[], ["--json"], ["--csv"], ["--by", "file"]])
def test_the_status(made, tmp_path: Path, case: tuple, form: list[str]) -> None:
    count, size, severity, status = case
    assert COMMAND.run([str(trace_of(made, tmp_path, count, size)), "--fail-on", severity, *form]) == status


def test_what_cannot_be_judged_is_no_failure_and_said(made, tmp_path: Path, capsys) -> None:
    path = str(trace_of(made, tmp_path, 1009, part=1))
    assert COMMAND.run([path, "--fail-on", "note"]) == 0
    printed = capsys.readouterr()
    assert "not judged: 14 rules: part of a run: part 0 is not here" in printed.out
    assert "not judged: 14 rules: part of a run: part 0 is not here" in printed.err


def test_in_the_page(made, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert COMMAND.run([str(trace_of(made, tmp_path, 1009)), "--html", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    section = text[text.index('<section id="findings"') : text.index('<section id="layers"')]
    assert "many small writes" in section
    assert "&lt;i&gt;in" in section
    assert "<i>" not in section
    assert "<b>\x1b" not in text
    assert '<a href="#findings">' in text
    patterns = text[text.index('<section id="patterns"') : text.index('<section id="files"')]
    assert "1,009" in patterns


@pytest.mark.parametrize(
    ("process", "rank", "named"),
    [
        ("app", None, "app (pid 7)"),
        ("app", 3, "rank 3, app (pid 7)"),
        ("app (rank 3)", 3, "app (rank 3) (pid 7)"),
        ("", 3, "rank 3, pid 7"),
    ],
)
def test_a_rank_is_named_once(process: str, rank: int | None, named: str) -> None:
    place = Place("node", process, 7, rank, "POSIX", "", 0.5, 1000, "")
    finding = FaultFound("rule", "note", "title", "", "", 1, (place,))
    assert headline(finding) == f"title: 50% of the I/O time of {named}, 1 ms"
