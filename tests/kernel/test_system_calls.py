"""The sys provider against the truth: its own workload of known counts, and strace on programs of others."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from datacrumbs import client
from datacrumbs.configure.site import ProviderEntry
from datacrumbs.model.plan import Attach
from datacrumbs.model.record import CallFlag

from .conftest import Trace, Tracer, composed

pytestmark = pytest.mark.kernel

WORKLOAD = Path(__file__).parents[2] / "providers/sys/workload"
DEPENDS_ON_TIMING = {
    "futex", "restart_syscall", "rt_sigreturn", "wait4", "clock_nanosleep", "sched_yield", "poll", "ppoll", "pselect6",
}  # fmt: skip
NEVER_RETURNS = {"exit_group", "exit", "rt_sigreturn"}


@pytest.fixture(scope="module")
def tracer(engine_state: Path, configuration):
    """An engine for every system call of this machine."""
    with Tracer(composed(ProviderEntry("sys", preset="all")), engine_state, configuration) as tracer:
        yield tracer


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="only x86 has calls of 32-bit programs that differ")
def test_calls_of_32_bit_programs(tracer: Tracer, build) -> None:
    before = tracer.engine.totals()["compat_calls"]
    trace = tracer.run(str(build("compat.c", "-static", "-no-pie")))
    assert trace.status == 0
    made = {name: trace.named(name) for name in ("read", "write", "open", "getppid")}
    assert {size: int((made["write"]["result"] == size).sum()) for size in (29, 37)} == {29: 101, 37: 107}
    assert len(made["write"]) == 101 + 107
    assert {trace.path(call["file"]) for name in ("read", "write") for call in made[name]} == {"/dev/null"}
    assert int((made["read"]["result"] == 0).sum()) == 103
    failed = made["open"][made["open"]["errno"] == 2]
    assert len(failed) == 53
    assert {trace.path(call["file"]) for call in failed} == {"/tmp/datacrumbs-no-such-file"}  # noqa: S108 - never made
    assert len(made["getppid"]) == 59
    assert tracer.engine.totals()["compat_calls"] - before == 61  # _llseek


def _by_symbol(trace: Trace, process: int | None = None) -> tuple[Counter[str], Counter[str]]:
    functions = trace.plan.functions
    groups = [group for group in trace.plan.groups if group.attach is Attach.SYSCALL]
    symbols = {function.symbol for group in groups for function in group.functions}
    calls = trace.calls if process is None else trace.calls[trace.calls["process"] == process]
    system_calls = [call for call in calls if functions[call["function"]].symbol in symbols]
    counts = Counter(functions[call["function"]].symbol for call in system_calls)
    errors = Counter(functions[call["function"]].symbol for call in system_calls if call["flags"] & CallFlag.FAILED)
    return counts, errors


def test_workload_of_known_counts(tracer: Tracer, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("workload")
    program = directory / "workload"
    subprocess.run(["cc", "-O1", "-o", program, WORKLOAD / "workload.c"], check=True)
    (directory / "empty").mkdir()
    trace = tracer.run(str(program), str(directory / "empty"), capture_output=True, text=True)
    assert trace.status == 0
    expected = json.loads((WORKLOAD / "workload.json").read_text())
    parts = [expected["calls"], *([expected["legacy"]] if os.uname().machine == "x86_64" else [])]
    counts, errors = _by_symbol(trace, int(trace.output))
    assert counts == sum((Counter({name: row["count"] for name, row in part.items()}) for part in parts), Counter())
    assert errors == sum(
        (Counter({name: sum(row.get("failed", {}).values()) for name, row in part.items()}) for part in parts),
        Counter(),
    )
    wanted = sum((Counter({name: row.get("bytes", 0) for name, row in part.items()}) for part in parts), Counter())
    moved = Counter()
    functions = trace.plan.functions
    for call in trace.calls[trace.calls["process"] == int(trace.output)]:
        symbol = functions[call["function"]].symbol
        if symbol in wanted and call["result"] > 0:
            moved[symbol] += int(call["result"])
    assert moved == wanted


def _strace(command: list[str], output: Path, directory: Path) -> tuple[Counter[str], Counter[str]]:
    preload = f"LD_PRELOAD={client.client_library()}"
    subprocess.run(
        ["strace", "-f", "-c", "-U", "name,calls,errors", "-o", output, "-E", preload, *command],
        check=False,
        cwd=directory,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    rows = re.findall(r"^(\w+) +(\d+) +(\d+)?$", output.read_text(), re.MULTILINE)
    rows = [row for row in rows if row[0] not in {"total", "syscall"}]
    return Counter({name: int(count) for name, count, _ in rows}), Counter(
        {name: int(errors) for name, _, errors in rows if errors and int(errors)}
    )


PROGRAMS = {
    "cp": ["cp", "-r", "tree", "copy"],
    "tar": ["tar", "cf", "tree.tar", "tree"],
    "git": ["git", "-c", "gc.auto=0", "status", "--short"],
    "sqlite3": ["sqlite3", "new.db", "create table t(a); insert into t values (1),(2),(3); select count(*) from t;"],
    "python": ["/usr/bin/python3", "-S", "-c", "import json, pathlib; print(sorted(pathlib.Path('.').rglob('*')))"],
    "shell": ["sh", "-c", "for i in 1 2 3; do cat tree/1/1 | wc -c > /dev/null; done; ls missing; echo done > out"],
}


def _fresh(directory: Path) -> Path:
    shutil.rmtree(directory, ignore_errors=True)
    for outer in range(3):
        (directory / "tree" / str(outer)).mkdir(parents=True)
        for inner in range(7):
            (directory / "tree" / str(outer) / str(inner)).write_bytes(b"x" * 1009 * inner)
    subprocess.run(["git", "init", "-q"], cwd=directory, check=True)
    return directory


@pytest.mark.parametrize("name", PROGRAMS)
def test_counts_of_strace(name: str, tracer: Tracer, tmp_path: Path) -> None:
    command = [shutil.which(PROGRAMS[name][0]) or "", *PROGRAMS[name][1:]]
    wanted, wanted_errors = _strace(command, tmp_path / "strace", _fresh(tmp_path / "work"))
    trace = tracer.run(
        *command, cwd=_fresh(tmp_path / "work"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    counts, errors = _by_symbol(trace)
    names = (set(counts) | set(wanted)) - DEPENDS_ON_TIMING - NEVER_RETURNS
    assert len(names) > 10
    assert {name: counts[name] for name in names} == {name: wanted[name] for name in names}
    assert {name: errors[name] for name in names} == {name: wanted_errors[name] for name in names}


def test_conservation(tracer: Tracer) -> None:
    tracer.drain()
    counts = tracer.engine.counts()
    unbalanced = {
        function.symbol: count
        for function, count in zip(tracer.plan.functions, counts, strict=True)
        if not count.balanced
    }
    assert not unbalanced
    assert sum(count.entered for count in counts) > 5_000
    assert tracer.engine.totals()["names_unread"] == 0
