"""Command lines of processes, as the kernel has them when a program begins."""

from __future__ import annotations

import gzip
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from datacrumbs.testing import Installation, TraceLines

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

SITE = "capture_probes:\n  - {provider: sys, preset: data}\n"
FITTING = 4095
"""Bytes of arguments that are read."""
LONG, MANY = 9973, 523
CHILDREN = 53
SECONDS = 300.0


@pytest.fixture(scope="module")
def data_probes(installation: Installation) -> Path:
    return installation.probes(SITE)


def command_lines(trace: TraceLines) -> list[str]:
    """What the trace says of each program that was executed, and of each forked process with a call, in order."""
    texts = {line["args"]["value"]: shown(line["args"]) for line in trace.metadata if line["name"] == "SH"}
    about = [line for line in trace.metadata if line["name"] == "PR" and line["args"]["name"] == "cmd_hash"]
    return [text for _, text in dict.fromkeys((line["pid"], texts[line["args"]["value"]]) for line in about)]


def shown(arguments: dict[str, str]) -> str:
    raw = arguments.get("raw")
    return bytes.fromhex(raw).decode("utf-8", "surrogateescape") if raw else arguments["name"]


def recorded(installation: Installation, probes: Path, *command: str | bytes | Path) -> list[str]:
    with installation.daemon(probes) as daemon:
        assert daemon.wrap(*command, timeout=SECONDS).returncode == 0
        return command_lines(daemon.lines())


def test_arguments_are_those_that_the_program_got(installation: Installation, data_probes: Path) -> None:
    arguments = ["-c", "import sys; sys.exit(len(sys.argv) != 7)", "", "a b", "it's\n\x1b[31m", "ä", "\udcff"]
    lines = recorded(installation, data_probes, sys.executable, *arguments, "")
    assert shlex.split(lines[-1]) == [sys.executable, *arguments, ""]


def test_many_arguments_are_cut_and_it_is_said(installation: Installation, data_probes: Path) -> None:
    """Five megabytes; six are the most that Linux takes."""
    program = f"ulimit -s 65536; exec /bin/true $(yes {'x' * LONG} | head -n {MANY})"
    lines = recorded(installation, data_probes, "/bin/bash", "-c", program)
    kept = FITTING - len("/bin/true ")
    assert lines[-1] == f"/bin/true {'x' * kept} [cut: {len('/bin/true ') + MANY * (LONG + 1)} bytes in all]"


def test_a_process_that_rewrites_its_arguments(
    installation: Installation, data_probes: Path, build: Callable[..., Path]
) -> None:
    """It has those that it began with, as what it forks then; what it executes has its own."""
    program = build("arguments.c")
    lines = recorded(installation, data_probes, program, "rewrite", "confidential")
    assert [line for line in lines if line.startswith(str(program))] == [f"{program} rewrite confidential"] * 2
    assert lines[-1] == "/bin/true executed"
    assert not [line for line in lines if "xxx" in line]


def test_processes_that_are_gone_at_once(
    installation: Installation, data_probes: Path, build: Callable[..., Path]
) -> None:
    """None is missed: nothing is read of /proc, where a process is gone before it can be looked at."""
    lines = recorded(installation, data_probes, build("arguments.c"), "storm", str(CHILDREN))
    found = [line for line in lines if line.startswith("/bin/true ")]
    assert sorted(found) == sorted(f"/bin/true child {number}" for number in range(CHILDREN))


def test_a_process_that_ran_before(installation: Installation) -> None:
    """Those of a process that is taken are read by the process that looks at its files, and not in the kernel."""
    probes = installation.probes(SITE + "  - {provider: posix, preset: stdio}\n")
    program = f"import os, sys; sys.stdin.read(1); [os.write(1, b'x') for _ in range({CHILDREN})]"
    command = [sys.executable, "-c", program, "a b", "ä"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        try:
            with installation.daemon(probes, arguments=("--pid", str(process.pid))) as daemon:
                daemon.wait_for("cmd_hash", 1)
                process.communicate(b"x", SECONDS)
                trace = daemon.lines()
        finally:
            process.kill()
    assert len(trace.named("write")) == CHILDREN
    assert [shlex.split(line) for line in command_lines(trace)] == [command]


@pytest.mark.parametrize("where", ["site file", "system"])
def test_they_are_left_out_where_that_is_said(installation: Installation, place: Installation, where: str) -> None:
    said = "command_lines: false\n"
    (place.prefix / "etc/datacrumbs/datacrumbs.yaml").write_text(said if where == "system" else "")
    with place.daemon(installation.probes(SITE + (said if where == "site file" else ""))) as daemon:
        assert daemon.wrap("/bin/true", "confidential").returncode == 0
        assert command_lines(daemon.lines()) == []
    assert b"confidential" not in gzip.decompress(daemon.trace.read_bytes())


def test_hidden_directories_are_hidden_in_arguments(data_probes: Path, place: Installation) -> None:
    (place.prefix / "etc/datacrumbs/datacrumbs.yaml").write_text("redact_paths: [/home/*/moonshot]\n")
    arguments = ("--in=/home/ada/moonshot/a", "/home//ada/moonshot/b", "moonshot/c", "--deep", "23", "/opt/d")
    lines = recorded(place, data_probes, "/bin/true", *arguments)
    hidden = "~[0-9a-f]{12}"
    below = f"'?/home/ada/{hidden}/{hidden}'?"
    assert re.fullmatch(f"/bin/true '?--in={below}'? {below} '{hidden}' --deep 23 /opt/d", lines[-1])
