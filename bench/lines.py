#!/usr/bin/env python3
"""Measure ways to turn call records into JSON lines; the decision is docs/design/0004-trace-writing.md.

Every candidate writes the same rows: a fixed-seed mix of eight shapes (six arguments at most, a
file or none, a failure or none), in batches as the ring gives them. Rates are of one thread.

    python bench/lines.py [--rows 1000000] [--batch 16384] [--rounds 3]
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import time
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from datacrumbs.trace.compress import IsalCompressor, ZlibCompressor
from datacrumbs.trace.lines import Table, hash_table, render, text_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from datacrumbs.trace.lines import Piece

SHAPES = [
    ("open", "POSIX", ("flags", "mode"), True),
    ("read", "POSIX", ("count",), True),
    ("write", "POSIX", ("count",), True),
    ("pwrite", "POSIX", ("count", "offset"), True),
    ("fread", "STDIO", ("size", "count"), True),
    ("stat", "POSIX", (), True),
    ("close", "POSIX", (), False),
    ("mmap", "POSIX", ("length", "prot", "flags", "offset"), True),
]
HEADS = [f'"name":"{name}","cat":"{category}","pid":' for name, category, _, _ in SHAPES]
COLUMNS = ("id", "pid", "tid", "ts", "dur", "ret")
HASH = "e696ebc220787810"


def synthetic(rows: int) -> dict[str, Any]:
    """Columns of ``rows`` calls, the same for the same number of rows."""
    random = np.random.default_rng(20)
    return {
        "shape": random.choice(len(SHAPES), rows, p=[0.05, 0.3, 0.3, 0.1, 0.1, 0.05, 0.05, 0.05]),
        "id": np.arange(rows, dtype=np.int64),
        "pid": random.integers(1000, 1008, rows),
        "tid": random.integers(1000, 1032, rows),
        "ts": 1_790_000_000_000_000 + np.cumsum(random.integers(0, 50, rows)),
        "dur": random.integers(0, 4000, rows),
        "ret": random.integers(0, 1 << 20, rows),
        "values": random.integers(0, 1 << 22, (rows, 4)),
        "hash": random.integers(1 << 60, 1 << 62, 997).astype(np.uint64)[random.integers(0, 997, rows)],
    }


def variants(batch: dict[str, Any]) -> Iterator[tuple[int, Any]]:
    """The shapes of a batch and the positions of their rows."""
    order = np.argsort(batch["shape"], kind="stable")
    shapes, starts = np.unique(batch["shape"][order], return_index=True)
    for shape, rows in zip(shapes, np.split(order, starts[1:]), strict=True):
        yield int(shape), rows


def frame(batch: dict[str, Any], shape: int, rows: Any) -> pl.DataFrame:
    """One variant's columns."""
    columns = {name: batch[name][rows] for name in COLUMNS}
    columns |= {label: batch["values"][rows, slot] for slot, label in enumerate(SHAPES[shape][2])}
    if SHAPES[shape][3]:
        distinct, index = np.unique(batch["hash"][rows], return_inverse=True)
        columns["fhash"] = pl.Series([f"{number:016x}" for number in distinct.tolist()]).gather(index)
    return pl.DataFrame(columns)


def polars_format(batch: dict[str, Any]) -> bytes:
    """`pl.format` with one template per variant."""
    parts = []
    for shape, rows in variants(batch):
        labels, file = SHAPES[shape][2], SHAPES[shape][3]
        template = (
            '{"id":{},' + HEADS[shape] + '{},"tid":{},"ts":{},"dur":{},"ph":"X","args":{"hhash":"' + HASH + '","ret":{}'
        )
        names = [*COLUMNS, *labels]
        template += "".join(f',"{label}":{{}}' for label in labels)
        if file:
            names.append("fhash")
            template += ',"fhash":"{}"'
        pieces = (template + "}}\n").split("{}")
        expressions = [pl.lit(pieces[0])]
        for name, piece in zip(names, pieces[1:], strict=True):
            expressions += [pl.col(name), pl.lit(piece)]
        lines = frame(batch, shape, rows).select(pl.concat_str(expressions).str.join(""))
        parts.append(lines.item().encode())
    return b"".join(parts)


def polars_struct(batch: dict[str, Any]) -> bytes:
    """`write_ndjson` of a frame with a struct column per variant."""
    output = io.BytesIO()
    for shape, rows in variants(batch):
        name, category, labels, file = SHAPES[shape]
        inner = [pl.lit(HASH).alias("hhash"), "ret", *labels, *(["fhash"] if file else [])]
        frame(batch, shape, rows).select(
            "id",
            pl.lit(name).alias("name"),
            pl.lit(category).alias("cat"),
            "pid",
            "tid",
            "ts",
            "dur",
            pl.lit("X").alias("ph"),
            pl.struct(inner).alias("args"),
        ).write_ndjson(output)
    return output.getvalue()


def numpy_bytes(batch: dict[str, Any]) -> bytes:
    """The writer's own `render`: byte matrices, numbers from a table of four digits, NULs dropped."""
    parts = []
    for shape, rows in variants(batch):
        labels, file = SHAPES[shape][2], SHAPES[shape][3]
        pieces: list[Piece] = [b'{"id":', batch["id"][rows], b"," + HEADS[shape].encode(), few(batch["pid"][rows])]
        pieces += [b',"tid":', few(batch["tid"][rows]), b',"ts":', batch["ts"][rows], b',"dur":', batch["dur"][rows]]
        pieces += [f',"ph":"X","args":{{"hhash":"{HASH}","ret":'.encode(), batch["ret"][rows]]
        for slot, label in enumerate(labels):
            pieces += [f',"{label}":'.encode(), batch["values"][rows, slot]]
        if file:
            distinct, index = np.unique(batch["hash"][rows], return_inverse=True)
            pieces.append(Table(hash_table(distinct, b',"fhash":"', b'"'), index))
        parts.append(render([*pieces, b"}}\n"], len(rows)))
    return b"".join(parts)


def few(numbers: Any) -> Table:
    """A table of the few distinct numbers."""
    distinct, index = np.unique(numbers, return_inverse=True)
    return Table(text_table([str(number).encode() for number in distinct.tolist()]), index)


def dictionaries(batch: dict[str, Any]) -> list[dict[str, Any]]:
    """A dict per event, as msgspec and json take it."""
    events = []
    for shape, rows in variants(batch):
        name, category, labels, file = SHAPES[shape]
        for row in frame(batch, shape, rows).to_dicts():
            inner = {"hhash": HASH, "ret": row["ret"], **{label: row[label] for label in labels}}
            if file:
                inner["fhash"] = row["fhash"]
            head = {"id": row["id"], "name": name, "cat": category, "pid": row["pid"], "tid": row["tid"]}
            events.append({**head, "ts": row["ts"], "dur": row["dur"], "ph": "X", "args": inner})
    return events


def json_dumps(batch: dict[str, Any]) -> bytes:
    """`json.dumps` per dict."""
    return "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in dictionaries(batch)).encode()


def candidates() -> dict[str, Callable[[dict[str, Any]], bytes]]:
    """The writers that can be measured here."""
    found = {"polars format": polars_format, "polars struct": polars_struct, "numpy bytes": numpy_bytes}
    found["json.dumps"] = json_dumps
    try:
        import msgspec  # noqa: PLC0415 - measured when it is there, no dependency of ours
    except ImportError:
        return found
    encoder = msgspec.json.Encoder()
    found["msgspec"] = lambda batch: encoder.encode_lines(dictionaries(batch))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=16384)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    data = synthetic(options.rows)
    batches = [
        {name: column[start : start + options.batch] for name, column in data.items()}
        for start in range(0, options.rows, options.batch)
    ]
    print(f"{platform.machine()} {platform.release()}, Python {platform.python_version()}, polars {pl.__version__}")
    print(f"{options.rows} rows in batches of {options.batch}, median of {options.rounds} rounds")
    reference = sorted(json.loads(line)["id"] for line in polars_format(batches[0]).splitlines())
    for name, writer in candidates().items():
        rates = []
        if sorted(json.loads(line)["id"] for line in writer(batches[0]).splitlines()) != reference:
            raise SystemExit(f"{name}: not the same rows")
        for _ in range(options.rounds):
            begin = time.perf_counter()
            size = sum(len(writer(batch)) for batch in batches)
            rates.append(options.rows / (time.perf_counter() - begin))
        print(f"{name:15} {median(rates) / 1e6:6.2f} M rows/s  {size / options.rows:5.0f} B a row")
    text = b"".join(numpy_bytes(batch) for batch in batches[:10])
    for compressor in (IsalCompressor(), ZlibCompressor()):
        begin = time.perf_counter()
        size = sum(len(compressor.member(text[at : at + (2 << 20)])) for at in range(0, len(text), 2 << 20))
        rate = len(text) / (time.perf_counter() - begin) / 1e6
        print(f"{type(compressor).__name__:15} {rate:6.0f} MB/s, ratio {len(text) / size:.1f}")


if __name__ == "__main__":
    main()
