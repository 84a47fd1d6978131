"""A trace's lines, read with Python's own json and gzip."""

from __future__ import annotations

import gzip
import json


def lines_of(data: bytes) -> list[dict]:
    text = gzip.decompress(data).split(b"\n")
    assert text[0] == b"["
    assert text[-2:] == [b"]", b""]
    return [json.loads(line) for line in text[1:-2]]
