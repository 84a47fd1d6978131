#!/usr/bin/env python3
"""Measure ways to turn call records into gzipped JSON lines; the decision is docs/design/0004-trace-writing.md.

Every candidate writes the same rows: a fixed-seed mix of eight shapes (four arguments at most, a
file or none), in batches as the ring gives them. What gives text has it compressed by ISA-L's level 1; the
last lines compare compressors on one text. Rates are of processor time, all threads together.

    python bench/lines.py [--rows 1000000] [--batch 16384] [--rounds 3]
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import platform
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from isal import igzip

from datacrumbs.model.contract import MissingKind
from datacrumbs.model.layouts import RECORD
from datacrumbs.model.plan import Result
from datacrumbs.trace.line_shape import Field, Shape
from datacrumbs.trace.lines import Lines
from datacrumbs.trace.templates import templates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
        "dur": random.integers(0, 60, rows),
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


def shape_of(number: int) -> Shape:
    """The product's description of one of the shapes."""
    labels = SHAPES[number][2]
    fields = tuple(Field(label, slot, 8, signed=False) for slot, label in enumerate(labels))
    return Shape(b"," + HEADS[number].encode(), b"}}\n", fields, Result.VALUE, -1, bytes_key=False, system_call=False)


def records(batch: dict[str, Any]) -> Any:
    """The batch as the ring gives it."""
    calls = np.zeros(len(batch["id"]), RECORD)
    calls["start"], calls["duration"] = batch["ts"].astype(np.uint64) * np.uint64(1000), batch["dur"] * 1000
    calls["process"], calls["thread"], calls["function"] = batch["pid"], batch["tid"], batch["shape"]
    calls["flags"], calls["result"] = 1, batch["ret"]
    calls["values"][:, :4] = batch["values"]
    calls["file"] = np.where(np.array([shape[3] for shape in SHAPES])[batch["shape"]], batch["hash"], 0)
    return calls


def library(batches: list[Any]) -> list[bytes]:
    """The product's own: lines and their compression in one step."""
    made = Lines(len(SHAPES), 0, filtering=False)
    members = []
    for calls in batches:
        while len(missing := made.missing(calls)):
            for kind, identity in missing.tolist():
                if kind == MissingKind.FUNCTION:
                    made.function(identity, templates(shape_of(identity), HASH))
                elif kind != MissingKind.PAIR:
                    made.name(identity, identity, included=True)
        made.take(calls)
        while not made.render():
            members.append(made.member())
    return [*members, made.member()]


def compressed(writer: Callable[[dict[str, Any]], bytes]) -> Callable[[list[Any]], list[bytes]]:
    """Text in members of the size that the product makes."""

    def write(batches: list[Any]) -> list[bytes]:
        return [igzip.compress(writer(batch), compresslevel=1, mtime=0) for batch in batches]

    return write


def candidates() -> dict[str, Callable[[list[Any]], list[bytes]]]:
    """The writers that can be measured here."""
    texts = {"polars format": polars_format, "polars struct": polars_struct, "json.dumps": json_dumps}
    try:
        import msgspec  # noqa: PLC0415 - measured when it is there, no dependency of ours
    except ImportError:
        pass
    else:
        encoder = msgspec.json.Encoder()
        texts["msgspec"] = lambda batch: encoder.encode_lines(dictionaries(batch))
    return {"library": library, **{name: compressed(writer) for name, writer in texts.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--batch", type=int, default=16384)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    data = synthetic(options.rows)
    batches = [
        {name: column[start : start + options.batch] for name, column in data.items()}
        for start in range(0, options.rows, options.batch)
    ]
    inputs = {"library": [records(batch) for batch in batches]}
    print(f"{platform.machine()} {platform.release()}, Python {platform.python_version()}, polars {pl.__version__}")
    print(f"{options.rows} rows in batches of {options.batch}, best of {options.rounds} interleaved rounds")
    best: dict[str, float] = {}
    sizes: dict[str, int] = {}
    texts: dict[str, bytes] = {}
    for _ in range(options.rounds):
        for name, writer in candidates().items():
            begin = time.process_time()
            members = writer(inputs.get(name, batches))
            best[name] = min(best.get(name, 1e9), time.process_time() - begin)
            sizes[name] = sum(map(len, members))
            texts[name] = gzip.decompress(b"".join(members))
    for name, taken in best.items():
        # The library orders by function and outcome and counts the lines so.
        if sorted(json.loads(row)["ts"] for row in texts[name].splitlines()) != sorted(data["ts"].tolist()):
            raise SystemExit(f"{name}: not the same rows")
        print(f"{name:15} {options.rows / taken / 1e6:6.2f} M rows/s  {sizes[name] / options.rows:5.1f} B a row")
    text = texts["library"]
    for name, compress in (("isal 1", igzip.compress), ("zlib 1", gzip.compress), ("zlib 6", gzip.compress)):
        begin = time.process_time()
        size = len(compress(text, compresslevel=int(name[-1])))
        rate = len(text) / (time.process_time() - begin) / 1e6
        print(f"the same text by {name}: {rate:4.0f} MB/s, {size / options.rows:5.1f} B a row")


if __name__ == "__main__":
    main()
