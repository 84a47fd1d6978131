#!/usr/bin/env python3
"""Measure what composing a probe file takes: of processor time, with what an earlier composition kept and without.

sudo python bench/compose.py [--quick] [--json FILE]
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sysconfig
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from _figures import Goal, spread
from _harness import installation, library_site, tell, workplace
from _result import Result, Table, measure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from datacrumbs.testing import Installation

FUNCTIONS = 8723
COLD_SECONDS, KEPT_SECONDS = 6.0, 1.5
SMALL_COLD_SECONDS, REMEMBERED_SECONDS, HELP_SECONDS, REPORT_SECONDS = 0.8, 0.15, 0.12, 0.5
COLD, KEPT, REMEMBERED = "cold", "kept", "remembered"
PROGRAM = "dd"
CONFIGURATOR = "datacrumbs_probe_configurator"
SETTLED_SECONDS = 2.5  # what changed less long ago is not remembered
TEXT = f"""\
The default site file with all presets of `posix`, `mpi` and `hdf5`, and {FUNCTIONS:,} functions of a library with debug
information; and the default site file as it is, for `{PROGRAM}`: processor seconds of the configurator and of what it
starts, without the signing service's. A cold composition finds nothing that an earlier one kept; a remembered one gives
the signed file of the one before."""


def take(quick: bool) -> Result:
    with workplace() as directory, installation() as site:
        text = library_site(described_library(directory))
        text += "".join(f"  - {{provider: {name}, preset: all}}\n" for name in ("posix", "mpi", "hdf5", "sys"))
        file, output = directory / "site.yaml", directory / "probes.json.gz"
        file.write_text(text, encoding="utf-8")
        rounds = 1 if quick else 5
        large = compositions(site, (file, output), rounds)
        small = compositions(site, ("default.yaml", output, "--program", PROGRAM), rounds)
        with site.daemon(output) as running:
            running.wrap(PROGRAM, "if=/dev/zero", "of=/dev/null", "count=7", capture_output=True)
            running.stop()
        others = {
            "--help": [of_command(CONFIGURATOR, "--help") for _ in range(rounds)],
            "a report of a small trace": [
                of_command("datacrumbs_report", "--fresh", running.trace) for _ in range(rounds)
            ],
        }
    goals = [
        Goal("composing, nothing kept", COLD_SECONDS, median(large[COLD]), "s of processor time"),
        Goal("composing, kept", KEPT_SECONDS, median(large[KEPT]), "s of processor time"),
        Goal("the default site file, nothing kept", SMALL_COLD_SECONDS, median(small[COLD]), "s of processor time"),
        Goal("the same, remembered", REMEMBERED_SECONDS, median(small[REMEMBERED]), "s of processor time"),
        Goal("--help", HELP_SECONDS, median(others["--help"]), "s of processor time"),
        Goal("a small report", REPORT_SECONDS, median(others["a report of a small trace"]), "s of processor time"),
    ]
    every = {f"large, {name}": values for name, values in large.items()}
    every |= {f"default, {name}": values for name, values in small.items()} | others
    rows = [[name, spread(values, 2)] for name, values in every.items()]
    return Result("compose", "Composing", TEXT, [Table("", ["", "seconds"], rows)], goals, {"seconds": every})


def compositions(site: Installation, words: Sequence[str | Path], rounds: int) -> dict[str, list[float]]:
    """Processor seconds of each kind of composition, in turn."""
    seconds: dict[str, list[float]] = {COLD: [], KEPT: [], REMEMBERED: []}
    time.sleep(SETTLED_SECONDS)
    once(site, *words)
    for number in range(rounds):
        tell(f"compose: round {number + 1}")
        shutil.rmtree(site.prefix / "var/lib/datacrumbs/kept", ignore_errors=True)
        seconds[COLD].append(once(site, *words))
        seconds[KEPT].append(once(site, *words, "--fresh"))
        seconds[REMEMBERED].append(once(site, *words))
    return seconds


def once(site: Installation, *words: str | Path) -> float:
    """Processor seconds of one composition."""
    return spent(lambda: site.command(CONFIGURATOR, *words, check=True))


def of_command(name: str, *words: str | Path) -> float:
    """Processor seconds of a command that needs no installation."""
    command = [Path(sysconfig.get_path("scripts")) / name, *words]
    return spent(lambda: subprocess.run(command, check=True, capture_output=True))


def spent(work: Callable[[], object]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    work()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def described_library(directory: Path) -> Path:
    """A library of `FUNCTIONS` functions with arguments, each described by debug information."""
    source, output = directory / "described.c", directory / "libdescribed.so"
    lines = (
        f"long f_{index:05}(int fd, const char *name, long count) {{ return fd + count; }}"
        for index in range(FUNCTIONS)
    )
    source.write_text("\n".join(lines), encoding="utf-8")
    subprocess.run(["cc", "-g", "-O1", "-shared", "-fPIC", "-Wl,--build-id", "-o", output, source], check=True)
    return output


if __name__ == "__main__":
    measure(take, __doc__)
