"""What every reader must say of a directory of traces; any traces will do, synthetic or recorded."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import polars as pl

from datacrumbs.report.exports.endings import export
from datacrumbs.report.exports.trees import processes
from datacrumbs.trace.json_lines import MOVING
from datacrumbs.trace.reader import find_traces, read_traces

if TYPE_CHECKING:
    from pathlib import Path


def our_counts(directory: Path) -> dict[str, int]:
    """Calls by name, as our own reader counts them."""
    frame = read_traces(find_traces([directory])).calls.select("name").collect()
    return dict(sorted((str(name), count) for name, count in frame["name"].value_counts().iter_rows()))


def our_bytes(directory: Path, categories: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """Calls and bytes by name of some categories, as our own reader counts them."""
    calls = read_traces(find_traces([directory])).calls.filter(pl.col("category").cast(pl.String).is_in(categories))
    rows = calls.group_by("name").agg(pl.len(), pl.col("bytes").sum().alias("bytes")).collect().iter_rows()
    return {str(name): (count, size) for name, count, size in rows}


def check_validate(reader: Any, directory: Path) -> None:
    """Every line is valid JSON for dftracer_validate."""
    said = reader.run("dftracer_validate", "-d", str(directory))
    assert re.search(r"\b0 failed", said), said


def check_event_count(reader: Any, directory: Path) -> None:
    """dftracer_event_count counts the calls that we count."""
    assert int(reader.run("dftracer_event_count", "-d", str(directory)).split()[-1]) == sum(
        our_counts(directory).values()
    )


def check_view(reader: Any, trace: Path, index: Path) -> list[dict[str, Any]]:
    """dftracer_view groups all calls by name and gives the same counts; its rows by file are returned."""
    common = ("--files", str(trace), "--index-dir", str(index))
    by_name = reader.run("dftracer_view", *common, "--group-by", "name", "--agg", "count,sum:size,p99:dur")
    rows = [json.loads(line) for line in by_name.splitlines() if line.startswith("{")]
    assert {row["name"]: row["count"] for row in rows} == our_counts(trace)
    moved = our_bytes(trace, ("POSIX", "STDIO"))
    sizes = {row["name"]: row["sum_size"] or 0 for row in rows if row["name"] in moved}
    # The reader takes sizes from the functions that it knows, which MOVING lists.
    assert {name: sizes[name] for name in moved if name in MOVING} == {
        name: size for name, (_, size) in moved.items() if name in MOVING
    }
    by_file = reader.run("dftracer_view", *common, "--group-by", "file_path", "--agg", "count,sum:size,p99:dur")
    return [json.loads(line) for line in by_file.splitlines() if line.startswith("{")]


def check_perfetto(perfetto: Any, trace: Path) -> None:
    """Perfetto shows every call as a slice, dropped none and stumbled over nothing."""
    slices, errors = perfetto.query(
        trace,
        "select name, count(*) from slice group by name order by name",
        "select name, value from stats where severity in ('error', 'data_loss') and value > 0",
    )
    assert errors == []
    assert dict(slices) == our_counts(trace)


def check_export(perfetto: Any, trace: Path, timeline: Path) -> None:
    """Perfetto shows every call of an exported timeline inside the one that it was made in."""
    traces = read_traces([trace])
    export(traces, traces.calls, timeline)
    slices, pairs, errors = perfetto.query(
        timeline,
        "select name, count(*) from slice where category is not null group by name order by name",
        "select p.name, c.name, count(*) from slice c join slice p on c.parent_id = p.id group by 1, 2",
        "select name, value from stats where severity in ('error', 'data_loss') and value > 0",
    )
    assert errors == []
    assert dict(slices) == our_counts(trace)
    expected: Counter[tuple[str, str]] = Counter()
    for nested in processes(traces, traces.calls):
        names, parent = nested["name"].cast(pl.String).to_list(), nested["parent"].to_list()
        instants = nested["ret"].is_null() & (nested["dur"] <= 0)
        expected.update((names[above], name) for above, name in zip(parent, names, strict=True) if above >= 0)
        assert not any(instants.gather([above for above in parent if above >= 0]))
    assert {(above, name): count for above, name, count in pairs} == dict(expected)
