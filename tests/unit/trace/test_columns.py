"""Lines to columns by the library, against a reader of all of JSON."""

from __future__ import annotations

import gzip
import json
import random
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datacrumbs.trace import columns
from datacrumbs.trace.columns import DETAILS, SHORTEST_CALL, Readers
from datacrumbs.trace.json_lines import DETAILED, SCHEMA, call_columns, parse_lines

SOURCE = Path(columns.__file__).parent / "src"
NUMBERS = st.one_of(
    st.integers(-3, 300),
    st.sampled_from([2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**31), -(2**63)]),
)
TEXTS = st.one_of(
    st.sampled_from(["read", "POSIX", "f1", "0123456789abcdef", "X", "M", "", "a b"]),
    st.sampled_from(['quo"te', "back\\", "tab\t", "ü", "\x7f"]),
    st.text(max_size=5),
)
ANY = st.one_of(NUMBERS, TEXTS, st.none(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False))
NUMBER_KEYS = ("ret", "errno", "bytes", "depth", "other", *DETAILS)
TEXT_KEYS = ("hhash", "fhash", "to_hash", "symbol", "newpath_hash")


@st.composite
def lines(draw: st.DrawFn) -> str:
    """A line of a call, most often, with few or no strange values."""
    plain = draw(st.integers(0, 3)) > 0
    number, text = (st.integers(0, 2**31), st.sampled_from(["read", "f1", "POSIX"])) if plain else (NUMBERS, TEXTS)
    arguments = {key: draw(number) for key in draw(st.lists(st.sampled_from(NUMBER_KEYS), unique=True))}
    arguments |= {key: draw(text) for key in draw(st.lists(st.sampled_from(TEXT_KEYS), unique=True))}
    line = {"id": draw(number), "name": draw(text), "cat": draw(text), "ph": draw(st.sampled_from("XXXM"))}
    line |= {"pid": draw(number), "tid": draw(number), "ts": draw(number), "dur": draw(number), "args": arguments}
    if not plain:
        for place in (line, arguments):
            for key in draw(st.lists(st.sampled_from(list(place) or ["x"]), max_size=1)):
                place[key] = draw(st.one_of(ANY, st.lists(ANY, max_size=2), st.dictionaries(TEXTS, ANY, max_size=2)))
        for key in draw(st.lists(st.sampled_from(list(line)), max_size=1)):
            del line[key]
    keys = draw(st.permutations(list(line)))
    return json.dumps({key: line[key] for key in keys}, separators=(",", ":"), ensure_ascii=draw(st.booleans()))


def expected(text: bytes, schema: dict) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    """Calls, metadata and the number of lines that cannot be read, as the reader of all of JSON has them."""
    frame, skipped = parse_lines(text, schema)
    events = frame.filter(pl.col("ph") == "X")
    named = events.drop_nulls("name").with_columns(pl.col("cat").fill_null(""))
    return call_columns(named), frame.filter(pl.col("ph") == "M"), skipped + len(events) - len(named)


def check(text: bytes) -> bool:
    """Compare what the library takes; whether it does."""
    return compare(text, details=True) + compare(text, details=False) == 2


def compare(text: bytes, *, details: bool) -> bool:
    readers, schema = Readers(details=details), DETAILED if details else SCHEMA
    part = readers.part([text])
    if part.calls is None:
        assert part.text == text
        return False
    calls, metadata, skipped = expected(text, schema)
    numbered = readers.functions.numbered(calls)
    assert part.calls.cast(numbered.schema).equals(numbered), text
    none, others, left = expected(part.text, schema)
    assert none.is_empty()
    assert others.equals(metadata)
    assert left == skipped
    return True


@settings(max_examples=300, deadline=None)
@given(st.lists(lines(), min_size=1, max_size=5))
def test_what_is_taken_is_what_a_reader_of_json_takes(made: list[str]) -> None:
    check("".join(f"{line}\n" for line in made).encode("utf-8", "surrogatepass"))


@settings(max_examples=200, deadline=None)
@given(lines(), st.data())
def test_damaged_lines_are_never_taken_for_others(line: str, data: st.DataObject) -> None:
    text = line.encode("utf-8", "surrogatepass")
    place = data.draw(st.integers(0, len(text)))
    put = data.draw(st.sampled_from([b"", b"0", b"-", b'"', b"}", b"{", b",", b" ", b"\\", b"\n", b"[", b"\xff", b":"]))
    check(text[:place] + put + text[place + data.draw(st.integers(0, 3)) :] + b"\n")


def test_our_own_lines_are_taken(synthetic) -> None:
    text = gzip.decompress(synthetic.trace_bytes(11))
    part = Readers().part([text])
    assert part.calls is not None
    assert len(part.calls) == len(synthetic.records(11))
    assert check(text)
    assert b'"ph":"X"' not in part.text
    assert part.end == text[-16:]


def test_lines_of_one_form_with_other_values(synthetic) -> None:
    lines = [line for line in gzip.decompress(synthetic.trace_bytes(3)).splitlines() if b'"ph":"X"' in line]
    chooser, taken = random.Random(7), 0
    values = [b"0", b"-1", b"5", b"4711", b"2147483647", b"18446744073709551615", b'"f1"', b'"0123456789abcdef"', b"-9"]
    for _ in range(101):
        line, made = chooser.choice(lines), []
        for _ in range(chooser.randrange(2, 7)):
            rare = chooser.choice([*values, b"2147483648", b"01", b"1.5", b'"', b'"a\\"', b"null", b"{}"])
            other = re.sub(
                rb'(?<=:)(-?\d+|"[0-9a-f]{16}")(?=[,}])',
                lambda found, rare=rare: chooser.choice([found[0]] * 9 + [rare]),
                line,
            )
            made.append(other)
        taken += check(b"".join(each + b"\n" for each in made))
    assert taken > 11


def test_texts_are_known_again_in_every_part() -> None:
    line = '{{"name":"read{0}","cat":"POSIX","ph":"X","pid":1,"tid":1,"ts":1,"args":{{"fhash":"f{1}","symbol":"s"}}}}\n'
    readers, chooser = Readers(), random.Random(3)

    def is_right(_: int) -> bool:
        numbers = [(chooser.randrange(50), chooser.randrange(3000)) for _ in range(997)]
        calls = readers.part([line.format(*each).encode() for each in numbers]).calls
        assert calls is not None
        _, functions, _ = readers.functions.columns()
        names = zip(functions.gather(calls["function"]).cast(pl.String), calls["fhash"].cast(pl.String), strict=True)
        return [(f"read{name}", f"f{file}") for name, file in numbers] == list(names)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(is_right, range(23)))


@pytest.mark.parametrize(
    "line",
    [
        b'{"name":"a","cat":"b","ph":"X","pid":1,"tid":1,"ts":1,"ts":2}',  # which of two counts?
        b'{"name":"a","cat":"b","ph":"X","pid":1,"tid":1,"ts":1,"args":{},"args":{}}',
        b'{"name":"a","cat":"b","ph":"X","ph":"M","pid":1,"tid":1,"ts":1}',
        b'{"name":"a","cat":"b","ph":"X","pid":1,"tid":1,"ts":01}',
        b'{"name":"a","cat":"b","ph":"X","pid":1,"tid":1,"ts":1.0}',
        b'{"name":"a","cat":"b","ph":"X","pid":1,"tid":1,"ts":"1"}',
        b'{"name":"a","cat":"b","ph":"X","pid":1,"tid":1,"ts":1,"x":18446744073709551616}',
        b'{"name":"a","cat":"b","ph":"X","pid":1,"tid":1,"ts":1,"x":{"y":1}}',
        b'{"name":"a","cat":"b","ph":"X","pid":1,"tid":1,"ts":1,"args":{"fhash":5}}',
        b'{"name":"a","cat":"b","ph":"X","pid":2147483648,"tid":1,"ts":1}',
        b'{"name":"a","cat":"b","ph":"X","pid":1,"tid":1}',
        b'{"name":"a\\n","cat":"b","ph":"X","pid":1,"tid":1,"ts":1}',
        b'{"name":"a","cat":"b","ph":"X","pid":1,"tid":1,"ts":1},',
        b'{"name":"a","cat":"b","ph":"X","pid":1,"tid":1,"ts":1',
        b' {"name":"a","cat":"b","ph":"X","pid":1,"tid":1,"ts":1}',
        b"x",
    ],
)
def test_what_is_left_to_a_reader_of_json(line: bytes) -> None:
    assert not check(line + b"\n")


def test_the_shortest_call() -> None:
    line = b'{"name":"","cat":"","ph":"X","pid":0,"tid":0,"ts":0}\n'
    assert len(line) == SHORTEST_CALL
    assert check(line * 101)


def test_no_fault_under_the_sanitizers(tmp_path: Path) -> None:
    """Changed lines and random calls, with every access checked."""
    program = tmp_path / "fuzz"
    names = "read.c file_names.c json_line.c words.c rows.c arrange.c nest.c enclose.c"
    sources = [*(SOURCE / name for name in names.split()), Path(__file__).with_name("fuzz_read.c")]
    flags = ["-std=c11", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", f"-I{SOURCE}"]
    subprocess.run(["cc", *flags, *sources, "-o", program], check=True)
    for seed in range(8):
        done = subprocess.run([program, str(seed)], capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr[-3000:]
