"""The lines of a trace, read with Python's own json and gzip."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from dataclasses import replace

import numpy as np
import pytest

import datacrumbs.trace.names
from datacrumbs.errors import DatacrumbsError
from datacrumbs.model.contract import TEXT_LIMIT
from datacrumbs.model.plan import Argument, Attach, Filters, Function, Group, Plan, Result, Role, Target
from datacrumbs.model.record import FIRST_KIND, RECORD, Batch, CallFlag, FunctionCounts, Name, NameKind
from datacrumbs.trace.footer import Footer
from datacrumbs.trace.names import BEYOND, PLACE_LIMIT, STRING_BEYOND, NameTable
from datacrumbs.trace.writer import TraceWriter, cut

from .texts import lines_of

ROUNDS = 11


def md5_of(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def calls_of(data: bytes, name: str = "") -> list[dict]:
    return [line for line in lines_of(data) if line["ph"] == "X" and name in ("", line["name"])]


def texts_of(lines: list[dict], kind: str) -> dict[str, str]:
    return {line["args"]["value"]: line["args"]["name"] for line in lines if line["name"] == kind}


def members(data: bytes) -> list[bytes]:
    import zlib

    found = []
    while data:
        inflater = zlib.decompressobj(wbits=31)
        found.append(inflater.decompress(data))
        assert inflater.eof
        data = inflater.unused_data
    return found


def written(synthetic, records: np.ndarray, names: tuple[Name, ...] = ()) -> list[dict]:
    return calls_of(synthetic.written([Batch(records, names)])[0])


def test_every_record_is_one_valid_line(synthetic) -> None:
    calls = calls_of(synthetic.trace_bytes(ROUNDS))
    records = synthetic.records(ROUNDS)
    assert len(calls) == len(records)
    assert sorted(call["id"] for call in calls) == list(range(len(calls)))
    expected = sorted(
        zip(
            ((records["start"].astype(np.int64) + synthetic.EPOCH) // 1000).tolist(),
            records["process"].tolist(),
            records["thread"].tolist(),
            [synthetic.FUNCTIONS[function].name for function in records["function"]],
            strict=True,
        )
    )
    assert sorted((call["ts"], call["pid"], call["tid"], call["name"]) for call in calls) == expected


def test_pid_and_tid_are_not_swapped_and_times_are_epoch(synthetic) -> None:
    calls = calls_of(synthetic.trace_bytes(1))
    assert {call["pid"] for call in calls} == {1000, 1001, 1002}
    assert {call["tid"] - call["pid"] for call in calls} == {0, 50}
    assert all(call["ts"] > synthetic.EPOCH // 1000 for call in calls)


def test_nesting_survives_rounding(synthetic) -> None:
    calls = calls_of(synthetic.trace_bytes(200))
    threads: dict[int, list[tuple[int, int]]] = {}
    for call in calls:
        threads.setdefault(call["tid"], []).append((call["ts"], call["ts"] + call["dur"]))
    for spans in threads.values():
        stack: list[int] = []
        for begin, end in sorted(spans, key=lambda span: (span[0], -span[1])):
            while stack and stack[-1] <= begin:
                stack.pop()
            assert not stack or end <= stack[-1]
            stack.append(end)


def test_outer_calls_come_before_inner_ones_of_the_same_microsecond(synthetic) -> None:
    seen: dict[tuple[int, int], int] = {}
    ties = 0
    for call in calls_of(synthetic.trace_bytes(200)):
        if call["name"] not in {"read", "fread"} or call["args"]["ret"] <= 0:
            continue
        key = (call["tid"], call["ts"])
        ties += key in seen
        assert seen.get(key, call["dur"]) >= call["dur"]
        seen[key] = call["dur"]
    assert ties > 10


def test_results_errors_and_bytes(synthetic) -> None:
    data = synthetic.trace_bytes(ROUNDS)
    reads = [call["args"] for call in calls_of(data, "read")]
    failed = [call for call in reads if "errno" in call]
    assert {(call["ret"], call["errno"]) for call in failed} == {(-1, 14)}
    assert all("bytes" not in call for call in failed)
    assert {(call["ret"], call["bytes"]) for call in reads if "errno" not in call} == {(4096, 4096), (0, 0)}
    # The system call's own -errno tells the errno where the record has none.
    assert {(call["args"]["ret"], call["args"]["errno"]) for call in calls_of(data, "stat")} == {(-1, 2)}
    assert {(call["args"]["ret"], call["args"]["errno"]) for call in calls_of(data, "close")} == {(-1, 9)}


def test_items_become_bytes(synthetic) -> None:
    for call in calls_of(synthetic.trace_bytes(ROUNDS), "fread"):
        size = call["args"]["count"] // 10
        assert 2 <= size <= 4
        assert call["args"]["size"] == 1
        assert call["args"]["ret"] == call["args"]["bytes"] == 7 * size


def test_snippet_fields_void_results_and_points(synthetic) -> None:
    data = synthetic.trace_bytes(ROUNDS)
    mpi = calls_of(data, "MPI_File_write")[0]["args"]
    assert mpi["bytes"] == 2048
    assert mpi["ret"] == 0
    assert "type" not in mpi
    assert mpi["arg_type"] == 13
    for call in calls_of(data, "block_rq_issue"):
        assert (call["ph"], call["dur"], "ret" in call["args"]) == ("X", 0, False)
        assert call["args"]["sector"] >= 2**63
        assert call["args"]["symbol"] == "block:block_rq_issue"
    assert all("ret" not in call["args"] for call in calls_of(data, "exit_group"))


def test_bytes_that_are_unknown_are_left_out(synthetic) -> None:
    records = synthetic.records(ROUNDS)
    transfers = records[records["function"] == synthetic.MPI_WRITE]
    transfers["values"][::2, -1] = 2**64 - 1
    told = [call["args"].get("bytes") for call in written(synthetic, transfers)]
    assert told[0] is None
    assert told == [None if index % 2 == 0 else 2048 for index in range(len(transfers))]


def test_widths_and_signs(synthetic) -> None:
    data = synthetic.trace_bytes(ROUNDS)
    opened = calls_of(data, "open")[0]["args"]
    assert opened["dirfd"] == -100
    assert opened["flags"] == (0o101 | 2**31) - 2**32
    assert opened["mode"] == 0o644
    assert opened["symbol"] == "openat"
    assert calls_of(data, "close")[0]["args"]["fd"] == -1
    assert 2**64 - 1 in {call["args"]["count"] for call in calls_of(data, "read")}
    assert min(call["args"]["offset"] for call in calls_of(data, "pwrite")) == 2**40


@pytest.mark.parametrize(
    "value", [0, 1, 9, 10, 9999, 10000, 99_999_999, 2**32 - 1, 2**53, 2**63 - 1, -1, -(2**63), -9999]
)
def test_numbers_of_all_lengths(synthetic, value: int) -> None:
    record = np.zeros(3, RECORD)
    record["function"], record["flags"] = synthetic.PWRITE, int(CallFlag.RETURNED)
    record["values"][:, 2] = [value % 2**64, 0, 7]
    assert [call["args"]["offset"] for call in written(synthetic, record)] == [value, 0, 7]


def test_names_are_joined_escaped_and_hashed(synthetic) -> None:
    data = synthetic.trace_bytes(ROUNDS)
    assert gzip.decompress(data).isascii()
    lines = lines_of(data)
    files = texts_of(lines, "FH")
    assert {"/data/plain.bin", synthetic.FILES[1], synthetic.FILES[2], "pipe:[4711]"} <= set(files.values())
    by_path = {path: value for value, path in files.items()}
    assert by_path["/data/plain.bin"] == md5_of(b"/data/plain.bin")[::2].hex()
    assert {files[call["args"]["fhash"]] for call in calls_of(data, "stat")} == {"/home/user/sub/../file"}
    assert {files[call["args"]["newpath_hash"]] for call in calls_of(data, "rename")} == {synthetic.FILES[1]}
    strings = texts_of(lines, "SH")
    assert {strings[call["args"]["dataset_hash"]] for call in calls_of(data, "H5Dopen2")} == {'group/"temperature"'}
    assert all("fhash" not in call["args"] for call in calls_of(data, "close"))


def test_bytes_that_are_no_text_stay_apart_and_can_be_restored(synthetic) -> None:
    lines = lines_of(synthetic.trace_bytes(ROUNDS))
    (line,) = [line for line in lines if "raw" in line["args"] and line["name"] == "FH"]
    assert line["args"]["name"] == "/data/inv��alid"
    assert bytes.fromhex(line["args"]["raw"]) == b"/data/inv\xff\xfealid"
    assert line["args"]["value"] == md5_of(b"/data/inv\xff\xfealid")[::2].hex()


def test_names_stand_before_their_use(synthetic) -> None:
    known: set[str] = set()
    for line in lines_of(synthetic.trace_bytes(ROUNDS)):
        if line["name"] in {"FH", "SH", "HH"}:
            known.add(line["args"]["value"])
        elif line["ph"] == "X":
            used = {value for key, value in line["args"].items() if key in {"hhash", "fhash"} or key.endswith("_hash")}
            assert used <= known


def test_threads_and_processes_are_introduced_before_use(synthetic) -> None:
    named: set[tuple[int, int]] = set()
    for line in lines_of(synthetic.trace_bytes(ROUNDS)):
        if line["name"] == "thread_name":
            named.add((line["pid"], line["tid"]))
        elif line["ph"] == "X":
            assert (line["pid"], line["tid"]) in named
    names = [line for line in lines_of(synthetic.trace_bytes(1)) if line["name"] == "process_name"]
    assert {line["args"]["name"] for line in names} == {"dd"}


def test_a_lost_name_is_told(synthetic) -> None:
    lines = lines_of(synthetic.written(synthetic.batches(3))[0])
    assert f"[lost name {synthetic.LOST:016x}]" in texts_of(lines, "FH").values()
    assert lines[-1]["args"]["names_unresolved"] == 1


def test_names_have_a_bound(synthetic) -> None:
    """Names are never forgotten, so programs that make them without end would take all memory."""
    table = NameTable("0" * 16, limit=100_003)
    for first in range(1, 20011, 101):
        table.add([Name(first + row, NameKind.LOCATION, 0, f"/{first + row:050}") for row in range(101)])
    kept = len(table)
    assert kept == -(-100_003 // (51 + 60))
    assert table.dropped == 101 * len(range(1, 20011, 101)) - kept
    assert table.text(kept).endswith(f"{kept}")
    hashes, _, lines = table.find(np.arange(kept, kept + 30_011, dtype=np.uint64), NameKind.LOCATION)
    assert len(set(hashes.tolist())) == 2
    assert len(table) == kept + 1
    assert [json.loads(line)["args"]["name"] for line in lines if BEYOND in line] == [BEYOND]
    assert table.unresolved == 0
    _, _, strings = table.find(np.array([2**40], dtype=np.uint64), NameKind.STRING)
    assert json.loads(strings[0])["args"]["name"] == STRING_BEYOND


def test_places_count_as_names_do() -> None:
    table = NameTable("0" * 16, limit=1009)
    table.add([Name(1, NameKind.PATH, 0, "/link")])
    table.add([Name(0, NameKind.PLACE, 1, f"/{number:0500}") for number in range(5)])
    assert table.dropped == 3


def test_names_that_are_dropped_are_told(synthetic) -> None:
    stream = io.BytesIO()
    writer = TraceWriter(stream, synthetic.plan(), host="n", epoch_offset_ns=0, user="u", flush_seconds=60, names_mib=1)
    for first in (1, 30_011):
        names = [Name(first + row, NameKind.LOCATION, 0, f"/{first + row:050}") for row in range(30_011)]
        writer.write(Batch(np.empty(0, RECORD), tuple(names)))
    synthetic.finish(writer)
    lines = lines_of(stream.getvalue())
    notes = [line["args"] for line in lines if line["name"] == "datacrumbs_note"]
    assert [note["event"] for note in notes] == ["names_full"]
    assert lines[-1]["args"]["names_dropped"] == 2 * 30_011 - -(-(1 << 20) // (51 + 60))


def test_an_empty_run_and_empty_batches(synthetic) -> None:
    stream = io.BytesIO()
    writer = synthetic.new_writer(stream)
    writer.write(Batch(np.empty(0, RECORD)))
    assert json.loads(gzip.decompress(stream.getvalue()).splitlines()[1])["name"] == "HH"
    synthetic.finish(writer)
    lines = lines_of(stream.getvalue())
    assert [line["name"] for line in lines] == ["HH", "datacrumbs_run", "datacrumbs_provenance", "datacrumbs_footer"]
    assert lines[-1]["args"]["entered"] == 0


def test_the_footer_accounts_for_every_call(synthetic) -> None:
    lines = lines_of(synthetic.trace_bytes(ROUNDS, lost=((synthetic.READ, 5),)))
    footer = lines[-1]["args"]
    calls = len(synthetic.records(ROUNDS))
    assert (footer["entered"], footer["recorded"], footer["lost_ring_full"]) == (calls + 5, calls, 5)
    counts = {line["args"]["function"]: line["args"] for line in lines if line["name"] == "datacrumbs_counts"}
    assert counts[synthetic.READ]["lost_ring_full"] == 5
    assert sum(count["recorded"] for count in counts.values()) == calls
    assert counts[synthetic.STAT]["symbol"] == "newfstatat"


def test_inclusion_path_filters_by_resolved_file(synthetic) -> None:
    plan = synthetic.plan(Filters(inclusion_path="/home/user/"))
    data, writer = synthetic.written(synthetic.batches(ROUNDS), plan)
    calls = calls_of(data)
    assert {call["name"] for call in calls} == {"stat"}
    assert len(calls) == 6 * ROUNDS == writer.recorded.sum()
    assert writer.filtered.sum() + writer.recorded.sum() == len(synthetic.records(ROUNDS))


@pytest.mark.parametrize("inclusion", ["", "/data/source", "/data/target", "/other"])
def test_a_call_on_two_files_names_both_and_is_of_either(synthetic, inclusion: str) -> None:
    arguments = (Argument(0, "fd", "int", Role.FD, 4), Argument(1, "to", "int", Role.TARGET_FD, 4))
    function = Function("copy_file_range", "copy_file_range", "POSIX", arguments=arguments, result=Result.BYTES)
    group = Group("sys", "system calls", Attach.SYSCALL, Target("", "6.1.0"), (function,))
    records = np.zeros(2, RECORD)
    records["flags"], records["result"], records["file"], records["values"][:, 1] = CallFlag.RETURNED, 7, 1, (2, 0)
    names = (Name(1, NameKind.LOCATION, 0, "/data/source"), Name(2, NameKind.LOCATION, 0, "/data/target"))
    plan = Plan((), (group,), filters=Filters(inclusion_path=inclusion))
    data, writer = synthetic.written([Batch(records, names)], plan)
    files = texts_of(lines_of(data), "FH")
    told = [(call["args"]["fhash"], call["args"].get("to_hash")) for call in calls_of(data)]
    wanted = {"": 2, "/data/source": 2, "/data/target": 1, "/other": 0}[inclusion]
    assert [(files[source], files.get(target)) for source, target in told] == [
        ("/data/source", "/data/target"),
        ("/data/source", None),
    ][:wanted]
    assert (writer.recorded.sum(), writer.filtered.sum()) == (wanted, 2 - wanted)


def test_members_end_at_lines_and_the_bracket_is_not_alone(synthetic) -> None:
    parts = members(synthetic.trace_bytes(2000))
    assert len(parts) > 2
    assert parts[0].startswith(b'[\n{"name":"HH"')
    assert all(part.endswith(b"\n") and len(part) <= 4 << 20 for part in parts)
    # The last two are flushed before their time, by the end of the run.
    assert all(len(part) >= 1 << 20 for part in parts[1:-2])


def test_long_text_is_cut_at_lines() -> None:
    text = b"".join(b"x" * 99 + b"\n" for _ in range(100_000))
    parts = list(cut(text))
    assert b"".join(parts) == text
    assert all(len(part) <= TEXT_LIMIT and part.endswith(b"\n") for part in parts)
    with pytest.raises(ValueError, match="a line of more than"):
        list(cut(b"x" * (TEXT_LIMIT + 1)))


def test_tick_flushes_by_time(synthetic) -> None:
    stream = io.BytesIO()
    writer = synthetic.new_writer(stream, flush_seconds=1000)
    head = len(stream.getvalue())
    writer.write(synthetic.batches(1)[1])
    writer.tick()
    assert len(stream.getvalue()) == head
    prompt = io.BytesIO()
    writer = synthetic.new_writer(prompt, flush_seconds=0)
    writer.write(synthetic.batches(1)[1])
    writer.tick()
    assert len(prompt.getvalue()) > head


class FullDisk(io.BytesIO):
    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def write(self, data) -> int:
        fits = min(len(data), self.room - self.tell())
        if fits <= 0:
            raise OSError(28, "No space left on device")
        return super().write(bytes(data[:fits]))


def test_a_full_disk_is_told_once_and_counted(synthetic) -> None:
    stream = FullDisk(60_000)
    writer = synthetic.new_writer(stream)
    given = 0
    for batch in synthetic.batches(20, size=500):
        writer.write(batch)
        given += int((batch.calls["function"] < FIRST_KIND).sum())
        if stream.tell() > 20_000:
            break
        writer.flush()
    many = synthetic.records(2000)
    with pytest.raises(DatacrumbsError, match="No space left"):
        writer.write(Batch(many))
    more = synthetic.records(5)
    writer.write(Batch(more))
    writer.flush()
    assert writer.lost["unwritten"].sum() + writer.recorded.sum() == given + len(many) + len(more)
    text = b"".join(members(stream.getvalue()))
    assert text.count(b'"ph":"X"') == writer.recorded.sum()


def test_a_footer_follows_when_there_is_room_again(synthetic) -> None:
    stream = FullDisk(60_000)
    writer = synthetic.new_writer(stream)
    for batch in synthetic.batches(20, size=500):
        writer.write(batch)
        if stream.tell() > 20_000:
            break
        writer.flush()
    with pytest.raises(DatacrumbsError, match="No space left"):
        writer.write(Batch(synthetic.records(2000)))
    assert writer.lost["unwritten"].sum() > 0
    following = io.BytesIO()  # a change of files that was under way
    assert writer.continue_in(following, {}) is following
    following.close()
    stream.room += 20_000
    counts = [FunctionCounts() for _ in writer.lost["unwritten"]]
    writer.close(Footer(counts))
    lines = b"".join(members(stream.getvalue())).splitlines()
    assert lines[-1] == b"]"
    footer = next(json.loads(line) for line in lines if b"datacrumbs_footer" in line)
    assert footer["args"]["lines"] == sum(b'"ph":"X"' in line for line in lines) == writer.recorded.sum()


def test_many_names_stay_small(monkeypatch) -> None:
    import tracemalloc

    monkeypatch.setattr(datacrumbs.trace.names, "RECENT_LIMIT", 1000)
    table = NameTable("0" * 16)
    count = 5 * 4096
    tracemalloc.start()
    for begin in range(0, count, 4096):
        names = [
            Name(identity * 7919 + 1, NameKind.LOCATION, 0, f"/data/{identity}")
            for identity in range(begin, begin + 4096)
        ]
        table.add(names)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The text itself, about 60 bytes of index, and what waits for the next merge.
    assert size < count * 80 + 1000 * 250
    assert table.text(7919 * 1234 + 1) == "/data/1234"
    hashes, _, lines = table.find(np.array([1, 7919 * 99 + 1], dtype=np.uint64), NameKind.LOCATION)
    assert lines == []
    assert int(hashes[1]) == int.from_bytes(md5_of(b"/data/99")[::2], "big")


def test_bases_are_resolved_through_bases() -> None:
    table = NameTable("0" * 16)
    names = (
        Name(3, NameKind.PATH, 2, "c/."),
        Name(2, NameKind.PATH, 1, "b//"),
        Name(1, NameKind.LOCATION, 0, "/a"),
        Name(4, NameKind.PATH, 77, "unknown/base"),
        Name(5, NameKind.PATH, 1, "//absolute"),
        Name(6, NameKind.PATH, 6, "itself"),
        Name(7, NameKind.PATH, 1, ""),
    )
    table.add(names)
    assert [table.text(identity) for identity in range(1, 8)] == [
        "/a", "/a/b", "/a/b/c", "unknown/base", "/absolute", table.text(6), "/a",
    ]  # fmt: skip
    assert len(table.text(6)) < 1000


def test_output_is_deterministic(synthetic) -> None:
    assert synthetic.trace_bytes(7) == synthetic.trace_bytes.__wrapped__(7)


def test_a_reused_pid_is_introduced_again(synthetic) -> None:
    from datacrumbs.model.record import RecordKind

    records, end = synthetic.records(1), synthetic.lifecycle(RecordKind.EXIT, 1000)
    data, _ = synthetic.written([Batch(records, synthetic.NAMES), Batch(end), Batch(records)])
    named = [line for line in lines_of(data) if line["name"] == "process_name"]
    assert sum(line["pid"] == 1000 for line in named) == 2
    assert sum(line["pid"] == 1001 for line in named) == 1


def test_labels_never_carry_user_data(synthetic) -> None:
    # An argument without a role for names is written as a number, whatever its C type.
    function = synthetic.FUNCTIONS[synthetic.PWRITE]
    argument = replace(function.arguments[0], label="buffer", ctype="const char *", size=8, signed=False)
    plan = synthetic.plan()
    group = replace(plan.groups[0], functions=(replace(function, arguments=(argument,)),))
    stream = io.BytesIO()
    writer = TraceWriter(stream, replace(plan, groups=(group,)), host="h", epoch_offset_ns=0, user="u", flush_seconds=1)
    record = np.zeros(1, RECORD)
    record["flags"], record["values"] = int(CallFlag.RETURNED), 0x7FFF_1234
    writer.write(Batch(record))
    synthetic.finish(writer)
    assert calls_of(stream.getvalue())[0]["args"]["buffer"] == 0x7FFF_1234


def test_a_file_that_was_opened_by_another_name_than_its_place_has_both() -> None:
    table = NameTable("0" * 16)
    (line,) = table.add([Name(1, NameKind.PATH, 0, "/link/a")])
    opened = json.loads(line)["args"]["value"]
    assert table.add([Name(8, NameKind.PLACE, 1, "/link/a"), Name(9, NameKind.PLACE, 77, "/of/none")]) == []
    (line,) = table.add([Name(2, NameKind.PLACE, 1, "/target/a")])
    place = json.loads(line)
    assert (place["name"], place["args"]["value"], place["args"]["place"]) == ("datacrumbs_place", opened, "/target/a")
    assert table.add([Name(3, NameKind.PLACE, 1, "/target/a")]) == []
    table.renew()
    _, _, lines = table.find(np.array([1], np.uint64), NameKind.PATH)
    again = [json.loads(text) for text in "".join(lines).splitlines()]
    assert [text["name"] for text in again] == ["FH", "datacrumbs_place"]
    assert len(table) == 1


def test_a_name_that_leads_to_many_places_has_the_first_of_them() -> None:
    table = NameTable("0" * 16)
    table.add([Name(1, NameKind.PATH, 0, "/link")])
    many = [Name(2 + number, NameKind.PLACE, 1, f"/target{number}") for number in range(23)]
    assert len(table.add(many)) == PLACE_LIMIT < len(many)
