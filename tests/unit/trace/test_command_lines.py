"""Command lines as texts, and through the trace to its reader."""

from __future__ import annotations

import io
import shlex
from typing import TYPE_CHECKING

import pytest

from datacrumbs.commands.report import COMMAND
from datacrumbs.model.record import Batch, Name, NameKind, RecordKind
from datacrumbs.trace.command_lines import command_line
from datacrumbs.trace.reader import read_traces
from datacrumbs.trace.redaction import Redaction

if TYPE_CHECKING:
    from pathlib import Path

PLAIN = Redaction(())
PROCESS, EXECUTABLE, LINE, OTHER = 77, 50, 51, 52
PROGRAM = Name(EXECUTABLE, NameKind.LOCATION, 0, "/usr/bin/model")


def zeros(*arguments: str) -> str:
    return "".join(f"{each}\0" for each in arguments)


def name(identity: int, *arguments: str, missing: int = 0) -> Name:
    text = zeros(*arguments)
    return Name(identity, NameKind.COMMAND_LINE, len(text.encode("utf-8", "surrogateescape")) + missing, text)


@pytest.mark.parametrize(
    "arguments",
    [
        ("a",),
        ("a", ""),
        ("", "", ""),
        ("a b", "it's", '"', "$HOME", "*", "[cut: 7 bytes in all]"),
        ("\n\t\x1b[31m", "\udcff\udc80", "ä€", "~", "#"),
    ],
)
def test_arguments_can_be_told_apart(arguments: tuple[str, ...]) -> None:
    text = zeros(*arguments)
    assert shlex.split(command_line(text, len(text), PLAIN)) == list(arguments)


@pytest.mark.parametrize(
    ("kept", "shown"),
    [
        ("a\0bc", "a bc [cut: 9 bytes in all]"),
        ("a\0bc\0", "a bc [cut: 9 bytes in all]"),
        ("a\0b\udcc3", "a b [cut: 9 bytes in all]"),
        ("a\0b\udcff", "a 'b\udcff' [cut: 9 bytes in all]"),
    ],
)
def test_what_is_cut_is_said(kept: str, shown: str) -> None:
    """Where the last character is cut, its beginning is left out; a byte that begins none stays."""
    assert command_line(kept, 9, PLAIN) == shown


def test_a_path_that_is_cut_inside_a_hidden_name_is_hidden() -> None:
    redaction = Redaction(["/home/*/moonshot"])
    assert "moon" not in command_line("x\0/home/ada/moonsh", 99, redaction)
    assert command_line("x\0/home/ada/sun\0", 99, redaction).endswith(" /home/ada/sun [cut: 99 bytes in all]")
    assert command_line("x\0/home/ada/sun", 15, redaction).endswith(" /home/ada/sun")


def recorded(synthetic, path: Path, *steps: object) -> dict[tuple[int, int], str]:
    """What a reader gets of a trace that takes these in: names, records, or arguments of a running process."""
    stream = io.BytesIO()
    writer = synthetic.new_writer(stream)
    for step in steps:
        match step:
            case Name():
                writer.write(Batch(synthetic.records(0), (step,)))
            case bytes():
                writer.add_arguments(PROCESS, step, len(step))
            case records:
                writer.write(Batch(records))
    synthetic.finish(writer)
    path.write_bytes(stream.getvalue())
    return read_traces([path]).command_lines


def begins(synthetic, kind: RecordKind, line: int, process: int = PROCESS):
    record = synthetic.lifecycle(kind, process, file=EXECUTABLE)
    record["values"][0][1] = line
    return record


def test_the_last_program_counts(synthetic, tmp_path: Path) -> None:
    first, second = name(LINE, "model", "a b"), name(OTHER, "other", "\udcff")
    execute = RecordKind.EXEC
    steps = [PROGRAM, first, second, begins(synthetic, execute, LINE), begins(synthetic, execute, OTHER)]
    assert recorded(synthetic, tmp_path / "a", *steps) == {(0, PROCESS): "other '\udcff'"}


@pytest.mark.parametrize("line", [0, 4711])
def test_what_is_not_known_is_not_invented(synthetic, tmp_path: Path, line: int) -> None:
    """Neither where nothing could be read, nor where it was lost: not that of the program before."""
    steps = [PROGRAM, name(LINE, "model"), begins(synthetic, RecordKind.EXEC, LINE)]
    assert recorded(synthetic, tmp_path / "a", *steps, begins(synthetic, RecordKind.EXEC, line)) == {}


def test_a_child_has_its_parents_until_it_executes(synthetic, tmp_path: Path) -> None:
    fork = synthetic.lifecycle(RecordKind.FORK, PROCESS, child=78)
    call = synthetic.records(1)[:1].copy()
    call["process"] = call["thread"] = 78
    steps = [PROGRAM, *synthetic.NAMES, name(LINE, "model"), begins(synthetic, RecordKind.EXEC, LINE), fork, call]
    assert recorded(synthetic, tmp_path / "a", *steps) == {(0, PROCESS): "model", (0, 78): "model"}


def test_those_of_a_process_that_ran_come_before_or_after_its_records(synthetic, tmp_path: Path) -> None:
    start, found = begins(synthetic, RecordKind.START, 0), b"server\0-x\0"
    expected = {(0, PROCESS): "server -x"}
    assert recorded(synthetic, tmp_path / "a", PROGRAM, start, found) == expected
    assert recorded(synthetic, tmp_path / "b", PROGRAM, found, start) == expected
    executed, unread = (begins(synthetic, RecordKind.EXEC, line) for line in (LINE, 0))
    steps = [PROGRAM, name(LINE, "model"), start, executed, found]
    assert recorded(synthetic, tmp_path / "c", *steps) == {(0, PROCESS): "model"}
    assert recorded(synthetic, tmp_path / "d", PROGRAM, found, start, unread) == {}
    assert recorded(synthetic, tmp_path / "e", PROGRAM, found, unread, start) == expected


def test_each_part_of_a_run_has_them(synthetic, tmp_path: Path) -> None:
    streams = [io.BytesIO(), io.BytesIO()]
    writer = synthetic.new_writer(streams[0])
    records = synthetic.records(1)[:1].copy()
    records["process"] = records["thread"] = PROCESS
    writer.write(Batch(begins(synthetic, RecordKind.EXEC, LINE), (PROGRAM, name(LINE, "model", "x"))))
    writer.continue_in(streams[1], {})
    writer.write(Batch(records, synthetic.NAMES))
    synthetic.finish(writer)
    for number, stream in enumerate(streams):
        path = tmp_path / str(number)
        path.write_bytes(stream.getvalue())
        assert read_traces([path]).command_lines == {(0, PROCESS): "model x"}


HOSTILE = "'=HYPERLINK(0)' '\x1b[31m</script>\n' " + "x" * 4000


def test_reports_show_them_without_harm(made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    about = [
        made.metadata("SH", {"name": HOSTILE, "value": "ab"}),
        made.metadata("PR", {"hhash": "00", "name": "cmd_hash", "value": "ab"}, 7),
    ]
    calls = [made.call("write", "POSIX", 0, 10, bytes=1), made.call("write", "POSIX", 0, 10, bytes=1, process=8)]
    path = made.write(tmp_path / "a.pfw.gz", calls, before=about)
    texts = {}
    for form in ("--json", "--csv", "--wide"):
        assert COMMAND.run([str(path), "--by", "process", form]) == 0
        texts[form] = capsys.readouterr().out
    assert texts["--json"].count('"command_line": null') == 1
    assert "\x1b" not in "".join(texts.values())
    (line,) = [line for line in texts["--csv"].splitlines() if "HYPERLINK" in line]
    assert "x" * 4000 in line
    assert "\\x1b[31m</script>\\n" in line
    assert "x" * 200 not in texts["--wide"]
    page = tmp_path / "page.html"
    assert COMMAND.run([str(path), "--html", str(page)]) == 0
    text = page.read_text("utf-8")
    assert "HYPERLINK" in text
    assert text.count("</script>") == 2
