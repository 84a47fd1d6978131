"""Names of files by the library, against a reader of all of JSON."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datacrumbs.trace.file_names import FileNames
from datacrumbs.trace.json_lines import DETAILED, parse_lines

HASHES = st.sampled_from(["", "f1", "f2", "f3", "0123456789abcdef"])
NAMES = st.one_of(
    st.sampled_from(["", "/x", "/data/a b", "FH", "pipe:[4711]", 'quo"te', "back\\", "ü", "tab\t", "\x7f", "a\nb"]),
    st.text(max_size=5),
)
CALL = '{"name":"read","cat":"POSIX","ph":"X","pid":1,"tid":1,"ts":1,"args":{"fhash":"f1","name":"/no","value":"f2"}}'


@st.composite
def lines(draw: st.DrawFn) -> str:
    """A line that names a file, most often, in the form of our writer or almost so."""
    kind = draw(st.sampled_from(["FH"] * 7 + ["SH", "HH", "other"]))
    arguments = {"hhash": "a", "name": draw(NAMES), "value": draw(HASHES)}
    line = {"name": kind, "cat": "dftracer", "ph": draw(st.sampled_from("MMMMX")), "pid": 0, "tid": 0}
    line |= {"ts": draw(st.integers(-1, 2**65))} if draw(st.integers(0, 9)) == 0 else {}
    if draw(st.integers(0, 4)) == 0:
        strange = st.sampled_from([None, 5, 2**64, True, 0.5, [], {}, {"name": "/x"}, "text"])
        arguments[draw(st.sampled_from(["name", "value", "hhash", "raw", "ret", "fd", "other"]))] = draw(strange)
    if draw(st.integers(0, 9)) == 0:
        del arguments[draw(st.sampled_from(sorted(arguments)))]
    made = {**line, "args": arguments} if draw(st.booleans()) else {"args": arguments, **line}
    separators = (",", ":") if draw(st.integers(0, 5)) else (", ", ": ")
    text = json.dumps(made, separators=separators, ensure_ascii=draw(st.booleans()))
    return draw(st.sampled_from([text] * 20 + [CALL, "[", "]", "", text[:-1], text + text, text.replace("a", "\x01")]))


def named(frame: pl.DataFrame) -> list[tuple[str, str]]:
    """The names of files among metadata, of each hash the first one."""
    arguments = pl.col("args").struct
    files = frame.filter((pl.col("ph") == "M") & (pl.col("name") == "FH"))
    rows = files.select(arguments.field("value").alias("fhash"), arguments.field("name").alias("path"))
    return rows.drop_nulls().unique("fhash", keep="first", maintain_order=True).rows()


def check(chunks: list[bytes]) -> None:
    reader, read, wholes = FileNames(), list[tuple[str, str]](), list[pl.DataFrame]()
    for chunk in chunks:
        names, rest, frame, skipped = reader.parse(chunk, DETAILED)
        whole, left = parse_lines(chunk, DETAILED)
        assert skipped == left
        assert parse_lines(rest, DETAILED)[0].equals(frame)
        is_file = (pl.col("ph") == "M") & (pl.col("name") == "FH")
        assert frame.filter(~is_file).equals(whole.filter(~is_file), null_equal=True)
        raw = pl.col("args").struct.field("raw").is_not_null()
        assert frame.filter(is_file & raw).equals(whole.filter(is_file & raw))
        read += [*names.with_columns(pl.col("fhash").cast(pl.String)).rows(), *named(frame)]
        wholes.append(whole)
    found = dict(reversed(read))
    assert found == dict(named(pl.concat(wholes)))


@settings(max_examples=400, deadline=None)
@given(st.lists(st.lists(lines(), min_size=1, max_size=6), min_size=1, max_size=3))
def test_names_are_those_that_a_reader_of_json_takes(made: list[list[str]]) -> None:
    check(["".join(f"{line}\n" for line in chunk).encode("utf-8", "surrogatepass") for chunk in made])


def line(value: str, name: str) -> str:
    arguments = {"hhash": "a", "name": name, "value": value}
    made = {"name": "FH", "cat": "dftracer", "ph": "M", "pid": 0, "tid": 0, "args": arguments}
    return json.dumps(made, separators=(",", ":")) + "\n"


def test_each_name_is_given_once_and_its_line_to_no_other_reader() -> None:
    reader = FileNames()
    chunk = "".join(line(f"{number:016x}", f"/data/{number}") for number in range(1009)).encode()
    names, others, frame, skipped = reader.parse(b"[\n" + chunk, DETAILED)
    assert names.rows() == [(f"{number:016x}", f"/data/{number}") for number in range(1009)]
    assert (others, len(frame), skipped) == (b"[\n", 0, 0)
    names, others, *_ = reader.parse(chunk + line("b", "/other").encode(), DETAILED)
    assert (names.rows(), others) == ([("b", "/other")], b"")


@pytest.mark.parametrize("names", [("/plain", "/\N{GREEK SMALL LETTER MU}"), ("/\N{GREEK SMALL LETTER MU}", "/plain")])
def test_of_two_names_of_one_file_the_first_counts(names: tuple[str, str]) -> None:
    chunk = "".join(line("f1", name) for name in names).encode()
    found, others, frame, _ = FileNames().parse(chunk, DETAILED)
    assert found.is_empty()
    assert others == chunk
    assert named(frame) == [("f1", names[0])]


def test_a_long_name() -> None:
    name = "/d" * 40_000
    assert FileNames().parse(line("f1", name).encode(), DETAILED)[0].rows() == [("f1", name)]
    check([line("f" * 5000, name).encode()])
