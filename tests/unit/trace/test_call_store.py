"""Calls that are kept: however narrow they are in memory or in files, all columns are there again."""

from __future__ import annotations

import pytest

from datacrumbs.trace import call_store
from datacrumbs.trace.call_store import CallStore
from datacrumbs.trace.columns import DETAILS, WORD, FunctionNumbers, Readers
from datacrumbs.trace.dataframes import pl

FUNCTIONS = 311
PARTS = 3
CALL = (
    '{{"name":"f{0}","cat":"C{1}","ph":"X","pid":{2},"tid":{3},"ts":{4},"dur":{5},'
    '"args":{{"fhash":"h{1}","ret":{6},"bytes":{6},"fd":{0},"whence":{7},"symbol":"s{0}","depth":1}}}}\n'
)
LONGEST = 1 << 40
"""us between two calls of a part: more than 32 bits."""


def a_row(number: int) -> tuple[int, ...]:
    big = number % 5 == 0
    return (number, number % 3, 1 << 21 if big else 7, 9, number * LONGEST, 1 << 33 if big else 3, -1, number % 300)


def stored(memory: int) -> tuple[pl.DataFrame, CallStore]:
    """All calls of some parts, and where they are kept."""
    readers = Readers(details=True)
    store = CallStore(readers.functions, memory, details=True)
    for part in range(PARTS):
        text = "".join(CALL.format(*a_row(number)) for number in range(part, FUNCTIONS, PARTS))
        calls = readers.part([text.encode()]).calls
        assert calls is not None
        store.add(part, calls)
    parts = store.parts(lambda hashes: hashes.cast(pl.String))
    return pl.concat(part.calls for part in parts).collect(), store


@pytest.mark.parametrize("memory", [call_store.MEMORY, 1])
def test_calls_are_given_back_as_they_were(memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_store, "FILE_ROWS", 101)
    calls, store = stored(memory)
    assert (store.spill is not None) == (memory == 1)
    expected = [a_row(number) for part in range(PARTS) for number in range(part, FUNCTIONS, PARTS)]
    for column, place in {"pid": 2, "tid": 3, "ts": 4, "dur": 5, "ret": 6, "fd": 0}.items():
        assert calls[column].to_list() == [row[place] for row in expected]
    texts = calls.select(pl.col("category", "name", "symbol", "fhash").cast(pl.String)).rows()
    assert texts == [(f"C{row[1]}", f"f{row[0]}", f"s{row[0]}", f"h{row[1]}") for row in expected]
    assert calls["whence"].to_list() == [row[7] if row[7] < 128 else None for row in expected]
    assert calls["order"].to_list() == list(range(FUNCTIONS))
    assert calls["trace"].to_list() == [part for part in range(PARTS) for _ in range(part, FUNCTIONS, PARTS)]
    assert calls["end"].to_list() == [row[4] + row[5] for row in expected]
    kinds = calls.schema
    assert {kinds[name] for name in ("category", "name", "symbol", "fhash", "to_hash")} == {WORD}
    assert {kinds[name] for name in ("order", "pid", "tid", "ts", "dur", "ret", "bytes", "depth")} == {pl.Int64}
    assert all(kinds[name] == kind for name, kind in DETAILS.items())
    store.remove()


def test_no_call_has_all_columns() -> None:
    (part,) = CallStore(FunctionNumbers()).parts(lambda hashes: hashes.cast(pl.String))
    calls = part.calls.collect()
    assert calls.is_empty()
    assert {"category", "name", "symbol", "ts", "end", "order", "path"} <= set(calls.columns)
