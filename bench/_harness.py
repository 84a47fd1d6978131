"""What the measurements share: the machine in words, timed runs, a private installation, tables."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from datacrumbs import __version__
from datacrumbs.testing import Installation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_CPUINFO = Path("/proc/cpuinfo")


def machine() -> dict[str, str]:
    """What a figure depends on: processor, cores, kernel, versions of what is measured."""
    found = re.search(r"^model name\s*:\s*(.+)$", _CPUINFO.read_text(), re.MULTILINE)
    facts = {
        "processor": f"{found[1] if found else platform.machine()}, {os.cpu_count()} cores",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "datacrumbs": __version__,
        "load average before": f"{os.getloadavg()[0]:.1f}",
    }
    for tool, option in (("strace", "-V"), ("bpftrace", "-V"), ("dd", "--version"), ("sqlite3", "--version")):
        if shutil.which(tool):
            done = subprocess.run([tool, option], capture_output=True, text=True, check=False)
            version = re.search(r"\d+\.\d[\w.]*", done.stdout)
            facts[tool] = version[0] if version else "unknown"
    with contextlib.suppress(ImportError):
        import bcc  # noqa: PLC0415 -- the system package may be missing

        facts["bcc"] = str(bcc.__version__)
    return facts


def timed(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> float:
    """Seconds of wall time from the start of a command to its end.

    Raises:
        SystemExit: The command failed; a figure of a failed run means nothing.
    """
    begin = time.perf_counter()
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        check=False,
        close_fds=False,  # lets the interpreter spawn without copying its own page tables
    )
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise SystemExit(f"{command}: exit {done.returncode}\n{done.stderr.decode(errors='replace')}")
    return seconds


@contextlib.contextmanager
def installation() -> Iterator[Installation]:
    """A private installation with its signing service; needs root."""
    if os.geteuid() != 0:
        raise SystemExit("measuring traced programs needs root: sudo make bench")
    with tempfile.TemporaryDirectory(prefix="datacrumbs-bench-") as directory:
        prefix = Path(directory)
        prefix.chmod(0o755)
        made = Installation(prefix)
        try:
            made.start()
            yield made
        finally:
            made.stop()


def middle(values: Sequence[float]) -> str:
    """The median with the range that the rounds had."""
    return f"{median(values):.3f} ({min(values):.3f}-{max(values):.3f})"


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as Markdown; all columns but the first are figures."""
    rule = ["---", *["---:"] * (len(headings) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [headings, rule, *rows])


def replace_section(document: Path, name: str, text: str) -> None:
    """Put text between ``<!-- begin NAME -->`` and ``<!-- end NAME -->`` of a Markdown file.

    Raises:
        SystemExit: The file has no such section.
    """
    old = document.read_text(encoding="utf-8")
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
    before, first, rest = old.partition(begin)
    _, last, after = rest.partition(end)
    if not first or not last:
        raise SystemExit(f"{document}: no section {begin.strip()} ... {end}")
    document.write_text(f"{before}{begin}\n{text.strip()}\n\n{end}{after}", encoding="utf-8")


def tell(message: str) -> None:
    """Say on stderr how far it is."""
    print(message, file=sys.stderr, flush=True)
