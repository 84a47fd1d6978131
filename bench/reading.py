#!/usr/bin/env python3
"""Measure what reading a large trace takes: to tables, JSON and a page, beside DuckDB and DFAnalyzer on the same files.

python bench/reading.py [--quick] [--json FILE]
"""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from _figures import Goal, ratio
from _harness import tell, workplace
from _peers import DFANALYZER, DUCKDB, analysis, environment
from _result import Result, Table, measure
from _spent import HEADINGS, Spent, absent, row, run
from _synthetic import write_trace

from datacrumbs.commands._command import PREFIX_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

CALLS, QUICK_CALLS, TIMES = 10_000_000, 300_000, 4
FEWER_CALLS = 1_000_000
"""For DFAnalyzer, which takes long."""
ROUNDS = 3
TABLES, AGAIN, PAGE, FUNCTIONS = "tables", "tables again, as they were kept", "page", "table of functions"
TABLES_SECONDS, PAGE_SECONDS, PEAK_MIB, LINEAR, OF_DFANALYZER = 8.0, 15.0, 1024.0, 1.2, 0.05
REPORT = Path(sysconfig.get_path("scripts")) / "datacrumbs_report"
FRESH = (REPORT, "--fresh")
TEXT = f"""\
A trace by the product's writer: calls of MPI-IO, of the C library and of the system inside each other, by 16 threads
on 19,303 files. `{TABLES}` is `datacrumbs_report TRACE`, `{FUNCTIONS}` the same with `--by function`, `{PAGE}` with
`--html`; all of them with `--fresh`, so that they read the trace. DuckDB reads the calls into a table and groups them
by function and by file, with three percentiles; it knows nothing of calls inside others. DFAnalyzer sums up a smaller
trace by its preset for POSIX, once, without an index from before. Seconds of wall-clock time and of processor time,
and the largest resident memory of one process."""
QUERY = """\
CREATE TEMP TABLE calls AS
SELECT cat, name, ts, dur, args->>'fhash' AS file, CAST(args->>'bytes' AS BIGINT) AS bytes, args->>'errno' AS errno
FROM read_json('{trace}', format='newline_delimited', ignore_errors=true,
               columns={{name:'VARCHAR', cat:'VARCHAR', ph:'VARCHAR', ts:'BIGINT', dur:'BIGINT', args:'JSON'}})
WHERE ph = 'X';
SELECT cat, name, count(*), count(errno), sum(bytes), sum(dur), quantile_disc(dur, [0.5, 0.9, 0.99]), max(dur)
FROM calls GROUP BY cat, name;
SELECT file, count(*), count(errno), sum(bytes), sum(dur) AS time, quantile_disc(dur, [0.5, 0.9, 0.99]), max(dur)
FROM calls GROUP BY file ORDER BY time DESC LIMIT 10;
"""


def take(quick: bool) -> Result:
    calls = QUICK_CALLS if quick else CALLS
    with workplace() as place:
        trace, larger = place / "run.pfw.gz", place / "larger.pfw.gz"
        tell(f"reading: a trace of {calls:,} calls")
        write_trace(trace, calls)
        keep_below(place)
        commands = the_commands(trace, place / "page.html")
        spent: dict[str, list[Spent]] = {name: [] for name in commands}
        for number in range(1 if quick else ROUNDS):
            for name, command in commands.items():
                tell(f"reading: round {number + 1}, {name}")
                spent[name] += [run(command)] if command else []
        tell(f"reading: a trace of {TIMES * calls:,} calls")
        write_trace(larger, TIMES * calls)
        long = run([*FRESH, larger, "--by", "function"])
        tell(f"reading: {TIMES * calls:,} calls, {TABLES}")
        long_tables = run([*FRESH, larger])
        sizes = trace.stat().st_size, larger.stat().st_size
        fewer = {} if quick else beside_dfanalyzer(place)
    rows = [shown(f"{name}, {calls / 1e6:g} M calls", values) for name, values in spent.items()]
    for name, each in ((FUNCTIONS, long), (TABLES, long_tables)):
        rows.append(row(f"{name}, {TIMES * calls / 1e6:g} M calls", [each]))
    rows += [shown(f"{name}, {FEWER_CALLS / 1e6:g} M calls", values) for name, values in fewer.items()]
    figures = {name: [each.numbers() for each in values] for name, values in spent.items()}
    figures |= {"larger": [long.numbers()], "larger, tables": [long_tables.numbers()], "bytes": list(sizes)}
    figures |= {f"fewer, {name}": [each.numbers() for each in values] for name, values in fewer.items()}
    found = goals(spent, long, long_tables, fewer)
    return Result("reading", "Reading a trace", TEXT, [Table("", HEADINGS, rows)], found, figures)


def keep_below(place: Path) -> None:
    """Have reports keep their results in a directory of this measurement, for root and for other users alike."""
    (place / "prefix/var/lib/datacrumbs").mkdir(parents=True)
    os.environ |= {PREFIX_VARIABLE: str(place / "prefix"), "XDG_CACHE_HOME": str(place / "cache")}


def beside_dfanalyzer(place: Path) -> dict[str, list[Spent]]:
    """What a smaller trace takes; nothing of DFAnalyzer where it is not here."""
    directory = place / "fewer"
    directory.mkdir()
    trace = directory / "run.pfw.gz"
    write_trace(trace, FEWER_CALLS)
    commands = {TABLES: [*FRESH, trace], DFANALYZER: analysis(directory, place / "result.json")}
    spent = {}
    for name, command in commands.items():
        tell(f"reading: {FEWER_CALLS:,} calls, {name}")
        spent[name] = [run(command, place=place)] if command else []
    return spent


def shown(name: str, values: Sequence[Spent]) -> list[str]:
    return row(name, values) if values else absent(name, "not here")


def goals(spent: dict[str, list[Spent]], long: Spent, long_tables: Spent, fewer: dict[str, list[Spent]]) -> list[Goal]:
    wall = {name: median(each.wall for each in values) for name, values in spent.items() if values}
    short = median(each.processor for each in spent[FUNCTIONS])
    found = [
        Goal("a large trace to tables", TABLES_SECONDS, wall[TABLES], "s"),
        Goal("the same, to a page", PAGE_SECONDS, wall[PAGE], "s"),
        *(
            Goal(f"memory for {what}", PEAK_MIB, max(each.peak_mib for each in spent[name]), "MiB")
            for what, name in (("tables", TABLES), ("a page", PAGE))
        ),
        Goal(f"memory for {TIMES} times as many calls", PEAK_MIB, max(long.peak_mib, long_tables.peak_mib), "MiB"),
        Goal(f"time for {TIMES} times as many calls", LINEAR * TIMES, long.processor / short, "times"),
    ]
    for name, measured, limit in ((DUCKDB, spent, 1.0), (DFANALYZER, fewer, OF_DFANALYZER)):
        ours, theirs = ([each.processor for each in measured.get(one, [])] for one in (TABLES, name))
        if theirs:
            found.append(Goal(f"tables, to {name}'s processor time", limit, ratio(ours, theirs), ""))
    return found


def the_commands(trace: Path, page: Path) -> dict[str, list[str | Path]]:
    """What is measured, by name; no words for what is not here."""
    program = "import duckdb, sys; [print(duckdb.sql(each)) for each in sys.argv[1].split(';') if each.strip()]"
    duckdb = environment(DUCKDB)
    return {
        FUNCTIONS: [*FRESH, trace, "--by", "function"],
        TABLES: [*FRESH, trace],
        AGAIN: [REPORT, trace],
        "JSON": [*FRESH, trace, "--json"],
        PAGE: [*FRESH, trace, "--html", page],
        DUCKDB: [duckdb / "bin/python", "-c", program, QUERY.format(trace=trace)] if duckdb else [],
    }


if __name__ == "__main__":
    measure(take, __doc__)
