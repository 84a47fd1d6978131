"""The demonstration that `make demo` runs: one command that traces real programs and prints the report.

What it keeps goes to a private tree, ``.demo`` in the checkout: it leaves the machine's own /var and /run alone.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

REPOSITORY = Path(__file__).resolve().parent.parent
COMMANDS = Path(sys.executable).parent

PYTHON_PROGRAM = """
import json, pathlib, sys
directory = pathlib.Path(sys.argv[1])
for number in range(7):
    (directory / f"{number}.json").write_text(json.dumps(list(range(1000))))
print(sum(len(json.loads(file.read_text())) for file in sorted(directory.glob("*.json"))), "numbers read back")
(directory / "missing").exists()
"""


def programs(work: Path) -> str:
    """A shell script: dd, a pipeline and a small program in Python."""
    words = shlex.quote(str(work / "words.txt"))
    python = shlex.join([sys.executable, "-c", PYTHON_PROGRAM, str(work)])
    return "\n".join(
        [
            "set -e",
            shlex.join(["dd", "if=/dev/zero", f"of={work / 'dd.bin'}", "bs=1M", "count=23", "status=none"]),
            f"od -An -v -tx1 -w1 -N 200000 /dev/urandom | sort | uniq -c | sort -rn > {words}",
            python,
        ]
    )


def shown(command: Sequence[str]) -> str:
    """The command as one would type it in the checkout."""
    words = [word.removeprefix(f"{COMMANDS}/").replace(f"{REPOSITORY}/", "") for word in command]
    return shlex.join(words)


def main() -> int:
    """Run the demonstration; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prefix", type=Path, default=REPOSITORY / ".demo", help="the private tree (default: .demo)")
    prefix = parser.parse_args().prefix.resolve()
    if os.geteuid() != 0:
        print("demo: only root may trace\n  fix: sudo make demo", file=sys.stderr)
        return 1
    work = prefix / "work"
    work.mkdir(parents=True, exist_ok=True)
    script = work / "programs.sh"
    script.write_text(programs(work), encoding="utf-8")
    trace = prefix / f"demo-{time.strftime('%Y%m%d-%H%M%S')}.pfw.gz"
    # Below the checkout, whose user may be the one who called sudo: its files are root's, like those of set-up.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SUDO_")}
    command = [str(COMMANDS / "datacrumbs"), "record", "--prefix", str(prefix), "-o", str(trace), "sh", str(script)]
    print(
        f"$ {shown(command)}\n(some 15 s before it begins, the first time: a program for the kernel is compiled)",
        flush=True,
    )
    return subprocess.run(command, check=False, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
