"""What a report found out is given again as long as it is true, to the last byte; else traces are read."""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from datacrumbs.cache import analysis_cache, inspected_files
from datacrumbs.commands import _reporting
from datacrumbs.commands._command import PREFIX_VARIABLE
from datacrumbs.commands.report import COMMAND
from datacrumbs.errors import DatacrumbsError
from datacrumbs.report import VIEWS, known_runs, selected_calls, summary_cache

from .printed import FILES, text_of
from .test_distributed import NODES, node

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Text = Callable[..., str]

COUNT = 211


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where things are kept, of whichever user runs this; what was changed just now is settled."""
    prefix = tmp_path / "prefix"
    (prefix / "var/lib/datacrumbs").mkdir(parents=True)
    monkeypatch.setenv(PREFIX_VARIABLE, str(prefix))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(inspected_files, "SETTLED_SECONDS", 0)
    root = os.geteuid() == 0
    return prefix / "var/lib/datacrumbs/kept/reports" if root else tmp_path / "cache/datacrumbs/reports"


@pytest.fixture
def trace(made, tmp_path: Path) -> Path:
    """A run with calls inside others, failures, two processes and files of all kinds."""
    calls = []
    for number in range(COUNT):
        file, process = list(FILES)[number % len(FILES)], 7 + number % 2
        begin, about = 1_790_000_000_000_000 + 1000 * number, {"fhash": file, "process": process}
        calls.append(made.call("fwrite", "STDIO", begin, 100 + number, bytes=number, **about))
        failed = {"errno": 2, "ret": -1} if number % 13 == 0 else {"bytes": number}
        calls.append(made.call("write", "POSIX", begin + 3, 50 + number % 17, **about, **failed))
    return made.write(tmp_path / "run.pfw.gz", calls, FILES)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many traces were read at once, each time."""
    times: list[int] = []
    read = _reporting.read_traces

    def counted(paths, *arguments, **options):
        times.append(len(paths))
        return read(paths, *arguments, **options)

    monkeypatch.setattr(_reporting, "read_traces", counted)
    return times


def page(trace: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    out = trace.with_name("page.html")
    text_of(capsys, trace, "--html", out, *options)
    return out.read_text("utf-8")


FORMS = [(), ("--json",), ("--limit", "3", "--json"), ("--sort", "p99", "--json"), ("--fail-on", "critical")]
FORMS += [("--by", view, "--json") for view in (*VIEWS, "pattern")] + [("--by", "file", "--csv"), ("--csv",)]


@pytest.mark.parametrize("options", FORMS, ids=" ".join)
def test_the_second_time_nothing_is_read_and_each_byte_is_the_same(trace, capsys, reads, options) -> None:
    first = text_of(capsys, trace, *options)
    assert reads == [1]
    assert text_of(capsys, trace, *options) == first
    assert reads == [1]
    assert text_of(capsys, trace, *options, "--fresh") == first
    assert reads == [1, 1]


def test_a_page(trace, capsys, reads) -> None:
    first = page(trace, capsys)
    assert page(trace, capsys) == first
    assert page(trace, capsys, "--fresh") == first
    assert reads == [1, 1]


def test_a_comparison(trace, capsys, reads, made, tmp_path) -> None:
    calls = [made.call("write", "POSIX", 1000 * number, 90, bytes=7, process=99) for number in range(COUNT)]
    other = made.write(tmp_path / "other.pfw.gz", calls, run_id="two")
    first = text_of(capsys, trace, "--compare", other, "--json")
    assert reads == [1, 1]
    assert text_of(capsys, trace, "--compare", other, "--json") == first
    assert text_of(capsys, other, "--compare", trace, "--json") != first
    assert reads == [1, 1]


def test_what_takes_little_more_is_known_too(trace, capsys, reads) -> None:
    text_of(capsys, trace)
    for view in ("function", "layer", "file", "channel", "process", "rank", "node", "error"):
        known = text_of(capsys, trace, "--by", view, "--json")
        assert reads == [1]
        assert text_of(capsys, trace, "--by", view, "--json", "--fresh") == known
        assert reads.pop() == 1


@pytest.mark.parametrize(
    "options",
    [
        ["--wide"],
        ["--name", "write"],
        ["--since", "0"],
        ["--explain", "fwrite"],
        ["--pid", "7"],
        ["--not-path", "@system"],
    ],
)
def test_what_was_not_found_out_is_read(trace, capsys, reads, options) -> None:
    for _ in range(2):
        text_of(capsys, trace, *options)
    assert reads == [1, 1]


def changed(trace: Path, made) -> None:
    made.write(trace, [made.call("read", "POSIX", 1000, 3)], FILES)


def touched(trace: Path, _) -> None:
    os.utime(trace)


def replaced(trace: Path, _) -> None:
    shutil.copy2(trace, trace.with_suffix(".copy"))
    trace.with_suffix(".copy").rename(trace)


@pytest.mark.parametrize("change", [changed, touched, replaced])
def test_another_state_of_a_trace_is_read(trace, made, capsys, reads, change) -> None:
    text_of(capsys, trace, "--json")
    change(trace, made)
    data = json.loads(text_of(capsys, trace, "--json"))
    assert reads == [1, 1]
    assert data["traces"][0]["calls"] == (1 if change is changed else 2 * COUNT)


def test_what_changes_while_it_is_read_is_not_kept(trace, capsys, reads, place, monkeypatch) -> None:
    read = _reporting.read_traces

    def slowly(paths, *arguments, **options):
        found = read(paths, *arguments, **options)
        os.utime(trace)
        return found

    monkeypatch.setattr(_reporting, "read_traces", slowly)
    text_of(capsys, trace)
    assert not place.exists()


def test_what_is_known_does_not_go_with_a_trace_that_changes_meanwhile(trace, made, capsys, monkeypatch) -> None:
    text_of(capsys, trace, "--by", "function")
    read = _reporting.read_traces

    def late(paths, *arguments, **options):
        changed(trace, made)
        return read(paths, *arguments, **options)

    monkeypatch.setattr(_reporting, "read_traces", late)
    with pytest.raises(DatacrumbsError, match="changed while it was read"):
        COMMAND.run([str(trace), "--by", "process"])


def test_what_changed_just_now_is_not_kept(trace, capsys, place, monkeypatch) -> None:
    monkeypatch.setattr(inspected_files, "SETTLED_SECONDS", 1 << 40)
    text_of(capsys, trace)
    assert not place.exists()


def test_a_trace_that_may_be_written_still_is_read(trace, made, capsys, reads, place) -> None:
    data = trace.read_bytes()
    trace.write_bytes(data[: len(data) * 9 // 10])
    for _ in range(2):
        assert COMMAND.run([str(trace)]) == 0
    assert "cut short" in capsys.readouterr().out
    assert reads == [1, 1]
    assert not place.exists()


def test_estimates_need_the_lines(made, tmp_path, capsys, reads, place) -> None:
    added_up = made.write(tmp_path / "profile.pfw.gz", [], before=[made.profile("write", "POSIX", 1000, 23)], lines=0)
    assert [text_of(capsys, added_up, "--by", "process") for _ in range(2)]
    assert reads == [1, 1]
    assert not place.exists()


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-7], lambda data: data[:99], lambda _: b"", lambda _: b"\0" * 99]
)
def test_what_is_damaged_is_found_out_again(trace, capsys, reads, place, damage) -> None:
    first = text_of(capsys, trace, "--json")
    for file in place.iterdir():
        file.write_bytes(damage(file.read_bytes()))
    assert text_of(capsys, trace, "--json") == first
    assert reads == [1, 1]
    assert text_of(capsys, trace, "--json") == first
    assert reads == [1, 1]


def test_values_of_another_form_are_found_out_again(trace, capsys, reads, place, monkeypatch) -> None:
    text_of(capsys, trace)
    with monkeypatch.context() as patch:
        patch.setattr(summary_cache, "to_bytes", lambda _: b'[[1,[2],{"x":3}],[]]\n')
        text_of(capsys, trace, "--fresh")
    text_of(capsys, trace)
    assert reads == [1, 1, 1]


def test_other_code_finds_out_again(trace, capsys, reads, monkeypatch) -> None:
    text_of(capsys, trace)
    monkeypatch.setattr(summary_cache, "_code", lambda: "another")
    text_of(capsys, trace)
    assert reads == [1, 1]


def test_findings_belong_to_the_code_of_their_rules(trace, capsys, reads, monkeypatch, tmp_path) -> None:
    rules = tmp_path / "rules.py"
    rules.write_text("")

    def of_providers():
        rules.read_text()  # as its import does
        return (), []

    monkeypatch.setattr(selected_calls, "provider_rules", of_providers)
    text_of(capsys, trace)
    text_of(capsys, trace)
    assert reads == [1]
    rules.write_text("# another")
    text_of(capsys, trace, "--by", "function")
    assert reads == [1]
    text_of(capsys, trace)
    assert reads == [1, 1]


def test_findings_of_another_environment_are_not_taken(trace, capsys, reads, monkeypatch) -> None:
    text_of(capsys, trace)
    monkeypatch.setattr(sys, "path", [*sys.path, "/elsewhere"])
    text_of(capsys, trace)
    text_of(capsys, trace)
    assert reads == [1, 1]


def test_findings_that_cannot_be_kept_are_shown(trace, capsys, reads, monkeypatch) -> None:
    def refuse(_: object) -> bytes:
        raise TypeError

    first = text_of(capsys, trace)
    monkeypatch.setattr(summary_cache, "to_bytes", refuse)
    assert text_of(capsys, trace, "--fresh") == first
    assert reads == [1, 1]


def test_a_run_that_may_be_written_still_is_read_once(made, trace, capsys, reads, monkeypatch) -> None:
    text_of(capsys, trace)
    second = made.write(trace.with_name("second.pfw.gz"), [made.call("write", "POSIX", 5, 7)], FILES, run_id="two")
    both = text_of(capsys, trace, second, "--fresh")
    reads.clear()
    known = known_runs.files_state
    monkeypatch.setattr(known_runs, "files_state", lambda paths: None if second in paths else known(paths))
    assert text_of(capsys, trace, second) == both
    assert reads == [2]


def test_where_nothing_can_be_kept_reports_are_the_same(trace, capsys, reads, place) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("no directory")
    first = text_of(capsys, trace, "--json")
    assert text_of(capsys, trace, "--json") == first
    assert reads == [1, 1]


def test_what_others_can_write_is_not_taken(trace, capsys, reads, place) -> None:
    text_of(capsys, trace)
    place.chmod(0o777)
    text_of(capsys, trace)
    assert reads == [1, 1]


def test_only_its_user_sees_what_is_kept(trace, capsys, place) -> None:
    text_of(capsys, trace)
    assert place.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in place.iterdir()} == {0o600}


def test_the_oldest_make_room(trace, capsys, place, monkeypatch) -> None:
    text_of(capsys, trace)
    sizes = [file.stat().st_size for file in place.iterdir()]
    monkeypatch.setattr(analysis_cache, "ROOM", max(sizes))
    monkeypatch.setattr(analysis_cache, "TURNS", 1)
    text_of(capsys, trace, "--fresh")
    assert sum(file.stat().st_size for file in place.iterdir()) <= max(sizes)


@pytest.mark.parametrize("view", ["function", "file", "process", "rank", "node", "error", "size", "directory", "time"])
def test_runs_that_are_known_one_by_one_are_put_together(made, tmp_path, capsys, reads, view) -> None:
    directory = tmp_path / "nodes"
    directory.mkdir()
    traces = [node(made, directory, number) for number in range(NODES)]
    expected = text_of(capsys, directory, "--by", view, "--json", "--fresh")
    for file in (tmp_path / "cache", tmp_path / "prefix/var/lib/datacrumbs/kept"):
        shutil.rmtree(file, ignore_errors=True)
    reads.clear()
    for trace in traces:
        text_of(capsys, trace, "--by", view)
    assert reads == [1] * NODES
    assert text_of(capsys, directory, "--by", view, "--json") == expected
    # Parts of all runs together, and directories of one node, are others than those of each.
    assert bool(reads[NODES:]) == (view in {"directory", "time"})
    assert sum(reads[NODES:]) <= NODES
    some = text_of(capsys, *traces[1:3], "--by", view, "--json")
    assert text_of(capsys, *traces[1:3], "--by", view, "--json", "--fresh") == some


@pytest.mark.parametrize(
    "options", [("--by", view) for view in ("function", "file", "node", "directory")] + [("--csv",)]
)
def test_only_the_new_run_of_a_directory_is_read(made, tmp_path, capsys, reads, options) -> None:
    directory = tmp_path / "nodes"
    directory.mkdir()
    for number in range(NODES - 1):
        node(made, directory, number)
    text_of(capsys, directory, *options)
    node(made, directory, NODES - 1)
    both = [text_of(capsys, directory, *options) for _ in range(2)]
    assert reads == [NODES - 1, 1]
    assert both == [text_of(capsys, directory, *options, "--fresh")] * 2


def test_a_comparison_reads_only_the_new_run(made, tmp_path, capsys, reads) -> None:
    directory = tmp_path / "nodes"
    directory.mkdir()
    first, second, third = (node(made, directory, number) for number in range(3))
    text_of(capsys, first, "--compare", second, "--json")
    found = text_of(capsys, first, "--compare", second, third, "--json")
    assert reads == [1, 1, 1]
    assert text_of(capsys, first, "--compare", second, third, "--json", "--fresh") == found


def test_an_estimate_beside_a_known_run(made, trace, tmp_path, capsys, reads) -> None:
    text_of(capsys, trace, "--by", "process")
    lines = [made.profile("write", "POSIX", 1000, 23, process=99)]
    added_up = made.write(tmp_path / "profile.pfw.gz", [], before=lines, lines=0, run_id="two")
    both = text_of(capsys, trace, added_up, "--by", "process", "--json")
    assert reads == [1, 1, 2]
    assert text_of(capsys, trace, added_up, "--by", "process", "--json", "--fresh") == both


def test_a_run_of_a_directory_is_known(made, tmp_path, capsys, reads) -> None:
    directory = tmp_path / "nodes"
    directory.mkdir()
    traces = [node(made, directory, number) for number in range(NODES)]
    first = text_of(capsys, directory, "--json")
    assert text_of(capsys, directory, "--json") == first
    for trace in traces:
        text_of(capsys, trace, "--by", "file")
    assert reads == [NODES]
    assert text_of(capsys, traces[2], "--by", "function", "--json") == text_of(
        capsys, traces[2], "--by", "function", "--json", "--fresh"
    )


@pytest.fixture
def parts(made, tmp_path) -> list[Path]:
    """A run in two files, the second of which has what is inside the call in the first."""
    outer = [made.call("fwrite", "STDIO", 1000, 1_000, bytes=7)]
    inner = [made.call("write", "POSIX", 1000 + 23 * number, 11, bytes=7) for number in range(41)]
    return [made.write(tmp_path / f"{part}.pfw.gz", calls, part=part) for part, calls in enumerate((outer, inner))]


def test_files_of_one_run_stay_together(parts, capsys, reads) -> None:
    for part in parts:
        text_of(capsys, part, "--by", "process")
    both = [text_of(capsys, *parts, "--by", "process", "--json") for _ in range(2)]
    assert reads == [1, 1, 2]
    assert both[0] == both[1]
    assert [row["count"] for row in json.loads(both[0])["processes"]] == [1, 0]


def test_files_whose_first_lines_do_not_say_so_are_of_one_run(parts, capsys, reads, monkeypatch) -> None:
    expected = text_of(capsys, *parts, "--by", "process", "--json")
    monkeypatch.setattr(known_runs, "files_by_run", lambda paths: [[number] for number in range(len(paths))])
    for part in parts:
        text_of(capsys, part, "--by", "process")
    assert text_of(capsys, *parts, "--by", "process", "--json") == expected
    assert reads == [2, 1, 1, 2]


def test_more_rows_than_are_kept_are_read_once(made, tmp_path, capsys, reads, monkeypatch) -> None:
    monkeypatch.setattr(known_runs, "FILES_OF_PAGE", 7)
    names = {f"{number:016x}": f"/data/{number}" for number in range(31)}
    calls = [
        made.call("write", "POSIX", 100 * number, number + 3, bytes=number, fhash=list(names)[number % 31])
        for number in range(COUNT)
    ]
    trace = made.write(tmp_path / "files.pfw.gz", calls, names)
    text_of(capsys, trace)
    few = text_of(capsys, trace, "--by", "file", "--limit", "5", "--json")
    assert reads == [1]
    every = [text_of(capsys, trace, "--by", "file", "--json") for _ in range(2)]
    assert reads == [1, 1]
    assert every[0] == every[1]
    assert json.loads(every[0])["files"][:5] == json.loads(few)["files"]
    assert len(json.loads(every[0])["files"]) == 31
