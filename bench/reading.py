#!/usr/bin/env python3
"""Measure what reading a large trace takes: to tables, to JSON and to a page, beside DuckDB on the same file.

python bench/reading.py [--quick] [--json FILE]
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from _figures import Goal, ratio, spread
from _harness import tell, workplace
from _result import Result, Table, measure
from _synthetic import write_trace

if TYPE_CHECKING:
    from collections.abc import Sequence

CALLS, QUICK_CALLS, TIMES = 10_000_000, 300_000, 4
ROUNDS = 3
TABLES, PAGE, FUNCTIONS, DUCKDB = "tables", "page", "table of functions", "DuckDB"
TABLES_SECONDS, PAGE_SECONDS, PEAK_MIB, LINEAR = 8.0, 15.0, 1024.0, 1.2
REPORT = Path(sysconfig.get_path("scripts")) / "datacrumbs_report"
TEXT = f"""\
A trace by the product's writer: calls of MPI-IO, of the C library and of the system inside each other, by 16 threads on
19,303 files. `{TABLES}` is `datacrumbs_report TRACE`, `{FUNCTIONS}` the same with `--by function`, `{PAGE}` with
`--html`. DuckDB reads the calls into a table and groups them by function and by file, with three percentiles; it knows
nothing of calls inside others. Seconds of wall-clock time and of processor time, and the largest resident memory."""
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


@dataclass(frozen=True, slots=True)
class Spent:
    """What one run of a command took."""

    wall: float
    processor: float
    peak_mib: float


def take(quick: bool) -> Result:
    calls = QUICK_CALLS if quick else CALLS
    with workplace() as place:
        trace, larger = place / "run.pfw.gz", place / "larger.pfw.gz"
        tell(f"reading: a trace of {calls:,} calls")
        write_trace(trace, calls)
        commands = the_commands(trace, place / "page.html")
        spent: dict[str, list[Spent]] = {name: [] for name in commands}
        for number in range(1 if quick else ROUNDS):
            for name, command in commands.items():
                tell(f"reading: round {number + 1}, {name}")
                spent[name].append(run(command))
        tell(f"reading: a trace of {TIMES * calls:,} calls")
        write_trace(larger, TIMES * calls)
        long = run([REPORT, larger, "--by", "function"])
        sizes = trace.stat().st_size, larger.stat().st_size
    rows = [row(f"{name}, {calls / 1e6:g} M calls", values) for name, values in spent.items()]
    rows.append(row(f"{FUNCTIONS}, {TIMES * calls / 1e6:g} M calls", [long]))
    table = Table("", ["", "wall, s", "processor, s", "peak, MiB"], rows)
    figures = {name: [[each.wall, each.processor, each.peak_mib] for each in values] for name, values in spent.items()}
    figures |= {"larger": [[long.wall, long.processor, long.peak_mib]], "bytes": list(sizes)}
    return Result("reading", "Reading a trace", TEXT, [table], goals(spent, long), figures)


def goals(spent: dict[str, list[Spent]], long: Spent) -> list[Goal]:
    wall = {name: median(each.wall for each in values) for name, values in spent.items()}
    short = median(each.processor for each in spent[FUNCTIONS])
    found = [
        Goal("a large trace to tables", TABLES_SECONDS, wall[TABLES], "s"),
        Goal("the same, to a page", PAGE_SECONDS, wall[PAGE], "s"),
        *(
            Goal(f"memory for {what}", PEAK_MIB, max(each.peak_mib for each in spent[name]), "MiB")
            for what, name in (("tables", TABLES), ("a page", PAGE))
        ),
        Goal(f"memory for {TIMES} times as many calls", PEAK_MIB, long.peak_mib, "MiB"),
        Goal(f"time for {TIMES} times as many calls", LINEAR * TIMES, long.processor / short, "times"),
    ]
    if DUCKDB in spent:
        ours, theirs = ([each.processor for each in spent[name]] for name in (TABLES, DUCKDB))
        found.append(Goal("tables, to DuckDB's processor time", 1.0, ratio(ours, theirs), ""))
    return found


def the_commands(trace: Path, page: Path) -> dict[str, list[str | Path]]:
    """What is measured, by name; without DuckDB where it is not installed."""
    commands: dict[str, list[str | Path]] = {
        FUNCTIONS: [REPORT, trace, "--by", "function"],
        TABLES: [REPORT, trace],
        "JSON": [REPORT, trace, "--json"],
        PAGE: [REPORT, trace, "--html", page],
    }
    if find_spec("duckdb"):
        program = "import duckdb, sys; [print(duckdb.sql(each)) for each in sys.argv[1].split(';') if each.strip()]"
        commands[DUCKDB] = [sys.executable, "-c", program, QUERY.format(trace=trace)]
    return commands


def run(command: Sequence[str | Path]) -> Spent:
    """Run a command, which must do its work."""
    begin = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]}: exit {process.returncode}")
    return Spent(time.monotonic() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def row(name: str, values: Sequence[Spent]) -> list[str]:
    numbers = zip(*((each.wall, each.processor, each.peak_mib) for each in values), strict=True)
    return [name, *(spread(list(column), digits) for column, digits in zip(numbers, (1, 1, 0), strict=True))]


if __name__ == "__main__":
    measure(take, __doc__)
