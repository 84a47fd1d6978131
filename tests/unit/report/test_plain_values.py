"""Values of data classes as bytes and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray  # noqa: TC002 - values are made by the types of fields

from datacrumbs.report.plain_values import from_bytes, to_bytes
from datacrumbs.trace.columns import WORD
from datacrumbs.trace.dataframes import pl


class Pair(NamedTuple):
    first: int
    second: str | None


@dataclass(frozen=True)
class Inner:
    number: int
    shares: dict[int, float] = field(default_factory=dict)


@dataclass
class Outer:
    path: Path
    anything: dict[str, Any]
    keyed: dict[tuple[int, str], Inner]
    pairs: list[Pair]
    places: tuple[Inner, ...]
    fixed: tuple[tuple[str, bool], Inner]
    counts: NDArray[np.float64]
    missing: dict[str, int] | None = None


def value() -> Outer:
    strange = "a\udcff\n\x1b\u2028"
    return Outer(
        Path("/data/\udc80x"),
        {strange: [1, {"deep": 1 << 70}], "float": 0.1},
        {(7, strange): Inner(11, {-3: 1e-300})},
        [Pair(13, None), Pair(-(1 << 62), strange)],
        (Inner(17), Inner(19)),
        (("x", True), Inner(23)),
        np.arange(12.0).reshape(3, 4) / 7,
        {"n": 29},
    )


def test_what_comes_back_is_the_same() -> None:
    found = from_bytes(Outer, to_bytes(value()))
    expected = value()
    assert np.array_equal(found.counts, expected.counts)
    found.counts = expected.counts = np.zeros(0)
    assert found == expected


def test_frames() -> None:
    frame = pl.DataFrame({"a": [1, None, 3], "b": ["x", None, "\u00e9"], "c": [True, False, None]})
    frame = frame.with_columns(pl.col("b").cast(WORD).alias("d"), pl.lit(7, pl.UInt32).alias("e"))
    found = from_bytes(pl.DataFrame, to_bytes(frame))
    assert found.equals(frame)
    assert found.schema == frame.schema
    empty = frame.clear()
    assert from_bytes(pl.DataFrame, to_bytes(empty)).schema == empty.schema


@pytest.mark.parametrize("data", [b"", b"{}\n", b"[1]\n", b"[[],[]]\n", b'[["x"],[3]]\nab', b"\xff\n"])
def test_what_is_no_such_value_is_refused(data: bytes) -> None:
    with pytest.raises((ValueError, TypeError, LookupError)):
        from_bytes(Outer, data)
