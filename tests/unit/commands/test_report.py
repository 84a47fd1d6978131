"""datacrumbs_report, as its users call it."""

from __future__ import annotations

import gzip
import json
import os
import pty
import select
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from datacrumbs.commands import _reading_progress
from datacrumbs.commands.report import COMMAND
from datacrumbs.errors import DatacrumbsError
from datacrumbs.output import printable
from datacrumbs.report.call_selection import parse_moment
from datacrumbs.report.human_readable import duration, size

from ..report.printed import data_of, text_of  # noqa: TID252

ROUNDS = 12
SCRIPTS = Path(sysconfig.get_path("scripts"))


@pytest.fixture
def trace(synthetic, tmp_path: Path) -> Path:
    return synthetic.write_trace(tmp_path / "run.pfw.gz", ROUNDS, lost=((synthetic.READ, 5),))


@pytest.mark.parametrize(
    ("place", "status", "said"),
    [("-", 2, "expected a file"), ("/dev/full", 1, "/dev/full: cannot be written: No space")],
)
def test_a_page_that_goes_nowhere(trace: Path, place: str, status: int, said: str) -> None:
    done = subprocess.run(
        [SCRIPTS / "datacrumbs_report", trace, "--html", place],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert (done.returncode, said in done.stderr) == (status, True)
    assert not Path("-").exists()


@pytest.mark.parametrize("renamed", ["run.pfw.gz", "anything"])
def test_a_page_is_never_put_over_a_trace(trace: Path, tmp_path: Path, renamed: str) -> None:
    """`--html TRACE` lacks the page."""
    place = trace.rename(tmp_path / renamed)
    before = place.read_bytes()
    done = subprocess.run(
        [SCRIPTS / "datacrumbs_report", "--html", place], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 2
    assert "this is a trace" in done.stderr
    assert place.read_bytes() == before


def test_the_default_view(trace: Path, synthetic, capsys) -> None:
    text = text_of(capsys, trace)
    calls = len(synthetic.records(ROUNDS))
    assert text.index("HDF5") < text.index("MPI-IO") < text.index("STDIO") < text.index("POSIX")
    assert f"entered {calls + 5:,} = recorded {calls:,} + filtered 0 + lost 5 + unmatched 0 + in flight 0" in text
    assert "lost 5 of" in text
    assert f"trace {trace}: whole, but 5 of {calls + 5:,} calls were lost" in text
    assert "/data/ünïcode-漢字-🦀.h5" in text
    assert "\x01" not in text


def test_late_files_are_said_with_and_without_their_name(made, tmp_path: Path, capsys) -> None:
    note = {"event": "not_probed", "begin": 1, "end": 1, "reason": "nobody looked"}
    notes = [
        made.metadata("datacrumbs_note", note | {"file": "/l.so", "provider": "z"}),
        made.metadata("datacrumbs_note", note),
    ]
    text = text_of(capsys, made.write(tmp_path / "late.pfw.gz", [], after=notes))
    assert "  late /l.so (z) not probed: nobody looked\n" in text
    assert "  late files not probed: nobody looked\n" in text


def test_of_many_reasons_for_what_was_not_probed_it_is_said_how_many_there_are(made, tmp_path: Path, capsys) -> None:
    said = {f"not attached uprobe ab {number:#x} f{number}": f"reason {number}" for number in range(7)}
    provenance = made.metadata("datacrumbs_provenance", {"kernel": "6.1"} | said)
    text = text_of(capsys, made.write(tmp_path / "failed.pfw.gz", [], after=[provenance]))
    assert "  not probed f4: kernel 6.1: reason 4\n  and 2 more reasons why functions were not probed (" in text
    assert "reason 5" not in text


def test_a_bar_shows_how_far_reading_is(trace: Path, monkeypatch) -> None:
    monkeypatch.setattr(_reading_progress, "SHOWN_AFTER_SECONDS", -1.0)
    monkeypatch.setenv("TERM", "xterm")
    screen, terminal = pty.openpty()
    with os.fdopen(terminal, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        assert COMMAND.run([str(trace), "--csv"]) == 0
        stream.flush()
        shown = b""
        # A terminal hands on what was written when it likes.
        while b"100%" not in shown and select.select([screen], [], [], 60)[0]:
            shown += os.read(screen, 1 << 16)
    os.close(screen)
    assert b"reading" in shown
    assert b"100%" in shown


def test_no_bar_is_written_to_a_file(trace: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(_reading_progress, "SHOWN_AFTER_SECONDS", -1.0)
    assert COMMAND.run([str(trace), "--csv"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("calls were lost")


def test_functions(trace: Path, synthetic, capsys) -> None:
    rows = {row["name"]: row for row in data_of(capsys, trace)["functions"]}
    assert sum(row["count"] + row["nested"] for row in rows.values()) == len(synthetic.records(ROUNDS))
    stat = rows["stat"]
    assert (stat["layer"], stat["count"], stat["errors"], stat["bytes"]) == ("POSIX", 6 * ROUNDS, 6 * ROUNDS, None)
    assert rows["pwrite"]["bytes"] == 6 * sum(100 + turn for turn in range(ROUNDS))
    assert rows["MPI_File_write"]["bytes"] == 2048 * 6 * ROUNDS
    assert 0 <= stat["p50_us"] <= stat["p99_us"] <= stat["time_us"]


def test_times_are_those_of_the_calls(trace: Path, synthetic, capsys) -> None:
    records = synthetic.records(ROUNDS)
    mine = records[records["function"] == synthetic.OPEN]
    start = mine["start"].astype(int) + synthetic.EPOCH
    durations = sorted(((start + mine["duration"].astype(int)) // 1000 - start // 1000).tolist())
    (row,) = data_of(capsys, trace, "--by", "function", "--name", "open")["functions"]
    assert row["time_us"] == sum(durations)
    assert row["p50_us"] in durations[len(durations) // 2 - 1 : len(durations) // 2 + 1]
    assert row["p99_us"] in durations[-3:]


@pytest.mark.parametrize(
    ("view", "plural", "key"),
    [
        ("function", "functions", "name"),
        ("file", "files", "path"),
        ("process", "processes", "pid"),
        ("layer", "layers", "layer"),
        ("error", "errors", "error"),
    ],
)
def test_views(trace: Path, capsys, view: str, plural: str, key: str) -> None:
    rows = data_of(capsys, trace, "--by", view)[plural]
    assert rows
    assert all(key in row for row in rows)
    assert len(data_of(capsys, trace, "--by", view, "--limit", "2")[plural]) == 2
    assert "only the first" not in text_of(capsys, trace, "--by", view, "--limit", str(len(rows)))
    assert "... only the first 1; datacrumbs report TRACE --limit N shows more" in text_of(
        capsys, trace, "--by", view, "--limit", "1"
    )


def test_errors_by_name(trace: Path, capsys) -> None:
    rows = data_of(capsys, trace, "--by", "error")["errors"]
    assert {(row["error"], row["name"], row["count"]) for row in rows} == {
        ("EFAULT", "read", 6 * ROUNDS),
        ("ENOENT", "stat", 6 * ROUNDS),
        ("EBADF", "close", 6 * ROUNDS),
    }


def test_filters(trace: Path, synthetic, capsys) -> None:
    def count(*arguments: str) -> int:
        rows = data_of(capsys, trace, "--by", "layer", *arguments)["layers"]
        return sum(row["count"] + row["nested"] for row in rows)

    everything = len(synthetic.records(ROUNDS))
    assert count("--name", "*read") == count("--name", "read") + count("--name", "fread")
    assert count("--pid", "1000") + count("--pid", "1001") + count("--pid", "1002") == everything
    assert count("--path", "/home/*") == 6 * ROUNDS
    assert count("--since", "0") == everything
    assert count("--until", "1000s") == everything
    half = count("--since", "500us")
    assert 0 < half < everything
    assert half + count("--until", "499us") >= everything  # a call over the border counts on both sides
    assert count("--name", "nothing") == 0


def test_a_filter_that_leaves_nothing_says_so(trace: Path, capsys) -> None:
    assert "none" in text_of(capsys, trace, "--name", "nothing")


def test_moments() -> None:
    assert parse_moment("1.5") == parse_moment("1.5s") == parse_moment("1500000us") == 1_500_000
    assert parse_moment("1500ms") == parse_moment("0.025m") == 1_500_000
    assert parse_moment("1790000000000000") == 1_790_000_000_000_000
    for bad in ("soon", "-1", "1x", "inf", "nan"):
        with pytest.raises(DatacrumbsError):
            parse_moment(bad)
    with pytest.raises(DatacrumbsError, match=r"^--until: '1x' is not a time"):
        COMMAND.run(["absent.pfw.gz", "--until", "1x"])


def test_a_trace_that_is_cut_short_is_called_so(synthetic, tmp_path: Path, capsys) -> None:
    path = tmp_path / "killed.pfw.gz"
    path.write_bytes(synthetic.trace_bytes(ROUNDS, close=False))
    assert "cut short: no footer" in text_of(capsys, path)
    (described,) = data_of(capsys, path)["traces"]
    assert (described["complete"], described["conservation"]) == (False, None)


@pytest.mark.parametrize("arguments", [["missing.pfw.gz"], ["."], ["x", "--limit", "0"], ["x", "--by", "colour"], []])
def test_wrong_use_ends_with_exit_2(tmp_path: Path, arguments: list[str]) -> None:
    command = [sys.executable, "-c", "from datacrumbs.commands._entry import report; exit(report())", *arguments]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_help_and_version() -> None:
    for option in ("--help", "--version"):
        command = [sys.executable, "-c", "from datacrumbs.commands._entry import report; exit(report())", option]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        assert "datacrumbs_report" in done.stdout


def test_sizes_durations_and_text_for_people() -> None:
    assert [size(number) for number in (0, 1023, 1024, 5 << 30)] == ["0 B", "1023 B", "1.0 KiB", "5.0 GiB"]
    assert [duration(number) for number in (0, 7, 1500, 61_000_000)] == ["<1 us", "7 us", "1.5 ms", "61.00 s"]
    assert printable("a\x1b[31m\n\udcff") == r"a\x1b[31m\n\udcff"


def test_a_copy_is_read_of_one_file_and_written_to_the_other(tmp_path: Path, capsys) -> None:
    trace = tmp_path / "copies.pfw.gz"
    names = {"00000000000000a1": "/data/source", "00000000000000b2": "/data/target"}
    lines = [_metadata(text, value) for value, text in names.items()]
    lines += [_copy(number, 1009, list(names)) for number in range(3)] + [_copy(3, 13, list(names)[:1])]
    trace.write_bytes(gzip.compress(("[\n" + "".join(json.dumps(line) + "\n" for line in lines)).encode()))
    files = {row["path"]: (row["count"], row["bytes"]) for row in data_of(capsys, trace, "--by", "file")["files"]}
    assert files == {"/data/source": (4, 3 * 1009 + 13), "/data/target": (3, 3 * 1009)}
    (file,) = data_of(capsys, trace, "--by", "file", "--path", "*/target")["files"]
    assert (file["path"], file["count"], file["bytes"]) == ("/data/target", 3, 3 * 1009)
    (file,) = data_of(capsys, trace, "--by", "file", "--path", "*/source")["files"]
    assert (file["path"], file["count"], file["bytes"]) == ("/data/source", 4, 3 * 1009 + 13)
    (row,) = data_of(capsys, trace, "--by", "function", "--path", "*/target")["functions"]
    assert (row["count"], row["bytes"]) == (3, 3 * 1009)


def _metadata(text: str, value: str) -> dict[str, object]:
    head = {"name": "FH", "cat": "dftracer", "ph": "M", "pid": 0, "tid": 0}
    return head | {"args": {"hhash": "00", "name": text, "value": value}}


def _copy(number: int, size: int, files: list[str]) -> dict[str, object]:
    head = {
        "id": number,
        "name": "sendfile",
        "cat": "POSIX",
        "pid": 7,
        "tid": 7,
        "ts": 10 * number,
        "dur": 1,
        "ph": "X",
    }
    hashes = dict(zip(("fhash", "to_hash"), files, strict=False))
    return head | {"args": {"hhash": "00", **hashes, "ret": size, "bytes": size}}


def test_what_does_not_go_with_a_page_or_names_nothing_is_refused(trace: Path, tmp_path: Path, capsys) -> None:
    place = tmp_path / "out.html"
    for words in (["--by", "file"], ["--limit", "3"]):
        with pytest.raises(DatacrumbsError) as caught:
            COMMAND.run([str(trace), "--html", str(place), *words])
        assert caught.value.exit_code == 2
    assert not place.exists()
    with pytest.raises(SystemExit) as ended:
        COMMAND.run([""])
    assert (ended.value.code, "an empty name" in capsys.readouterr().err) == (2, True)
