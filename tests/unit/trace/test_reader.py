"""Reading traces back, whole, cut at any byte, damaged, and DFTracer's own."""

from __future__ import annotations

import gc
import gzip
import json
import random
import resource
import shutil
import zlib
from typing import TYPE_CHECKING

import polars as pl
import pytest

from datacrumbs.errors import DatacrumbsError
from datacrumbs.secure.files import DEEPEST
from datacrumbs.trace import call_store, members, own_lines
from datacrumbs.trace.members import TraceText
from datacrumbs.trace.reader import DETAILS, find_traces, read_traces

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = 11


@pytest.fixture
def trace(synthetic, tmp_path: Path) -> Path:
    return synthetic.write_trace(tmp_path / "run.pfw.gz", ROUNDS)


def test_a_whole_trace_is_complete(synthetic, trace: Path) -> None:
    traces = read_traces([trace])
    (file,) = traces.files
    assert file.complete, file.shortcoming
    assert (file.host, file.run["user"], file.provenance["signer"]) == ("node1", "user", "host")
    assert file.lines == len(synthetic.records(ROUNDS)) == sum(counts["recorded"] for counts in file.counts)
    assert {event["event"] for event in file.events} == {"start", "exec", "fork", "exit"}
    assert traces.processes == {(0, 1000): "dd", (0, 1001): "dd", (0, 1002): "dd"}


def test_details(tmp_path: Path) -> None:
    arguments = [
        {"fd": 3, "offset": 8192, "count": 100, "flags": 577, "whence": 2, "sector": 7, "rwbs": 22355},
        {"fd": -100, "count": 2**63, "offset": -1, "sector": 2**64 - 1},  # of which two do not fit, as in a flush
        {},
    ]
    lines = [{"name": "a", "cat": "C", "ph": "X", "pid": 1, "tid": 1, "ts": 1, "dur": 0, "args": a} for a in arguments]
    path = tmp_path / "run.pfw.gz"
    path.write_bytes(gzip.compress("\n".join(["[", *map(json.dumps, lines), "]", ""]).encode()))
    calls = read_traces([path], details=True).calls.collect()
    assert calls.select(list(DETAILS)).schema == DETAILS
    rows = calls.select("fd", "offset", "count", "whence", "flags", "sector", "rwbs").rows()
    assert rows == [(3, 8192, 100, 2, 577, 7, 22355), (-100, -1, None, None, None, None, None), (None,) * 7]
    assert "fd" not in read_traces([path]).calls.collect_schema()


def test_columns(synthetic, trace: Path) -> None:
    calls = read_traces([trace]).calls.collect()
    assert calls.columns == [
        "trace",
        "order",
        "category",
        "name",
        "symbol",
        "pid",
        "tid",
        "ts",
        "dur",
        "ret",
        "errno",
        "bytes",
        "fhash",
        "to_hash",
        "depth",
        "end",
        "path",
        "target",
    ]
    assert len(calls) == len(synthetic.records(ROUNDS))
    names = calls["name"].cast(pl.String)
    assert set(calls.filter(names == "stat")["path"]) == {"/home/user/sub/../file"}
    assert calls.filter(names == "stat")["errno"].to_list() == [2] * 6 * ROUNDS
    assert calls.filter(names == "close")["path"].null_count() == 6 * ROUNDS
    assert calls.filter(names == "MPI_File_write")["bytes"].to_list() == [2048] * 6 * ROUNDS


def test_bytes_that_are_no_text_come_back(synthetic, trace: Path) -> None:
    assert list(read_traces([trace]).raw_paths.values()) == [synthetic.FILES[3]]


def test_a_trace_cut_at_any_byte_gives_all_whole_members(synthetic, tmp_path: Path, whole_members) -> None:
    data = synthetic.trace_bytes(300)
    chooser = random.Random(3)
    places = [11, 12, 30, len(data) - 1, len(data) - 9, *(chooser.randrange(30, len(data)) for _ in range(12))]
    for place in places:
        path = tmp_path / f"cut-{place}.pfw.gz"
        path.write_bytes(data[:place])
        file = read_traces([path]).files[0]
        assert not file.complete
        assert "cut short" in file.shortcoming
        assert file.lines >= whole_members(data[:place]).count(b'"ph":"X"')


@pytest.mark.parametrize("size", [1, 2, 7, 61, 1009])
def test_lines_in_several_slices_come_whole(synthetic, trace: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "SLICE_SIZE", size)
    found = list(TraceText(trace).worked(lambda texts: [bytes(text) for text in texts]))
    assert b"".join(text for texts in found for text in texts) == gzip.decompress(trace.read_bytes())
    assert len([text for texts in found for text in texts]) > 3
    assert all(text.endswith(b"\n") for texts in found for text in texts)


def test_a_killed_daemon_leaves_a_trace_without_footer(synthetic, tmp_path: Path) -> None:
    path = tmp_path / "killed.pfw.gz"
    path.write_bytes(synthetic.trace_bytes(ROUNDS, close=False))
    (file,) = read_traces([path]).files
    assert file.shortcoming == "cut short: no footer"
    assert file.lines == len(synthetic.records(ROUNDS))


def test_a_lost_member_is_noticed(synthetic, tmp_path: Path) -> None:
    data = synthetic.trace_bytes(2000)
    first = zlib.decompressobj(wbits=31)
    first.decompress(data)
    second = zlib.decompressobj(wbits=31)
    second.decompress(first.unused_data)
    head = data[: len(data) - len(first.unused_data)]
    path = tmp_path / "gap.pfw.gz"
    path.write_bytes(head + second.unused_data)
    assert "calls are in the file" in read_traces([path]).files[0].shortcoming


def test_altered_bytes_are_noticed(synthetic, tmp_path: Path) -> None:
    data = bytearray(synthetic.trace_bytes(300))
    for place in random.Random(5).sample(range(len(data) // 3, len(data) - 100), 8):
        altered = data.copy()
        altered[place] ^= 0x55
        path = tmp_path / "altered.pfw.gz"
        path.write_bytes(altered)
        assert not read_traces([path]).files[0].complete


def test_lines_that_are_no_json_are_counted(synthetic, tmp_path: Path) -> None:
    text = gzip.decompress(synthetic.trace_bytes(3)).splitlines(keepends=True)
    text.insert(40, b"{broken\n")
    path = tmp_path / "broken.pfw.gz"
    path.write_bytes(gzip.compress(b"".join(text)))
    (file,) = read_traces([path]).files
    assert file.shortcoming == "damaged: 1 line cannot be read"
    assert file.lines == len(synthetic.records(3))


def test_more_calls_than_memory_may_hold(synthetic, trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_store, "FILE_ROWS", 97)
    columns = [pl.col("name").cast(pl.String), "ts", "dur", "path"]
    whole = read_traces([trace]).calls.select(columns).sort(pl.all()).collect()
    spilled = read_traces([trace, trace], memory=1)
    assert spilled.spill
    assert len(list(spilled.spill.iterdir())) > 1
    calls = spilled.calls.filter(pl.col("trace") == 1).select(columns).sort(pl.all()).collect()
    assert calls.equals(whole)
    place = spilled.spill
    del spilled
    gc.collect()
    assert not place.exists()


def test_several_traces_and_directories(synthetic, tmp_path: Path) -> None:
    for host in "ab":
        synthetic.write_trace(tmp_path / f"{host}.pfw.gz", 2)
    (tmp_path / "notes.txt").write_text("not a trace")
    found = find_traces([tmp_path, tmp_path / "a.pfw.gz"])
    assert [path.name for path in found] == ["a.pfw.gz", "b.pfw.gz"]
    traces = read_traces(found)
    assert traces.calls.select(pl.len()).collect().item() == 2 * len(synthetic.records(2))


def test_an_empty_run(synthetic, tmp_path: Path) -> None:
    path = synthetic.write_trace(tmp_path / "empty.pfw.gz", 0)
    traces = read_traces([path])
    assert traces.files[0].complete
    assert traces.files[0].lines == 6  # each thread's exit_group


def test_a_dftracer_trace_has_calls_but_no_verdict(tmp_path: Path) -> None:
    common = '"cat":"POSIX","pid":5,"tid":6,"ts":1000,"dur":7,"ph":"X","args":{"hhash":"a","fhash":"f1"'
    lines = [
        "[",
        '{"id":1,"name":"FH","cat":"dftracer","pid":5,"tid":6,"ph":"M","args":{"hhash":"a","name":"/x","value":"f1"}}',
        f'{{"id":2,"name":"read",{common},"ret":100}}}}',
        f'{{"id":3,"name":"read",{common},"ret":-1}}}}',
        f'{{"id":4,"name":"lseek",{common},"ret":100}}}}',
        "]",
    ]
    path = tmp_path / "dftracer.pfw.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    traces = read_traces([path])
    calls = traces.calls.collect()
    assert calls["bytes"].to_list() == [100, None, None]
    assert calls["errno"].to_list() == [None, 0, None]
    assert set(calls["path"]) == {"/x"}
    assert "not a DataCrumbs trace" in traces.files[0].shortcoming


def test_what_expands_without_end_is_refused_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pfw.gz"
    path.write_bytes(gzip.compress(b"[\n" + bytes(1 << 28), 9))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DatacrumbsError, match="a line of more than 64 MiB"):
        read_traces([path])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 << 10


def test_a_raw_name_that_is_no_hexadecimal_leaves_the_name(tmp_path: Path) -> None:
    lines = [
        "[",
        '{"name":"FH","cat":"dftracer","pid":0,"tid":0,"ph":"M","args":{"name":"/x","value":"f1","raw":"2f/"}}',
        '{"name":"read","cat":"POSIX","pid":5,"tid":6,"ts":1,"dur":7,"ph":"X","args":{"fhash":"f1","ret":1}}',
        "]",
    ]
    path = tmp_path / "raw.pfw.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    traces = read_traces([path])
    assert traces.raw_paths == {}
    assert traces.calls.collect()["path"].to_list() == ["/x"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "empty"),
        (b"[\n]\n", "not a gzip file"),
        (gzip.compress(b'{"payload": "AA=="}'), "contains no trace line"),
        (gzip.compress(b"notes\nof someone\n"), "contains no trace line"),
    ],
)
def test_files_that_are_no_traces(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "bad.pfw.gz"
    path.write_bytes(content)
    with pytest.raises(DatacrumbsError, match=problem) as caught:
        read_traces([path])
    assert caught.value.exit_code == 2


def test_places_without_traces(tmp_path: Path) -> None:
    with pytest.raises(DatacrumbsError, match="no trace in this directory"):
        find_traces([tmp_path])
    with pytest.raises(DatacrumbsError, match="No such file"):
        find_traces([tmp_path / "missing"])


def test_directories_deeper_than_anything_recurses(trace: Path, tmp_path: Path) -> None:
    """Users nest them: a report by root is refused in words, and does not leave out what is deeper without one."""
    top = tmp_path / "top"
    inner = top.joinpath(*"d" * DEEPEST)
    inner.mkdir(parents=True)
    shutil.copy(trace, inner)
    assert find_traces([top]) == [inner / trace.name]
    deeper = inner / "d" / "d"
    deeper.mkdir(parents=True)
    with pytest.raises(DatacrumbsError, match=f"{inner}: .*directories more than {DEEPEST} deep") as caught:
        find_traces([top])
    assert caught.value.exit_code == 2
    assert find_traces([top / "d" / "d"]) == [inner / trace.name]


def test_a_part_that_never_began_is_passed_over(trace: Path, tmp_path: Path) -> None:
    directory = tmp_path / "traces"
    directory.mkdir()
    whole, empty = directory / "run.pfw.gz", directory / "run.1.pfw.gz"
    empty.touch()
    with pytest.raises(DatacrumbsError, match="no trace in this directory"):
        find_traces([directory])
    whole.write_bytes(trace.read_bytes())
    assert find_traces([directory]) == [whole]
    assert find_traces([empty]) == [empty]  # named, it is refused in words


def test_brackets_without_end_and_parts_without_number(made, tmp_path: Path) -> None:
    path = made.write(tmp_path / "run.pfw.gz", [made.call("read", "POSIX", 1, 1)], part=10**17)
    with gzip.open(path, "ab") as stream:
        stream.write(b'{"x":' + b"[" * 100_000 + b"\n")
    traces = read_traces([path])
    assert traces.files[0].shortcoming
    assert not traces.files[0].absent


def test_mounts_without_end(made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_lines, "MOST_MOUNTS", 7)
    lines = [made.metadata("datacrumbs_mount", {"point": f"/{number}", "local": 1}) for number in range(13)]
    path = made.write(tmp_path / "run.pfw.gz", [], {}, before=lines)
    (trace,) = read_traces([path]).files
    assert list(trace.mounts) == [f"/{number}" for number in range(7)]
