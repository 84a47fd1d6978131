#!/usr/bin/env python3
"""Write docs/benchmarks.md from the figures of a whole run, and keep these beside it.

python bench/document.py [--results DIR] [--check]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from _result import Result, Table, conditions, from_json, goal_table
from run import MEASUREMENTS, RESULTS

ROOT = Path(__file__).resolve().parents[1]
PAGE, KEPT = ROOT / "docs/benchmarks.md", ROOT / "docs/benchmarks.json"
HEAD = """\
<!-- Written by bench/document.py from benchmarks.json; do not edit. -->

# Benchmarks

What tracing costs, beside other tracers in the same run.

```sh
sudo make bench                      # all of this on your machine, under 15 minutes
sudo make bench-quick                # under 2 minutes; the figures are rough
sudo .venv/bin/python bench/calls.py # one measurement alone; each of bench/ takes --quick and --json
make bench-docs                      # this page, from the figures of the last `make bench`
sudo make bench ARGS="--against DIR" # a call and a start with this checkout and another one, in turn
```

How to read it:

* In each round everyone takes turns: the bare program, ours, the others; so a machine that gets slower slows all.
  Figures are medians, in brackets the range over the rounds.
* Ours is run by its commands alone, as a user runs it, and must account for every call at the end of each run. It
  records each call with time, duration, result, arguments and file to a compressed trace.
* The reader of the ring and the writer of the trace need a processor of their own. On this small virtual machine they
  share two with the program; its single-stepping of a probed instruction is slow as well. Measure on yours before you
  compare.
"""
TAIL = """\
What compresses a trace's lines is compared by `sudo .venv/bin/python bench/compression.py`, which also takes `--quick`
and `--json`, and needs `.venv/bin/pip install deflate zlib-ng` for all of its rows; the choice is in
[a design note](design/0004-trace-writing.md). `bench/nodes.py` measures what the report of a job takes as the job has
more nodes, see [beside other tools](beside-other-tools.md#as-a-job-has-more-nodes).
"""


def page(results: list[Result]) -> str:
    """The whole document."""
    first = results[0].machine
    loads = Table(
        "",
        ["measurement", "load average before", "seconds"],
        [[result.name, result.machine["load average before"], f"{result.seconds:.0f}"] for result in results],
    )
    facts = {name: value for name, value in first.items() if name != "load average before"}
    goals = [goal for result in results for goal in result.goals]
    met = sum(goal.met for goal in goals)
    parts = [
        HEAD.strip(),
        f"The machine: {conditions(facts)}.",
        "## What was to be reached",
        f"{met} of {len(goals)} goals are met.",
        goal_table(goals),
        *(result.markdown() for result in results),
        "## The run",
        loads.markdown(),
        TAIL.strip(),
    ]
    return "\n\n".join(parts) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help="of a whole run (.cache/bench)")
    parser.add_argument("--check", action="store_true", help="only say whether the page is that of its figures")
    options = parser.parse_args()
    if not options.check:
        found = [options.results / f"{name}.json" for name in MEASUREMENTS]
        figures = [json.loads(path.read_text(encoding="utf-8")) for path in found if path.exists()]
        KEPT.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    text = page([from_json(document) for document in json.loads(KEPT.read_text(encoding="utf-8"))])
    if options.check:
        return PAGE.read_text(encoding="utf-8") != text
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
