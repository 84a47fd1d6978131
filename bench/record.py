#!/usr/bin/env python3
"""Measure what `datacrumbs record` adds to a command that does next to nothing, beside other tracers.

sudo python bench/record.py [--quick] [--json FILE]
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sysconfig
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from _figures import Goal, added, spread
from _harness import tell, workplace
from _result import Result, Table, measure

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMAND = ("date", "+%s.%N")
OURS, BARE = "datacrumbs record", "bare"
ADDED_SECONDS, WAIT_SECONDS = 1.0, 0.7
WARM_UPS = 2  # the second one remembers: what the first one made has settled by then
SETTLED_SECONDS = 2.5
TEXT = f"""\
`{" ".join(COMMAND)}` recorded as root without a set-up, the report printed; warm: the plan is remembered, the probe
program is kept. All in turn. The command says when it began. Processor seconds are those
of all processes. bpftrace attaches nothing but its own BEGIN."""


def take(quick: bool) -> Result:
    with workplace() as directory, tempfile.TemporaryDirectory(prefix="datacrumbs-bench-") as prefix:
        Path(prefix).chmod(0o755)
        tracers = commands(directory, prefix)
        for _ in range(WARM_UPS):
            once(tracers[OURS], directory)
            time.sleep(SETTLED_SECONDS)
        found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in tracers}
        for number in range(2 if quick else 11):
            tell(f"record: round {number + 1}")
            for name, words in tracers.items():
                found[name].append(once(words, directory))
    waited, total, worked = (
        {name: [each[place] for each in values] for name, values in found.items()} for place in range(3)
    )
    rows = [[name, *(spread(each[name], 2) for each in (waited, total, worked))] for name in tracers]
    goals = [
        Goal("recording a command, over bare", ADDED_SECONDS, added(total[OURS], total[BARE]), "s"),
        Goal("until the command begins", WAIT_SECONDS, median(waited[OURS]), "s"),
    ]
    table = Table("", ["", "seconds until it begins", "seconds in all", "processor seconds"], rows)
    raw = {"waited": waited, "total": total, "worked": worked}
    return Result("record", "Recording one command", TEXT, [table], goals, raw)


def commands(directory: Path, prefix: str) -> dict[str, list[str | Path]]:
    """Each tracer's command line, of those that are installed."""
    ours = Path(sysconfig.get_path("scripts")) / "datacrumbs_record"
    program = shutil.which(COMMAND[0]) or COMMAND[0]  # bpftrace does not look for it
    script = ["-e", "BEGIN { @ = count(); }", "-c", " ".join((program, *COMMAND[1:]))]
    every: dict[str, list[str | Path]] = {
        BARE: [*COMMAND],
        OURS: [ours, "--prefix", prefix, "-o", directory / "record.pfw.gz", "--", *COMMAND],
        "strace -c": ["strace", "-f", "-c", "-o", directory / "strace.txt", *COMMAND],
        "perf record": ["perf", "record", "-q", "-o", directory / "perf.data", "--", *COMMAND],
        "bpftrace": ["bpftrace", "-q", "-o", directory / "bpftrace.txt", *script],
    }
    return {name: words for name, words in every.items() if shutil.which(words[0])}


def once(words: Sequence[str | Path], directory: Path) -> tuple[float, float, float]:
    """Seconds until the command began, and until all was over; seconds of processors, of all processes."""
    begin, clock, before = time.perf_counter(), time.time(), processor_seconds()
    (directory / "record.pfw.gz").unlink(missing_ok=True)
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=directory)
    seconds = time.perf_counter() - begin
    return float(done.stdout.split()[0]) - clock, seconds, processor_seconds() - before


def processor_seconds() -> float:
    """Of all children that were waited for, and theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    measure(take, __doc__)
