"""A server that runs before anything traces it: `programs/server.c`."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..waiting import until  # noqa: TID252 - a helper of all tests

if TYPE_CHECKING:
    from collections.abc import Iterator

READ = {"x86_64": 0, "aarch64": 63}[os.uname().machine]
LENGTHS = {
    2: "{}/file",
    3: "{}/deleted.*",
    23: "{}/after",
    7: r"pipe:\[[0-9]+\]",
    11: r"socket:\[[0-9]+\]",
    17: "{}/stream",
    19: "/dev/null",
}
"""Of the writes of `server.c`, and what they go to."""


def began(process: int) -> int:
    """When a process began, as /proc has it."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19])


@contextmanager
def serving(program: Path, directory: Path, *options: str, **more: Any) -> Iterator[subprocess.Popen[str]]:
    """`server.c` with all of its threads inside a read."""
    command = [program, directory, *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **more) as process:
        assert process.stdout.readline() == "ready\n"
        wait_until_in_read(process.pid)
        yield process
        process.stdin.close()
    assert process.returncode == 0


def wait_until_in_read(process: int) -> None:
    until(lambda: all_in_read(process))


def all_in_read(process: int) -> bool:
    calls = [task.read_text().split() for task in Path(f"/proc/{process}/task").glob("*/syscall")]
    return len(calls) == 1 + len(LENGTHS) and all(call[0] == str(READ) for call in calls)


def serve(process: subprocess.Popen[str], times: int) -> None:
    for _ in range(times):
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "done\n"
