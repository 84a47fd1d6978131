#!/usr/bin/env python3
"""Run all measurements, one after the other, and print what was to be reached beside what was.

sudo python bench/run.py [--quick] [--results DIR] [NAME ...]
sudo python bench/run.py --against CHECKOUT [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from _harness import tell
from _result import conditions, from_json, goal_table
from against import compare

HERE = Path(__file__).resolve().parent
RESULTS, QUICK_RESULTS = HERE.parent / ".cache/bench", HERE.parent / ".cache/bench-quick"
MEASUREMENTS = (
    "compose",
    "record",
    "attach",
    "start",
    "calls",
    "costs",
    "spawn",
    "growth",
    "sustained",
    "size",
    "idle",
    "watching",
    "programs",
    "reading",
)
NOT_QUICK = {"growth", "size"}  # of one short round they say little


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: {' '.join(MEASUREMENTS)}")
    parser.add_argument("--quick", action="store_true", help="under two minutes; rough, and not all of them")
    parser.add_argument("--results", type=Path, metavar="DIR", help="default: .cache/bench, or .cache/bench-quick")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="only compare it with this one, in turn")
    parser.add_argument("--rounds", type=int, default=7, help="of --against (7)")
    options = parser.parse_args()
    if options.against:
        compare(options.against.resolve(), options.rounds)
        return 0
    options.results = options.results or (QUICK_RESULTS if options.quick else RESULTS)
    begin = time.monotonic()
    names = options.names or [name for name in MEASUREMENTS if not (options.quick and name in NOT_QUICK)]
    failed = []
    for name in names:
        options.results.joinpath(f"{name}.json").unlink(missing_ok=True)
        tell(f"== {name} ({time.monotonic() - begin:.0f} s)")
        words = [sys.executable, HERE / f"{name}.py", "--json", options.results / f"{name}.json"]
        if subprocess.run([*words, *(["--quick"] if options.quick else [])], check=False).returncode:
            failed.append(name)
    found = [options.results / f"{name}.json" for name in names if name not in failed]
    results = [from_json(json.loads(path.read_text(encoding="utf-8"))) for path in found]
    if results:
        print(f"\n# All goals\n\n{conditions(results[0].machine)}\n")
        print(goal_table([goal for result in results for goal in result.goals]))
    print(f"\n{time.monotonic() - begin:.0f} s; figures in {options.results}")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
