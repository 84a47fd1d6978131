"""What a run shows of itself while it goes on: exact sums, each call counted once, in bounded memory."""

from __future__ import annotations

import io
import json
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from datacrumbs.model.contract import TALLY_ROWS, NameKind
from datacrumbs.model.plan import Argument, Attach, Function, Group, Plan, Result, Role, Snippet, Target
from datacrumbs.model.record import PROFILE, RECORD, Batch, CallFlag, Name, RecordKind
from datacrumbs.trace.notes import LOST, Note
from datacrumbs.trace.snapshot import LONGEST_TEXT, ROWS, RUNNING
from datacrumbs.trace.writer import TraceWriter

FILES = {1: "/data/a", 2: "/data/b", 3: "/data/c"}


@dataclass
class Call:
    """A call and those inside it."""

    function: int
    file: int
    moved: int | None
    inside: list[Call] = field(default_factory=list)
    begin: int = 0
    end: int = 0
    failed: bool = False


def trees(functions: list[int]) -> st.SearchStrategy[Call]:
    moved = st.one_of(st.none(), st.integers(0, 5000))
    leaf = st.builds(Call, st.sampled_from(functions), st.sampled_from([0, 1, 2, 3]), moved, failed=st.booleans())
    return st.recursive(
        leaf,
        lambda inner: st.builds(
            Call, st.sampled_from(functions), st.sampled_from([0, 1, 2, 3]), moved, st.lists(inner, max_size=4)
        ),
        max_leaves=12,
    )


def place(call: Call, begin: int) -> int:
    call.begin = begin
    now = begin + 7
    for inner in call.inside:
        now = place(inner, now) + 3
    call.end = now + 11
    return call.end


def document(writer: TraceWriter) -> dict:
    return json.loads(writer.snapshot(RUNNING))


def rows(found: dict, view: str, *keys: str) -> dict:
    return {tuple(row[key] for key in keys) if len(keys) > 1 else row[keys[0]]: row for row in found["views"][view]}


class Oracle:
    """The same sums, call by call, by looking at the calls around each."""

    def __init__(self, layers: list[str]) -> None:
        self.layers = layers
        self.sums = defaultdict(lambda: np.zeros(4, np.int64))
        self.nested: dict[int, int] = defaultdict(int)
        self.records: list = []

    def visit(self, call: Call, process: int, around: list[Call]) -> None:
        for inner in call.inside:
            self.visit(inner, process, [*around, call])
        nested = any(self.layers[each.function] == self.layers[call.function] for each in around)
        flags = CallFlag.RETURNED | (CallFlag.FAILED if call.failed else 0) | (CallFlag.NESTED if nested else 0)
        knows = call.moved is not None
        values = (call.moved if knows else 2**64 - 1, 0, 0, 0, 0, 0)  # an amount, of which a negative one is unknown
        self.records.append(
            (call.begin, call.end - call.begin, process, process, call.function, flags, len(around), 0, 0, call.file,
             values)
        )  # fmt: skip
        own, moved = (1, int(call.failed), call.end - call.begin), call.moved if knows else 0
        if nested:
            self.nested[call.function] += 1
        else:
            self.add(("function", call.function), own, moved)
        outer = [each for each in around if each.file == call.file]
        if call.file:
            self.add(("file", FILES[call.file]), own if not outer else (0, 0, 0), 0 if self.knows(outer) else moved)
        self.add(("process", process), own if not around else (0, 0, 0), 0 if self.knows(around) else moved)

    @staticmethod
    def knows(around: list[Call]) -> bool:
        return any(each.moved is not None for each in around)

    def add(self, key: tuple, own: tuple[int, int, int], moved: int) -> None:
        self.sums[key] += (own[0], own[1], moved, own[2])


def amounts() -> tuple[Plan, tuple[Function, ...]]:
    """Functions of three layers that all say in a field how much they moved."""
    snippet = Snippet(
        name="moved", provider="x", text="", fields=(Argument(0, "bytes", "long", Role.BYTES, 8, signed=True),)
    )
    functions = tuple(
        Function(f"{layer}_{name}", f"{layer}_{name}", layer, result=Result.CODE, snippet="moved")
        for layer in ("HDF5", "MPIIO", "POSIX")
        for name in ("one", "two")
    )
    group = Group("x", "x", Attach.UPROBE, Target("/lib/x.so", "ab"), functions)
    return Plan((), (group,), (snippet,)), functions


@settings(max_examples=120, deadline=None)
@given(
    threads=st.lists(st.lists(trees(list(range(6))), min_size=1, max_size=4), min_size=1, max_size=3),
    cut=st.integers(1, 9),
)
def test_each_call_counts_once(synthetic, threads: list[list[Call]], cut: int) -> None:
    plan, functions = amounts()
    oracle = Oracle([function.category for function in functions])
    for number, calls in enumerate(threads):
        now = 1000
        for call in calls:
            now = place(call, now) + 5
            oracle.visit(call, 100 + number, [])
    # A snippet's field is in the last slot.
    records = [(*record[:10], (0, 0, 0, 0, 0, record[10][0])) for record in oracle.records]
    calls = np.array(records, RECORD)
    order = np.argsort(calls["start"] + calls["duration"], kind="stable")
    writer = synthetic.new_writer(io.BytesIO(), plan)
    names = tuple(Name(number, NameKind.LOCATION, 0, text) for number, text in FILES.items())
    writer.write(Batch(calls[:0], names))
    for part in np.array_split(calls[order], cut):
        writer.write(Batch(np.ascontiguousarray(part)))
    found = document(writer)
    shown: dict[tuple, list[int]] = {}
    for view, key in (("function", "function"), ("file", "path"), ("process", "process")):
        for row in found["views"][view]:
            shown[view, row[key]] = [row["calls"], row["errors"], row["bytes"] or 0, row["time_ns"]]
    wanted = {
        (view, functions[key].name if view == "function" else key): sums.tolist()
        for (view, key), sums in oracle.sums.items()
    }
    nothing = [0, 0, 0, 0]
    assert {key: row for key, row in shown.items() if row != nothing} == {
        key: row for key, row in wanted.items() if row != nothing
    }
    by_layer: dict[str, int] = defaultdict(int)
    for number, count in oracle.nested.items():
        by_layer[functions[number].category] += count
    assert {row["layer"]: row["nested"] for row in found["views"]["layer"] if row["nested"]} == by_layer
    assert found["recorded"] == len(calls)


def test_the_synthetic_trace_as_its_records_say(synthetic) -> None:
    writer = synthetic.new_writer(io.BytesIO())
    for batch in synthetic.batches(37):
        writer.write(batch)
    found = document(writer)
    calls = synthetic.records(37)
    functions = rows(found, "function", "function")
    pwrites = calls[calls["function"] == synthetic.PWRITE]
    assert functions["pwrite"]["calls"] == len(pwrites)
    assert functions["pwrite"]["bytes"] == int(pwrites["result"].sum())
    assert functions["pwrite"]["time_ns"] == int(pwrites["duration"].sum())
    read = functions["read"]
    assert read["errors"] == 3 * 2 * 37
    assert functions["MPI_File_write"]["bytes"] == 2048 * 3 * 2 * 37
    assert functions["close"]["bytes"] is None
    assert {row["name"] for row in found["views"]["process"]} == {"dd"}
    assert sum(row["calls"] + row["nested"] for row in found["views"]["function"]) == found["recorded"] == len(calls)
    assert (found["user"], found["host"], found["state"]) == ("user", "node1", RUNNING)


def call(function: int, process: int, file: int, begin: int = 10**6, **more: int) -> np.ndarray:
    made = np.zeros(1, RECORD)
    made["function"], made["process"], made["thread"], made["file"] = function, process, process, file
    made["start"], made["duration"], made["flags"] = begin, 1000, CallFlag.RETURNED
    for key, value in more.items():
        made[key] = value
    return made


def test_recent_figures_are_those_since_the_last_look(synthetic, monkeypatch) -> None:
    now = [10**12]
    monkeypatch.setattr("time.monotonic_ns", lambda: now[0])
    writer = synthetic.new_writer(io.BytesIO())
    writer.write(Batch(np.concatenate([call(synthetic.READ, 5, 0, result=3)] * 7)))
    now[0] += 2 * 10**9
    first = document(writer)
    assert (first["recent_ns"], rows(first, "function", "function")["read"]["recent_calls"]) == (2 * 10**9, 7)
    writer.write(Batch(np.concatenate([call(synthetic.READ, 5, 0, result=4)] * 5)))
    for _ in range(3):  # others look in between: what is shown goes on until it is of half a second
        now[0] += 2 * 10**8
        found = document(writer)
    read = rows(found, "function", "function")["read"]
    assert (found["recent_ns"], read["recent_calls"], read["recent_bytes"]) == (6 * 10**8, 5, 20)
    assert (read["calls"], read["bytes"]) == (12, 41)
    now[0] += 10**9
    assert rows(document(writer), "function", "function")["read"]["recent_calls"] == 0


def test_functions_of_one_name_are_one_row(synthetic) -> None:
    functions = tuple(Function("fread", symbol, "STDIO") for symbol in ("fread", "fread_unlocked"))
    groups = [
        Group(name, "x", Attach.UPROBE, Target(f"/lib/{name}.so", name), functions, sample=sample)
        for name, sample in (("aa", 1), ("bb", 1), ("cc", 7))
    ]
    writer = synthetic.new_writer(io.BytesIO(), Plan((), tuple(groups)))
    writer.write(Batch(np.concatenate([call(number, 5, 0) for number in (0, 1, 1, 2, 3, 3, 4, 5, 5)])))
    found = document(writer)
    assert found["sampled"]
    assert [
        (row["function"], row["one_of"], row["calls"], row["recent_calls"]) for row in found["views"]["function"]
    ] == [
        ("fread", 1, 6, 6),
        ("fread", 7, 3, 3),
    ]


def test_memory_is_bounded_and_sums_stay_exact(synthetic) -> None:
    writer = synthetic.new_writer(io.BytesIO())
    count = 2 * TALLY_ROWS + 101
    names = tuple(Name(1000 + number, NameKind.LOCATION, 0, f"/many/{number}") for number in range(count))
    writer.write(Batch(np.zeros(0, RECORD), names))
    calls = np.repeat(call(synthetic.READ, 5, 0, result=3), count)
    calls["file"] = 1000 + np.arange(count)
    calls["start"] += 2000 * np.arange(count, dtype=np.uint64)
    for begin in range(0, count, 8192):
        writer.write(Batch(calls[begin : begin + 8192]))
    assert len(writer._lines.tally()) <= TALLY_ROWS
    found = document(writer)
    read = rows(found, "function", "function")["read"]
    assert (read["calls"], read["bytes"]) == (count, 3 * count)
    files = found["views"]["file"]
    assert len(files) <= 9 * ROWS
    assert files[0]["path"] is None  # those of long ago together
    assert found["left_out"]["file"] > 0
    # Processes without end, each with a file of its own, after these.
    calls["process"] = calls["thread"] = 7 + np.arange(count)
    for begin in range(0, count, 8192):
        writer.write(Batch(calls[begin : begin + 8192]))
    assert len(writer._lines.tally()) <= TALLY_ROWS
    found = document(writer)
    assert rows(found, "function", "function")["read"]["calls"] == 2 * count
    assert None in rows(found, "process", "process")
    assert len(json.dumps(found)) < 1 << 20


def test_processes_and_ranks_are_known_after_their_end(synthetic) -> None:
    writer = synthetic.new_writer(io.BytesIO())
    environment = "OMPI_COMM_WORLD_RANK=3\0OMPI_COMM_WORLD_SIZE=5\0"
    names = (Name(50, NameKind.LOCATION, 0, "/usr/bin/model"), Name(51, NameKind.ENVIRONMENT, 0, environment))
    start = synthetic.lifecycle(RecordKind.START, 77, file=50)
    start["values"][0, 0] = 51
    writer.write(Batch(np.concatenate([start, call(synthetic.READ, 77, 0), call(synthetic.READ, 78, 0)]), names))
    writer.write(Batch(synthetic.lifecycle(RecordKind.EXIT, 77)))
    found = document(writer)
    assert [(row["process"], row["name"], row["rank"]) for row in found["views"]["process"]] == [
        (77, "model", 3),
        (78, "", None),
    ]
    assert {row["rank"]: row["calls"] for row in found["views"]["rank"]} == {3: 1, None: 1}


def test_counted_calls_are_in_it(synthetic) -> None:
    writer = synthetic.new_writer(io.BytesIO())
    writer.write(Batch(np.zeros(0, RECORD), synthetic.NAMES))
    profiles = np.zeros(2, PROFILE)
    profiles["function"], profiles["process"], profiles["file"] = synthetic.PWRITE, 1000, [synthetic.FIRST_FILE, 0]
    profiles["count"], profiles["bytes"], profiles["time"], profiles["errors"] = [13, 17], [130, 0], [700, 30], [1, 0]
    profiles["sizes"][0, 4] = 13
    for _ in range(2):
        writer.write_profiles(profiles)
    found = document(writer)
    row = rows(found, "function", "function")["pwrite"]
    assert {key: row[key] for key in ("calls", "counted", "errors", "bytes", "time_ns", "nested")} == {
        "calls": 60, "counted": 60, "errors": 2, "bytes": 260, "time_ns": 1460, "nested": 0,
    }  # fmt: skip
    assert rows(found, "file", "path")["/data/plain.bin"]["calls"] == 26
    assert (found["recorded"], found["counted"]) == (0, 60)


def test_losses_and_long_and_hostile_names(synthetic) -> None:
    writer = synthetic.new_writer(io.BytesIO())
    texts = ("/" + "x" * 3000, "/a\x1b[31m\n\u202e", "/bad\udcff")
    names = tuple(Name(60 + place, NameKind.LOCATION, 0, text) for place, text in enumerate(texts))
    writer.write(Batch(np.concatenate([call(synthetic.READ, 5, 60 + place) for place in range(3)]), names))
    writer.note(
        Note(LOST, 1, 2, synthetic.READ, {"cause": "ring_full", "calls": 11}),
        Note(LOST, 3, 4, 0, {"cause": "x", "calls": 2}),
    )
    line = writer.snapshot(RUNNING)
    assert line.isascii()
    assert line.count(b"\n") == 1
    found = json.loads(line)
    assert found["lost"] == 13
    paths = set(rows(found, "file", "path"))
    assert paths == {"..." + "x" * (LONGEST_TEXT - 3), texts[1], "/bad\ufffd"}


def test_hidden_names_stay_hidden(synthetic) -> None:
    writer = TraceWriter(
        io.BytesIO(), synthetic.plan(), host="node1", epoch_offset_ns=0, user="u", flush_seconds=1.0,
        redact_paths=("/home/*/secret",),
    )  # fmt: skip
    names = (
        Name(70, NameKind.LOCATION, 0, "/home/ada/secret/moonshot"),
        Name(71, NameKind.LOCATION, 0, "/opt/rocketeer"),
    )
    start = synthetic.lifecycle(RecordKind.START, 77, file=70)
    writer.write(Batch(np.concatenate([start, call(synthetic.READ, 77, 70), call(synthetic.READ, 77, 71)]), names))
    text = writer.snapshot(RUNNING)
    assert b"moonshot" not in text
    assert b"/home/ada/~" in text
    assert b"/opt/rocketeer" in text
