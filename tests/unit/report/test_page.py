"""The page of a report: its figures, what it says of gaps, and that no name does harm in it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from datacrumbs.commands.report import COMMAND
from datacrumbs.errors import DatacrumbsError
from datacrumbs.report.call_selection import CallSelection, select, select_profiles
from datacrumbs.report.page.contents import Contents, gather
from datacrumbs.report.page.figures import PAGE_VIEWS
from datacrumbs.report.page.rendering import render, unbroken
from datacrumbs.report.selected_calls import SelectedCalls
from datacrumbs.report.summary import table
from datacrumbs.report.tables import shown
from datacrumbs.trace.reader import read_traces

if TYPE_CHECKING:
    from pathlib import Path

VOID = {"meta", "link", "input", "path", "rect"}
LIMIT = 3_000_000
SUMS = ("count", "errors", "bytes", "time_us")


class Page(HTMLParser):
    """A page as its parts: tables by name, elements with their attributes, text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self._rows: list[list[str]] | None = None
        self._cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "table":
            self._rows = self.tables.setdefault(dict(attrs)["id"].removesuffix("-table"), [])
        elif tag == "tr" and self._rows is not None:
            self._rows.append([])
        elif tag in {"td", "th"} and self._rows is not None:
            self._rows[-1].append("")
            self._cell = True
        elif tag == "title":
            self._cell = False

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self._rows, self._cell = None, False

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self._rows and self._cell and self._rows[-1]:
            self._rows[-1][-1] += data

    def column(self, name: str, heading: str) -> list[str]:
        head, *rows = self.tables[name]
        return [row[[cell.strip() for cell in head].index(heading)].strip() for row in rows]

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def contents_of(*paths: Path, **selected: Any) -> Contents:
    calls = SelectedCalls(read_traces(list(paths)), CallSelection(**selected), PAGE_VIEWS)
    return gather(calls, selected=bool(selected))


def page_of(*paths: Path, **selected: Any) -> Page:
    return Page(render(contents_of(*paths, **selected)))


def data_of(page_text: str) -> dict[str, Any]:
    packed = re.search(r'<script type="application/octet-stream" id="data">([^<]*)</script>', page_text)
    assert packed
    return json.loads(gzip.decompress(base64.b64decode(packed[1])))


@pytest.fixture
def trace(synthetic, tmp_path: Path) -> Path:
    return synthetic.write_trace(tmp_path / "run.pfw.gz", 12, lost=((synthetic.READ, 5),))


@pytest.mark.parametrize(
    ("view", "name", "own", "columns"),
    [
        (
            "function",
            "operations",
            "name",
            ("count", "errors", "bytes", "time_us", "p50_us", "p90_us", "p99_us", "max_us"),
        ),
        ("file", "files", "path", (*SUMS, "p99_us", "max_us")),
        ("channel", "channels", "path", (*SUMS, "max_us")),
        ("process", "processes", "process", (*SUMS, "p99_us", "max_us")),
        ("layer", "layers", "layer", SUMS),
    ],
)
def test_figures_are_those_of_the_tables(trace: Path, view: str, name: str, own: str, columns: tuple[str, ...]) -> None:
    headings = {"count": "calls", "errors": "errors", "bytes": "bytes", "time_us": "time", "path": "file"}
    headings |= {"p50_us": "p50", "p90_us": "p90", "p99_us": "p99", "max_us": "max", "name": "function"}
    traces = read_traces([trace])
    rows = table(traces, select(traces, CallSelection()), select_profiles(traces, CallSelection()), view)
    page = page_of(trace)
    expected = sorted(tuple(shown(key, row) for key in (own, *columns)) for row in rows)
    in_page = [page.column(name, headings.get(key, key)) for key in (own, *columns)]
    assert sorted(zip(*in_page, strict=True)) == expected
    assert rows


def test_failures_are_by_file_and_errno(made, tmp_path: Path) -> None:
    calls = [made.call("open", "POSIX", 10 * turn, 1, ret=-1, errno=2, fhash="aa") for turn in range(7)]
    calls += [made.call("open", "POSIX", 1000, 1, ret=-1, errno=13, fhash="bb"), made.call("close", "POSIX", 2000, 1)]
    calls += [made.call("epoll_ctl", "SYS", 3000, 1, ret=-1, errno=9)]
    page = page_of(made.write(tmp_path / "a.pfw.gz", calls, {"aa": "/a", "bb": "/b"}))
    found = zip(*(page.column("errors", heading) for heading in ("file", "error", "calls")), strict=True)
    assert sorted(found) == [("(no file)", "EBADF", "1"), ("/a", "ENOENT", "7"), ("/b", "EACCES", "1")]


def test_heat_map_has_the_time_of_the_processes(trace: Path) -> None:
    contents = contents_of(trace)
    rows = {(0, row["pid"]): row for row in contents.tables["process"].rows}
    heat = contents.figures.heat
    assert set(heat.places) == set(rows)
    for place, time, moved in zip(heat.places, heat.time_us, heat.bytes, strict=True):
        assert time.sum() == rows[place]["time_us"]
        assert moved.sum() == rows[place]["bytes"]


def test_a_call_over_several_stretches_is_in_each(made, tmp_path: Path) -> None:
    calls = [made.call("read", "POSIX", 0, 2400), made.call("read", "POSIX", 100, 13, process=8)]
    heat = contents_of(made.write(tmp_path / "a.pfw.gz", calls)).figures.heat
    assert heat.time_us[0].sum() == 2400
    assert set(heat.time_us[0][:-1]) == {heat.width_us}
    assert heat.time_us[1].sum() == 13


def test_distributions_have_every_call(trace: Path) -> None:
    contents = contents_of(trace)
    categories = {"HDF5": "HDF5", "MPI-IO": "MPIIO", "STDIO": "STDIO", "POSIX": "POSIX", "system calls": "SYS"}
    for row in contents.functions:
        found = contents.figures.spread[categories.get(row["layer"], "BLOCK"), row["name"]]
        assert sum(found.times.values()) == row["count"]


@pytest.mark.parametrize("bits", range(1, 62))
def test_sizes_are_in_their_class(made, tmp_path: Path, bits: int) -> None:
    sizes = (2**bits - 1, 2**bits)
    calls = [made.call("read", "POSIX", 100 * turn, 1, bytes=size) for turn, size in enumerate(sizes)]
    (found,) = contents_of(made.write(tmp_path / "a.pfw.gz", calls)).figures.spread.values()
    assert found.sizes == {bits: 1, bits + 1: 1}


def test_time_of_layers(made, tmp_path: Path) -> None:
    calls = [
        made.call("H5Dwrite", "HDF5", 0, 100),
        made.call("fwrite", "STDIO", 10, 50),
        made.call("write", "POSIX", 20, 30),
        made.call("write", "POSIX", 70, 7),
        made.call("write", "POSIX", 40, 100, process=8),
    ]
    busy = contents_of(made.write(tmp_path / "a.pfw.gz", calls)).figures.busy
    assert busy.own_us == {"HDF5": 100 - 50 - 7, "STDIO": 20, "POSIX": 137}
    assert busy.wall_us == {"HDF5": 100, "STDIO": 50, "POSIX": 140 - 20}
    assert (busy.total_us, busy.span_us) == (140, 140)


def test_windows_have_nested_slices(made, tmp_path: Path) -> None:
    calls = [made.call("fwrite", "STDIO", 0, 90), made.call("write", "POSIX", 10, 31, bytes=5, fhash="aa")]
    calls += [made.call("read", "POSIX", 50_000, 50_000, fhash="ff")]  # a wait
    contents = contents_of(made.write(tmp_path / "a.pfw.gz", calls, {"aa": "/a", "ff": "pipe:[1]"}))
    first = contents.figures.windows[0]
    assert (first.begin_us, first.time_us) == (0, 90)
    assert [(each.name, each.depth, each.duration_us, each.path) for each in first.slices] == [
        ("fwrite", 0, 90, ""),
        ("write", 1, 31, "/a"),
    ]
    assert not any(each.name == "read" for window in contents.figures.windows for each in window.slices)


def test_windows_show_what_they_were_chosen_for(made, tmp_path: Path) -> None:
    waits = [made.call("read", "POSIX", 0, 100_000, fhash="ff", thread=100 + number) for number in range(31)]
    stack = [
        made.call("fwrite", "STDIO", 41_300, 300, thread=9),
        made.call("write", "POSIX", 41_310, 280, bytes=5, fhash="aa", thread=9),
        made.call("write", "POSIX", 41_290, 400, bytes=5, fhash="aa", thread=8),
    ]
    contents = contents_of(made.write(tmp_path / "a.pfw.gz", waits + stack, {"aa": "/a", "ff": "pipe:[1]"}))
    first = contents.figures.windows[0]
    assert first.begin_us <= 41_290
    assert first.begin_us + first.width_us >= 41_690
    assert [thread for _, _, thread in first.lanes[:2]] == [8, 9]  # a nested call adds nothing
    assert len(first.lanes) == 24
    assert {each.name for each in first.slices} == {"fwrite", "write", "read"}


HOSTILE = (
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'onmouseover='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "<!--",
    "]]>",
    "javascript:alert(1)",
    "=HYPERLINK(0)",
    "\x1b]0;owned\x07\x1b[31m",
    "\u202egnp.exe",
    "a\u2028b\x00c\x7f\x9b",
    "line\nbreak\ttab\r",
    "&lt;b&gt;&#60;",
    "~" * 5000,
)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text(made, tmp_path: Path, name: str) -> None:
    process = made.metadata("process_name", {"name": name}, 7)
    files = {"aa": f"/data/{name}", "bb": name, "cc": f"socket:[{name}]"}
    calls = [made.call(name[:60], "POSIX", 0, 10, fhash="aa", bytes=3)]
    calls += [made.call("open", name[:60], 20, 5, fhash="bb", bytes=3)]
    calls += [
        made.call("open", "POSIX", 40, 5, fhash="bb", ret=-1, errno=2),
        made.call("read", "SYS", 60, 5, fhash="cc"),
    ]
    facts = made.metadata("datacrumbs_provenance", {"command": name, name[:50]: name})
    path = made.write(tmp_path / "a.pfw.gz", calls, files, host=name, user=name, run_id=name, before=[process, facts])
    text, plain = render(contents_of(path)), made.write(tmp_path / "b.pfw.gz", [made.call("x", "POSIX", 0, 1)])
    page = Page(text)
    # No element and no attribute that a page without such names does not have.
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in page_of(plain).elements} | ALLOWED
    keys = {key for _, attributes in page.elements for key in attributes}
    assert not {key for key in keys if key.startswith("on") or key in {"style", "src"}}
    assert [attributes for tag, attributes in page.elements if tag == "script"] == SCRIPTS
    assert re.search(r"[^\n\t -~\u00a0-\u2027\u202f-\U0010ffff]", text) is None
    data = data_of(text)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e]", "".join(data["windows"]["paths"]))


ALLOWED = {"small", "h3"}
SCRIPTS = [{"type": "application/octet-stream", "id": "data"}, {}]


def test_nothing_but_its_own_code_may_run(trace: Path) -> None:
    text = render(contents_of(trace))
    policy = next(a["content"] for tag, a in Page(text).elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for kind in ("script", "style"):
        (code,) = re.findall(rf"<{kind}>(.*?)</{kind}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    targets = {a[key] for _, a in Page(text).elements for key in ("href", "src") if key in a}
    assert all(target.startswith("#") or target == "data:," for target in targets)
    assert "http:" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "https:" not in text


def test_gaps_are_said_at_the_top(trace: Path, synthetic, made, tmp_path: Path) -> None:
    assert "5 calls were lost: no figure has them." in page_of(trace).text
    whole = synthetic.write_trace(tmp_path / "whole.pfw.gz", 3)
    assert "The trace is complete: every call" in page_of(whole).text
    short = synthetic.write_trace(tmp_path / "short.pfw.gz", 3, close=False)
    text = page_of(short).text
    assert text.index("The trace is not complete") < text.index(f"{short}: cut short") < text.index("Cost by layer")
    assert "Only a selection of the calls is in this page" in page_of(whole, names=("read",)).text


def test_profiles_are_answered_from_sums(made, tmp_path: Path) -> None:
    head = [made.profile("write", "POSIX", 1000, 101), made.profile("read", "SYS", 1500, 7, process=8)]
    page = page_of(made.write(tmp_path / "a.pfw.gz", [], before=head))
    assert "108 calls were only added up" in page.text
    assert page.column("operations", "calls") == ["101", "7"]
    assert "windows" not in page.tables
    assert "Self and busy time are not known" in page.text


def test_a_sampled_run_is_marked(made, tmp_path: Path) -> None:
    about = {"category": "POSIX", "function": "read", "symbol": "read", "one_of": 10}
    calls = [made.call("read", "POSIX", 100 * turn, 10 + turn, bytes=5) for turn in range(11)]
    counts = {"category": "POSIX", "name": "read", "symbol": "read", "entered": 110, "recorded": 11, "filtered": 99}
    counts |= {"filtered_sampled": 99, "counted": 0, "unmatched": 0, "in_flight": 0}
    before = [made.metadata("datacrumbs_sampled", about), made.metadata("datacrumbs_counts", counts)]
    contents = contents_of(made.write(tmp_path / "a.pfw.gz", calls, before=before))
    page = Page(render(contents))
    assert "Some functions were sampled" in page.text
    (row,) = contents.tables["process"].rows
    assert contents.figures.heat.time_us.sum() == pytest.approx(row["time_us"])
    assert page.column("operations", "time")[0].startswith("~")
    assert sum(contents.figures.spread["POSIX", "read"].times.values()) == pytest.approx(110)


def test_an_empty_trace_has_a_page(made, tmp_path: Path) -> None:
    page = page_of(made.write(tmp_path / "a.pfw.gz", []))
    assert "No call on a file." in page.text
    assert "The trace is complete" in page.text


def test_a_large_page_stays_small(made, tmp_path: Path) -> None:
    names = {f"{file:04x}": f"/scratch/{file}/" + f"x{file:05}" * 83 for file in range(7001)}
    calls = [
        made.call("read", "POSIX", 7 * turn, 5, bytes=turn, process=7 + turn % 301, fhash=key, **failed)
        for turn, key in enumerate(names)
        for failed in ({}, {"ret": -1, "errno": 5})
    ]
    path = made.write(tmp_path / "a.pfw.gz", calls, names)
    text = render(contents_of(path))
    assert len(text.encode()) < LIMIT
    page = Page(text)
    kept = len(page.column("files", "file"))
    assert 1000 < kept < 5000
    assert f"{7001 - kept:,} more, not in this page" in page.text
    assert "all others" in data_of(text)["heat"]["names"]


def test_the_command_writes_it(trace: Path, tmp_path: Path, capsys) -> None:
    place = tmp_path / "out.html"
    assert COMMAND.run([str(trace), "--html", str(place)]) == 0
    assert place.read_text("utf-8").startswith("<!doctype html>")
    assert capsys.readouterr().out == ""
    with pytest.raises(DatacrumbsError, match="No such file or directory"):
        COMMAND.run([str(trace), "--html", str(tmp_path / "missing/out.html")])


def test_csv_has_no_formulas(made, tmp_path: Path, capsys) -> None:
    path = made.write(tmp_path / "a.pfw.gz", [made.call("read", "POSIX", 0, 1, fhash="aa")], {"aa": "=cmd|' /C x'!A0"})
    assert COMMAND.run([str(path), "--csv", "--by", "file"]) == 0
    assert "\n'=cmd|" in capsys.readouterr().out


def test_calls_without_a_duration_have_a_page(made, tmp_path: Path) -> None:
    calls = [made.call("read", "POSIX", turn, 0, bytes=3) for turn in range(7)]
    assert page_of(made.write(tmp_path / "a.pfw.gz", calls)).column("operations", "time") == ["<7 us"]


def test_very_many_layers_have_a_page(made, tmp_path: Path) -> None:
    calls = [made.call("f", f"LAYER{turn}", 10 * turn, 3) for turn in range(301)]
    contents = contents_of(made.write(tmp_path / "a.pfw.gz", calls))
    assert contents.figures.busy.own_us == {f"LAYER{turn}": 3 for turn in range(301)}
    assert len(Page(render(contents)).column("layers", "layer")) == 301


def test_a_comparison_has_the_figures_of_the_table(made, tmp_path: Path, capsys) -> None:
    """With effect and significance, and the rest of the page is of the later runs."""

    def run(name: str, time: int, second: str) -> Path:
        calls = [made.call("read", "SYS", 1000 * turn, time + turn % 5, ret=7, bytes=7) for turn in range(211)]
        calls.append(made.call(second, "SYS", 500, 10))
        return made.write(tmp_path / f"{name}.pfw.gz", calls, run_id=name, host=name)

    before, after = run("before", 100, "fsync"), run("after", 150, "<b>sync")
    place = tmp_path / "page.html"
    assert COMMAND.run([str(before), "--compare", str(after), "--html", str(place), "--fail-on", "regression"]) == 4
    page = Page(place.read_text())
    assert page.column("compared", "function") == ["read", "<b>sync", "fsync"]
    assert page.column("compared", "calls before") == ["211", "0", "1"]
    assert page.column("compared", "calls after") == ["211", "1", "0"]
    assert page.column("compared", "verdict") == ["slower", "new", "gone"]
    assert page.column("compared", "effect") == ["+49%", "", ""]
    assert page.column("compared", "p") == ["<0.001", "", ""]
    assert "1 run before, 1 run after: indicative only" in page.text
    assert "2 functions take more time than before" in page.text
    assert sorted(page.column("operations", "function")) == ["<b>sync", "read"]
    capsys.readouterr()
    assert COMMAND.run([str(before), "--compare", str(after)]) == 0
    table = capsys.readouterr().out
    (row,) = [line for line in table.splitlines() if " read " in line]
    assert all(each in row for each in ("+49%", "<0.001", "slower", page.column("compared", "per call after")[0]))


def test_numbers_and_units_stay_together() -> None:
    assert unbroken("101 ms of 3 B, 4.0 KiB, 7 s") == "101\u00a0ms of 3\u00a0B, 4.0\u00a0KiB, 7\u00a0s"
    assert unbroken("2 sums, 3 ranks, rank 3") == "2 sums, 3 ranks, rank 3"
