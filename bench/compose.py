#!/usr/bin/env python3
"""Measure what composing a probe file takes: of processor time, with what an earlier composition kept and without.

sudo python bench/compose.py [--quick] [--json FILE]
"""

from __future__ import annotations

import resource
import shutil
import subprocess
from statistics import median
from typing import TYPE_CHECKING

from _figures import Goal, spread
from _harness import installation, library_site, tell, workplace
from _result import Result, Table, measure

if TYPE_CHECKING:
    from pathlib import Path

    from datacrumbs.testing import Installation

FUNCTIONS = 8723
COLD_SECONDS, KEPT_SECONDS = 6.0, 1.5
COLD, KEPT = "cold", "kept"
TEXT = f"""\
The default site file with all presets of `posix`, `mpi` and `hdf5`, and {FUNCTIONS:,} functions of a library with debug
information: processor seconds of the configurator and of what it starts, without the signing service's. A cold
composition finds nothing that an earlier one kept."""


def take(quick: bool) -> Result:
    seconds: dict[str, list[float]] = {COLD: [], KEPT: []}
    with workplace() as directory, installation() as site:
        text = library_site(described_library(directory))
        text += "".join(f"  - {{provider: {name}, preset: all}}\n" for name in ("posix", "mpi", "hdf5", "sys"))
        file, output = directory / "site.yaml", directory / "probes.json.gz"
        file.write_text(text, encoding="utf-8")
        once(site, file, output)  # what was built just now is not kept
        for number in range(1 if quick else 5):
            tell(f"compose: round {number + 1}")
            shutil.rmtree(site.prefix / "var/lib/datacrumbs/kept", ignore_errors=True)
            for found in seconds.values():
                found.append(once(site, file, output))
    rows = [[name, spread(values, 2)] for name, values in seconds.items()]
    goals = [
        Goal("composing, nothing kept", COLD_SECONDS, median(seconds[COLD]), "s of processor time"),
        Goal("composing, kept", KEPT_SECONDS, median(seconds[KEPT]), "s of processor time"),
    ]
    return Result("compose", "Composing", TEXT, [Table("", ["", "seconds"], rows)], goals, {"seconds": seconds})


def once(site: Installation, file: Path, output: Path) -> float:
    """Processor seconds of one composition."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    site.command("datacrumbs_probe_configurator", file, output, check=True)
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
