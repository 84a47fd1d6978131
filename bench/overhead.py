#!/usr/bin/env python3
"""Measure what tracing costs dd and sqlite3, beside strace and bpftrace on the same system calls.

All variants take turns in each round, so that a machine that gets slower slows them all; figures are
medians. The daemon traces what the site file that comes with DataCrumbs says and is started anew in each round, since
an attached tracer slows the bare run, too; how much is the variant "attached, not traced". After each round the
counts of its trace must be complete.

    sudo python bench/overhead.py [--quick] [--rounds N] [--json FILE] [--markdown FILE]
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import subprocess
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from _harness import installation, machine, markdown_table, middle, replace_section, tell, timed
from _peers import Bpftrace, Strace

from datacrumbs import client
from datacrumbs.configure import default_site_file
from datacrumbs.probefile.plan import Attach
from datacrumbs.probefile.reader import read_unverified

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from datacrumbs.testing import Installation, RunningDaemon

BARE, BYSTANDER = "bare", ", attached, but not traced"
DEFAULT, SYSTEM_CALLS = "datacrumbs", "datacrumbs, system calls only"
VARIANTS = {DEFAULT: (), SYSTEM_CALLS: ("--providers", "sys")}
_PROCESS = re.compile(rb'"pid":(\d+)')
MEMORY = Path("/dev/shm")  # noqa: S108 -- files without a disk: a disk's own noise would hide the tracer
REPEATS = 3  # of a variant in its turn; strace takes too long for more than one


@dataclass
class Workload:
    """One command.

    Args:
        name: For the tables.
        program: Name of its process.
        command: What is run, below a directory on a memory file system.
        prepare: What makes its input new before each run.
        calls: System calls of one run that the probe file has, by kernel name.
        recorded: Variant of ours -> calls in its trace of one run; with libc's, where they are probed.
        seconds: Variant -> one figure per round, in order.
        lost: Variant -> calls that it could not tell of.
    """

    name: str
    program: str
    command: list[str]
    prepare: Callable[[], None] = lambda: None
    calls: Counter[str] = field(default_factory=Counter)
    recorded: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    lost: Counter[str] = field(default_factory=Counter)

    def measure(self, variant: str, run: Callable[[list[str]], float], repeats: int) -> None:
        """Add one figure: the median of some runs right after each other."""
        figures = []
        for _ in range(repeats):
            self.prepare()
            figures.append(run(self.command))
        self.seconds[variant].append(median(figures))


def workloads(directory: Path, scale: int) -> list[Workload]:
    """The commands; ``scale`` 10 is the full size."""
    dd = ["dd", "if=/dev/zero", "of=/dev/null", "status=none"]
    database = directory / "new.db"
    inserts = {"one transaction": (5000 * scale, True), "a transaction each": (100 * scale, False)}
    found = [
        Workload(f"dd bs=4k count={10_000 * scale}", "dd", [*dd, "bs=4k", f"count={10_000 * scale}"]),
        Workload(f"dd bs=1 count={10_000 * scale}", "dd", [*dd, "bs=1", f"count={10_000 * scale}"]),
    ]
    for number, (title, (count, together)) in enumerate(inserts.items()):
        script = directory / f"script{number}.sql"
        rows = [f"insert into t values ({row}, 'value {row}');" for row in range(count)]  # noqa: S608
        script.write_text("\n".join(["create table t(a, b);", *(["begin;", *rows, "commit;"] if together else rows)]))
        command = ["sqlite3", "-batch", str(database), f".read {script}"]
        found.append(
            Workload(f"sqlite3, {count} inserts, {title}", "sqlite3", command, lambda: database.unlink(missing_ok=True))
        )
    return found


def count_calls(workload: Workload, known: set[str], directory: Path) -> Counter[str]:
    """The workload's system calls that the probe file has, as strace counts them."""
    output = directory / "calls"
    workload.prepare()
    options = ["-f", "-c", "-U", "name,calls", "-o", str(output)]
    subprocess.run(["strace", *options, *workload.command], check=True, stdout=subprocess.DEVNULL)
    rows = re.findall(r"^(\w+) +(\d+)$", output.read_text(), re.MULTILINE)
    return Counter({name: int(count) for name, count in rows if name in known})


def count_recorded(site: Installation, probes: Path, variant: str, items: list[Workload]) -> float:
    """Find how many calls of any layer each workload makes, from a trace of each.

    Returns:
        Seconds of the daemon's start, with a program that this host never compiled before.
    """
    processes = {}
    begin = time.time_ns()
    with site.daemon(probes) as daemon:
        start = (daemon.ready.stat().st_mtime_ns - begin) / 1e9
        for workload in items:
            workload.prepare()
            process = subprocess.Popen([client.launcher(), *workload.command], stdout=subprocess.DEVNULL)
            process.wait()
            processes[process.pid] = workload
    with gzip.open(daemon.trace, "rb") as stream:
        found = (_PROCESS.search(line) for line in stream if b'"ph":"X"' in line)
        for pid, count in Counter(int(match[1]) for match in found if match).items():
            processes[pid].recorded[variant] = count
    return start


def traced_round(
    site: Installation, probes: Path, variant: str, items: list[Workload], losses: dict[str, Counter[str]]
) -> float:
    """Start a daemon, run each workload beside it and under it, stop it, check its counts.

    Calls that found the ring full are added to ``losses``: on a busy machine the daemon may get too little time.

    Returns:
        Seconds from the start of the daemon's process to its ready file.
    """
    begin = time.time_ns()
    with site.daemon(probes) as daemon:
        start = (daemon.ready.stat().st_mtime_ns - begin) / 1e9
        for workload in items:
            workload.measure(variant + BYSTANDER, lambda command: beside(daemon, command), REPEATS)
            workload.measure(variant, lambda command: beside(daemon, [client.launcher(), *command]), REPEATS)
    counts = footer_counts(daemon.trace)
    lost = {name: sum(row[key] for key in row if key.startswith("lost_")) for name, row in counts.items()}
    wanted: Counter[str] = Counter()
    for workload in items:
        wanted += Counter({name: REPEATS * count for name, count in workload.calls.items()})
    for name, count in wanted.items():
        row = counts.get(name, {"entered": 0})
        if row["entered"] < count or row["recorded"] + lost[name] != row["entered"]:
            raise SystemExit(f"{name}: {count} calls were made, the trace says {row}\n{daemon.log.read_text()}")
    entered = sum(row["entered"] for row in counts.values())
    tell(f"    {variant}: {entered} calls, all in the trace but {sum(lost.values())}")
    losses[variant] += Counter(entered=entered, lost=sum(lost.values()))
    return start


def beside(daemon: RunningDaemon, command: Sequence[str | Path]) -> float:
    """Seconds of a run that begins when the daemon has written what came before."""
    status = Path(f"/proc/{daemon.process.pid}/stat")
    ticks, before = 0, -_IDLE_TICKS - 1
    while ticks - before > _IDLE_TICKS:
        before = ticks
        time.sleep(_IDLE_SECONDS)
        ticks = sum(int(field) for field in status.read_text().rpartition(")")[2].split()[11:13])
    return timed(command)


_IDLE_SECONDS, _IDLE_TICKS = 0.2, 1


def footer_counts(trace: Path) -> dict[str, dict[str, int]]:
    """Function symbol -> its counts, of a trace too large to be read as objects.

    Raises:
        SystemExit: The trace has no footer, so it is not whole.
    """
    end = b""
    with gzip.open(trace, "rb") as stream:
        while chunk := stream.read(8 << 20):
            end = end[-(8 << 20) :] + chunk
    wanted = (b'"datacrumbs_counts"', b'"datacrumbs_footer"')
    lines = [json.loads(line) for line in end.splitlines() if any(name in line for name in wanted)]
    if not lines or lines[-1]["name"] != "datacrumbs_footer":
        raise SystemExit(f"{trace}: no footer")
    return {line["args"]["symbol"]: line["args"] for line in lines[:-1]}


def main() -> None:
    options = _options()
    facts = machine()
    scale = 2 if options.quick else 10
    with TemporaryDirectory(prefix="datacrumbs-bench-", dir=MEMORY) as place, installation() as site:
        directory = Path(place)
        site_file = default_site_file().read_text(encoding="utf-8")
        probes = {variant: site.probes(site_file, *words) for variant, words in VARIANTS.items()}
        plans = {variant: read_unverified(file).plan for variant, file in probes.items()}
        groups = plans[SYSTEM_CALLS].groups
        known = {item.symbol for group in groups if group.attach is Attach.SYSCALL for item in group.functions}
        items = workloads(directory, scale)
        for workload in items:
            workload.calls = count_calls(workload, known, directory)
        starts = {variant: [count_recorded(site, probes[variant], variant, items)] for variant in VARIANTS}
        losses: dict[str, Counter[str]] = {variant: Counter() for variant in VARIANTS}
        for number in range(options.rounds):
            tell(f"round {number + 1} of {options.rounds}")
            for workload in items:
                workload.measure(BARE, timed, REPEATS)
            for variant in VARIANTS:
                starts[variant].append(traced_round(site, probes[variant], variant, items, losses))
            peer_round(items, directory)
    _report(options, facts, items, starts, losses, {variant: len(plan.functions) for variant, plan in plans.items()})


def peer_round(items: list[Workload], directory: Path) -> None:
    """Each of the other tracers on each workload, once."""
    peers: list[Bpftrace | Strace] = [
        *(Bpftrace(directory, name) for name in Bpftrace.SCRIPTS),
        Strace(directory, count=True),
    ]
    for peer in [*peers, Strace(directory, count=False)]:
        if not peer.available:
            continue
        repeats = 1 if isinstance(peer, Strace) else REPEATS
        for workload in items:
            with peer.attached(workload.calls, workload.program):
                workload.measure(peer.name, peer.run, repeats)
            workload.lost[peer.name] += peer.lost(workload.calls, repeats)


def _report(  # noqa: PLR0917 -- all that was measured, once
    options: argparse.Namespace,
    facts: dict[str, str],
    items: list[Workload],
    starts: dict[str, list[float]],
    losses: dict[str, Counter[str]],
    functions: dict[str, int],
) -> None:
    parts = [
        ", ".join(value if name == "processor" else f"{name} {value}" for name, value in facts.items())
        + f". Rounds: {options.rounds}; files in memory; medians, in brackets the range over the rounds."
    ]
    measured = []
    for workload in items:
        rows, figures = _rows(workload)
        parts += [f"**{workload.name}**", markdown_table(HEADINGS, rows)]
        measured.append({"name": workload.name, "calls": workload.calls, "variants": figures})
    rows = [
        [
            variant,
            str(functions[variant]),
            f"{first:.2f}",
            middle(later),
            f"{losses[variant]['lost']:,} of {losses[variant]['entered']:,}",
        ]
        for variant, (first, *later) in starts.items()
    ]
    parts += [
        "**The daemon**: seconds from its start to its ready file, and calls that it lost in all rounds:",
        markdown_table(["", "functions", "first start on a host", "later starts", "lost"], rows),
    ]
    text = "\n\n".join(parts)
    print(text)
    if options.json:
        document = {"machine": facts, "rounds": options.rounds, "workloads": measured, "start_seconds": starts}
        document["losses"] = losses
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if options.markdown:
        replace_section(options.markdown, "overhead", text)


FEWEST_CALLS = 1000  # of fewer the start of the program hides what each costs
HEADINGS = ["", "calls seen", "seconds", "of bare", "added ns a call"]


# Each round against its own bare run: what the machine did between rounds drops out.
def _rows(workload: Workload) -> tuple[list[list[str]], dict[str, object]]:
    rows: list[list[str]] = []
    figures: dict[str, object] = {}
    bare = workload.seconds[BARE]
    for variant, seconds in workload.seconds.items():
        calls = workload.recorded.get(variant.removesuffix(BYSTANDER), workload.calls.total())
        ratio = median(mine / its for mine, its in zip(seconds, bare, strict=True))
        added = median(mine - its for mine, its in zip(seconds, bare, strict=True)) / calls * 1e9
        figures[variant] = {"seconds": seconds, "ratio": ratio, "calls": calls, "added_ns_a_call": added}
        label = f"{variant} (lost {workload.lost[variant]:,})" if workload.lost[variant] else variant
        seen = "" if variant == BARE or variant.endswith(BYSTANDER) else f"{calls:,}"
        shown = "" if variant == BARE or calls < FEWEST_CALLS else f"{added:,.0f}"
        rows.append([label, seen, middle(seconds), f"{ratio:.2f}", shown])
    return rows, figures


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a fifth of the work")
    parser.add_argument("--rounds", type=int, metavar="N", help="default: 3")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="put the tables into this document's section")
    options = parser.parse_args()
    options.rounds = options.rounds or 3
    return options


if __name__ == "__main__":
    main()
