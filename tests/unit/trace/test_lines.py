"""The library for lines against a plain renderer of the same lines, on random records."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datacrumbs.model.contract import CHUNK, MEMBER_TARGET, TEXT_LIMIT, MissingKind
from datacrumbs.model.record import RECORD, SLOTS, CallFlag, NameKind
from datacrumbs.trace import lines, templates
from datacrumbs.trace.line_shape import MINUS_ONE, MOVED, Shape, Shapes
from datacrumbs.trace.lines import Lines

SOURCE = Path(lines.__file__).parent / "src"
HOST = "164602c7be5f9aec"
MASK = 2**64 - 1


def signed(value: int, size: int = 8) -> int:
    value &= (1 << 8 * size) - 1
    return value - (1 << 8 * size) if value >> (8 * size - 1) else value


def plain_line(shape: Shape, call: np.void, number: int, epoch: int) -> str:
    """A line as its specification reads, one Python number after the other."""
    hashed = lambda identity: f"{hash_of(identity):016x}"  # noqa: E731
    values = [int(value) for value in call["values"]]
    flags, result, error = int(call["flags"]), int(call["result"]), int(call["errno"])
    begin = signed(int(call["start"]) + epoch)
    end = signed(begin + int(call["duration"]))
    items = signed(values[shape.items_slot]) if shape.items_slot >= 0 else 1
    text = f'{{"id":{number}{shape.head.decode()}{call["process"]},"tid":{call["thread"]},"ts":{begin // 1000}'
    text += f',"dur":{signed(end // 1000 - begin // 1000)},"ph":"X","args":{{'
    text += (f'"depth":{call["depth"]},' if call["depth"] else "") + f'"hhash":"{HOST}"'
    text += f',"fhash":"{hashed(int(call["file"]))}"' if call["file"] else ""
    if flags & CallFlag.RETURNED and not flags & CallFlag.POINT and shape.result.value != "void":
        if flags & CallFlag.FAILED:
            if shape.system_call and not error and result < 0:
                error = signed(-result)
            text += f',"ret":{-1 if shape.result in MINUS_ONE else result},"errno":{error}'
        else:
            result = signed(result * items)
            text += f',"ret":{result}'
            if shape.bytes_key and shape.result in MOVED:
                text += f',"bytes":{max(result, 0)}'
    for field in shape.fields:
        raw = values[field.slot]
        if field.kind is not None:
            text += f',"{field.key}":"{hashed(raw)}"' if raw else ""
            continue
        value = signed(raw, field.size) if field.signed else raw & ((1 << 8 * field.size) - 1)
        if field.amount and value < 0:
            continue
        if field.scaled:
            value = signed(value * items) if field.signed else value * items & MASK
        text += f',"{field.key}":{1 if field.one else value}'
    return text + shape.tail.decode()


def hash_of(identity: int) -> int:
    return identity * 0x9E3779B97F4A7C15 & MASK or 1


def plain_order(calls: np.ndarray, epoch: int) -> list[int]:
    """Outer calls before inner ones of the same microsecond, else by function and outcome, else as they came."""
    together: dict[tuple[int, int], list[int]] = {}
    for row, call in enumerate(calls):
        begin = signed(int(call["start"]) + epoch)
        together.setdefault((int(call["thread"]), begin // 1000), []).append(row)
    ranks: dict[int, int] = {}
    for rows in together.values():
        begins = {row: signed(int(calls[row]["start"]) + epoch) for row in rows}
        ends = {row: signed(begins[row] + int(calls[row]["duration"])) for row in rows}
        rows.sort(key=lambda row: (begins[row], -ends[row], row))
        ranks |= {row: rank for rank, row in enumerate(rows)}
    return sorted(range(len(calls)), key=lambda row: (ranks[row], calls[row]["function"], state(calls[row]), row))


def state(call: np.void) -> int:
    flags = int(call["flags"])
    if flags & CallFlag.POINT:
        return 0
    if not flags & CallFlag.RETURNED:
        return 1
    return 3 if flags & CallFlag.FAILED else 2


def tell(made: Lines, shapes: Shapes, calls: np.ndarray, excluded: frozenset[int] = frozenset()) -> None:
    while len(missing := made.missing(calls)):
        for kind, identity in missing.tolist():
            if kind == MissingKind.FUNCTION:
                made.function(identity, templates.templates(shapes[identity], HOST))
            elif kind != MissingKind.PAIR:
                assert NameKind(kind)
                made.name(identity, hash_of(identity), included=identity not in excluded)


def rendered(shapes: Shapes, calls: np.ndarray, epoch: int, size: int = CHUNK) -> bytes:
    made = Lines(len(shapes), epoch, filtering=False)
    text, members = b"", b""

    def end() -> None:
        nonlocal text, members
        text += made.content()
        members += made.member()

    for start in range(0, len(calls), size):
        part = np.ascontiguousarray(calls[start : start + size])
        tell(made, shapes, part)
        made.take(part)
        while not made.render():
            end()
    end()
    assert gzip.decompress(members) == text
    assert made.count == len(calls)
    assert made.written.tolist() == np.bincount(calls["function"], minlength=len(shapes)).tolist()
    return text


def random_calls(rng: np.random.Generator, functions: int, rows: int, steps: int) -> np.ndarray:
    """Calls with few and with many different values, with ties, and with every bit pattern."""
    calls = np.zeros(rows, RECORD)
    calls["start"] = rng.integers(0, 2**40) + np.cumsum(rng.integers(0, steps, rows))
    calls["duration"] = rng.integers(0, 5000, rows)
    calls["process"], calls["thread"] = rng.integers(1, 3, rows), rng.integers(1, 4, rows)
    calls["function"] = rng.integers(0, functions, rows)
    calls["flags"] = rng.integers(0, 8, rows)
    calls["depth"] = rng.integers(0, 2, rows) * rng.integers(0, 256, rows)
    calls["errno"] = rng.integers(0, 3, rows)
    calls["result"] = rng.integers(-3, 5000, rows)
    calls["file"] = rng.integers(0, 9, rows)
    calls["values"] = rng.integers(0, 300, (rows, SLOTS))
    wild = rng.random(rows) < 0.1
    for name in ("duration", "result", "file", "values"):
        shape = (int(wild.sum()), SLOTS) if name == "values" else int(wild.sum())
        bits = rng.integers(0, 2**64, shape, dtype=np.uint64)
        calls[name][wild] = bits.astype(RECORD[name].base if name != "values" else np.uint64)
    calls["duration"][wild] >>= np.uint64(4)
    return calls


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), rows=st.integers(1, 400), steps=st.sampled_from([1, 300, 3000, 10**7]))
def test_lines_are_what_a_plain_renderer_writes(synthetic, seed: int, rows: int, steps: int) -> None:
    shapes = Shapes(synthetic.plan())
    calls = random_calls(np.random.default_rng(seed), len(shapes), rows, steps)
    order = plain_order(calls, synthetic.EPOCH)
    expected = [
        plain_line(shapes[int(calls[row]["function"])], calls[row], number, synthetic.EPOCH)
        for number, row in enumerate(order)
    ]
    assert rendered(shapes, calls, synthetic.EPOCH).decode().splitlines(keepends=True) == expected


def test_numbers_at_the_ends_of_their_ranges(synthetic) -> None:
    shapes = Shapes(synthetic.plan())
    ends = [0, 1, 9, 10, 99, 100, 10**19, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1]
    for function in range(len(shapes)):
        calls = np.zeros(len(ends), RECORD)
        calls["function"], calls["flags"] = function, np.arange(len(ends)) % 8
        calls["values"], calls["file"] = np.array(ends, np.uint64)[:, None], ends
        calls["result"] = np.array(ends, np.uint64).view(np.int64)
        calls["errno"] = [end & 0xFFFF for end in ends]
        expected = [plain_line(shapes[function], calls[row], at, 0) for at, row in enumerate(plain_order(calls, 0))]
        assert rendered(shapes, calls, 0).decode().splitlines(keepends=True) == expected


def test_many_members_and_chunks(synthetic) -> None:
    shapes = Shapes(synthetic.plan())
    calls = random_calls(np.random.default_rng(3), len(shapes), 40_000, 2000)
    text = rendered(shapes, calls, synthetic.EPOCH, size=5000)
    assert len(text) > 3 * MEMBER_TARGET
    documents = [json.loads(line) for line in text.splitlines()]
    assert [document["id"] for document in documents] == list(range(len(calls)))


def test_more_names_than_are_remembered(synthetic) -> None:
    shapes = Shapes(synthetic.plan())
    calls = np.zeros(600_000, RECORD)
    calls["function"], calls["file"] = synthetic.CLOSE, np.arange(1, len(calls) + 1)
    text = rendered(shapes, calls, 0)
    assert text.count(b'"fhash"') == len(calls)


def test_more_threads_than_the_table_of_them_begins_with(synthetic) -> None:
    made = Lines(len(Shapes(synthetic.plan())), 0, filtering=False)
    calls = np.zeros(CHUNK, RECORD)
    calls["thread"], calls["process"] = np.arange(CHUNK), 2**32 - 1
    tell(made, Shapes(synthetic.plan()), calls)
    assert len(made.missing(calls)) == 0
    made.forget_processes()
    assert len(made.missing(calls)) > 0


def test_calls_outside_are_left_out_and_counted(synthetic) -> None:
    shapes = Shapes(synthetic.plan())
    made = Lines(len(shapes), 0, filtering=True)
    calls = np.zeros(7, RECORD)
    calls["function"], calls["file"] = synthetic.PWRITE, [1, 2, 0, 1, 2, 2, 1]
    tell(made, shapes, calls, frozenset({2}))
    made.take(calls)
    assert made.render()
    assert (made.filtered[synthetic.PWRITE], made.written[synthetic.PWRITE]) == (4, 3)
    assert made.content().count(b"\n") == 3


def test_a_record_of_no_function_is_refused(synthetic) -> None:
    shapes = Shapes(synthetic.plan())
    made = Lines(len(shapes), 0, filtering=False)
    calls = np.zeros(1, RECORD)
    calls["function"] = len(shapes)
    with pytest.raises(ValueError, match="not in the plan"):
        made.missing(calls)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_text_is_compressed_as_it_is(data) -> None:
    made = Lines(1, 0, filtering=False)
    pieces = st.one_of(st.binary(max_size=300), st.binary(max_size=3).map(lambda part: part * 300))
    parts = data.draw(st.lists(pieces, max_size=20))
    for part in parts:
        assert made.text(part)
    assert gzip.decompress(made.member()) == b"".join(parts)
    assert gzip.decompress(made.member()) == b""


def test_every_decompressor_takes_the_members() -> None:
    from isal import igzip

    random.seed(5)
    made = Lines(1, 0, filtering=False)
    for text in (b"", b"a", b"ab" * 400_000, random.randbytes(1 << 20), bytes(1 << 20), b"x"):
        assert made.text(text)
        member = made.member()
        assert gzip.decompress(member) == igzip.decompress(member) == text
        assert zlib.decompress(member, wbits=31) == text


def test_incompressible_text_fills_a_member_and_no_more() -> None:
    made = Lines(1, 0, filtering=False)
    random.seed(6)
    part = random.randbytes(TEXT_LIMIT)
    taken = 0
    while made.text(part):
        taken += 1
    assert taken >= 3
    assert gzip.decompress(made.member()) == part * taken


def test_no_fault_under_the_sanitizers(tmp_path) -> None:
    """Random records and texts, with every access checked; undefined behaviour and leaks of bounds end the program."""
    program = tmp_path / "fuzz"
    sources = [*sorted(SOURCE.glob("*.c")), Path(__file__).with_name("fuzz_lines.c")]
    flags = ["-std=c11", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", f"-I{SOURCE}"]
    subprocess.run(["cc", *flags, *sources, "-o", program], check=True)
    for seed in range(8):
        done = subprocess.run([program, str(seed)], capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr[-3000:]
