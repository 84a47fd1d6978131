"""The footer of a trace that is found at its end, and files that are made to take long."""

from __future__ import annotations

import gzip
import struct
import zlib
from typing import TYPE_CHECKING

import pytest

from datacrumbs.trace import last_line
from datacrumbs.trace.last_line import footer_of

if TYPE_CHECKING:
    from pathlib import Path

FOOTER = b'{"name":"datacrumbs_footer","ph":"M","args":{"entered":7,"recorded":7}}\n'


def test_the_last_line_of_the_last_member(tmp_path: Path) -> None:
    trace = tmp_path / "x.pfw.gz"
    trace.write_bytes(gzip.compress(b"[\n" * 100_003) + gzip.compress(b"{}\n" + FOOTER + b"]\n"))
    assert footer_of(trace) == {"entered": 7, "recorded": 7}


@pytest.mark.parametrize(
    "line", [b'{"x":' + b"[" * 200_003, b"[" * 5003, b'{"name":"datacrumbs_footer","args":{}}' + b" " * 100_003 + b"x"]
)
def test_a_last_line_that_is_no_footer(tmp_path: Path, line: bytes) -> None:
    trace = tmp_path / "x.pfw.gz"
    trace.write_bytes(gzip.compress(b"[\n" + line))
    assert footer_of(trace) is None


def test_many_beginnings_of_members_that_never_end_take_bounded_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each begins a stored block that leads to one text that expands without end."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = compressor.compress(bytes(32 << 20)) + compressor.flush(zlib.Z_FULL_FLUSH)
    count, head = 2003, b"\x1f\x8b\x08\0\0\0\0\0\0\x03"
    stored = [struct.pack("<BHH", 0, size, size ^ 0xFFFF) for size in (15 * left for left in range(count - 1, -1, -1))]
    trace = tmp_path / "x.pfw.gz"
    trace.write_bytes(b"".join(head + block for block in stored) + bomb)
    make = zlib.decompressobj
    begun = []
    monkeypatch.setattr(last_line.zlib, "decompressobj", lambda bits: begun.append(bits) or make(bits))
    assert footer_of(trace) is None
    assert len(begun) <= 3
