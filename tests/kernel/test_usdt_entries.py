"""USDT entries of a site file, from the file to the trace: counters that switch probes on, and arguments."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from datacrumbs.elf.usdt import usdt_probes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from datacrumbs.testing import Installation, TraceLines

pytestmark = pytest.mark.kernel

SCRIPT = (
    998 * "\n"
    + """
import gc, imported
def outer(n):
    return inner(n)
def inner(n):
    return n
for number in range(37):
    outer(number)
gc.disable()
for number in 5 * (0, 1, 2):
    gc.collect(number)
"""
)
WIDE = 0x8899AABBCCDDEEFF


def site(path: Path, provider: str = "crumbs", regex: str = ".*") -> str:
    entry = f"name: steps, probe: usdt, type: usdt, binary_path: {path}, provider: {provider}, regex: '{regex}'"
    return f"capture_probes: [{{{entry}}}]\n"


def arguments(trace: TraceLines, name: str) -> list[list[int]]:
    """The captured arguments of all calls of one name, by their beginning."""
    calls = sorted(trace.named(name), key=lambda call: call["ts"])
    return [[call["args"][key] for key in sorted(call["args"]) if key.startswith("argument")] for call in calls]


def balanced(trace: TraceLines, symbol: str) -> int:
    """How many calls of a function were entered, when all of them were recorded."""
    counts = trace.counts[symbol]
    assert counts["entered"] == counts["recorded"]
    assert not trace.footer.get("unmatched")
    return counts["entered"]


@pytest.fixture(scope="module")
def pairs(installation: Installation, build: Callable[..., Path]) -> TraceLines:
    program = build("usdt_pairs.c", name="usdt_pairs")
    return installation.trace(installation.probes(site(program)), [program])


def test_each_place_is_switched_on_by_its_own_counter(pairs: TraceLines) -> None:
    assert balanced(pairs, "crumbs:apart__start") == 101
    calls = pairs.named("apart")
    assert sorted(call["args"]["argument0"] for call in calls) == list(range(101))
    assert len({call["args"]["argument1"] for call in calls}) == 1
    assert all(call["dur"] >= 3 for call in calls)


def test_one_counter_may_switch_both_ends_on(pairs: TraceLines) -> None:
    assert balanced(pairs, "crumbs:shared__entry") == 23
    assert sorted(arguments(pairs, "shared")) == [[number * 123456789012] for number in range(23)]


def test_an_instant_with_a_counter(pairs: TraceLines) -> None:
    assert sorted(arguments(pairs, "gated")) == [[number] for number in range(-100, 1)]
    assert balanced(pairs, "crumbs:gated") == 101


def test_places_with_their_arguments_elsewhere_begin_the_same_calls(pairs: TraceLines) -> None:
    assert balanced(pairs, "crumbs:forms__entry") == 3 * 7
    once = [[left, (1 << 40) + 6 - left] if left % 2 else [-left, left] for left in range(7)]
    assert sorted(arguments(pairs, "forms")) == sorted(once * 3)


def test_calls_that_are_nested_too_deep_end_none_of_the_others(pairs: TraceLines) -> None:
    """Each level takes a millisecond more than the one below it; 40 levels are 8 more than are followed."""
    counts = pairs.counts["crumbs:deep__entry"]
    assert (counts["entered"], counts["recorded"], counts["lost_too_deep"]) == (3 * 40, 3 * 32, 3 * 8)
    durations = sorted((call["args"]["argument0"], call["dur"]) for call in pairs.named("deep"))
    assert [level for level, _ in durations] == sorted(3 * [*range(32)])
    assert all(duration >= 1000 * (40 - level) for level, duration in durations)
    assert not pairs.footer.get("returns_without_entry")


def test_nothing_stays_switched_on(installation: Installation, build: Callable[..., Path], pairs: TraceLines) -> None:
    del pairs
    done = subprocess.run([build("usdt_pairs.c", name="usdt_pairs")], check=True, capture_output=True, text=True)
    assert done.stdout == "0\n"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the program is in x86-64 assembly")
def test_operands_of_each_form(installation: Installation, build: Callable[..., Path]) -> None:
    program = build("usdt_operands.c", name="usdt_operands")
    composed = installation.command("datacrumbs_probe_configurator", _write(installation, site(program)), "/dev/null")
    trace = installation.trace(installation.probes(site(program)), [program])
    signed = WIDE - (1 << 64)
    expected = {
        "wide": [WIDE, signed, 0xCCDDEEFF, 0xCCDDEEFF - (1 << 32), 0xEEFF, 0xEEFF - (1 << 16)],
        "narrow": [0xFF, -1, 0xEE, 0xEE - 256, -2, 0xFFFFFFFE],
        "memory": [0x1122334455667788, 0x55667788, -3, 0x7788, 0xFD, -3],
        "constants": [-5, (1 << 64) - 1, -(1 << 63), 255, 123456789012, 65535],
        "partly": [3, 3, 3, 3],
    }
    assert {name: arguments(trace, name) for name in expected} == {name: [row] * 7 for name, row in expected.items()}
    for name in expected:
        assert balanced(trace, f"crumbs:{name}") == 7
    for words in (
        "crumbs:partly: argument 0 is left out: 8@table(%rip) names a symbol",
        "crumbs:partly: argument 2 is left out: 8f@%xmm0 is a floating-point number",
        "crumbs:partly: 2 of 8 arguments are left out; at most 6 are captured",
    ):
        assert words in composed.stderr


def test_probes_of_the_python_interpreter(installation: Installation, tmp_path: Path) -> None:
    """Its function__entry is reached only where C calls Python, its function__return always: that one is an instant."""
    interpreter = tmp_path / "python3"
    shutil.copy("/usr/bin/python3", interpreter)
    (tmp_path / "imported.py").touch()
    names = {probe.name for probe in usdt_probes(interpreter)}
    if not {"function__return", "gc__start", "import__find__load__start"} <= names:
        pytest.skip("the interpreter of this system has no USDT probes")
    probes = installation.probes(site(interpreter, "python", "(gc|import)__.*|function__return"))
    trace = installation.trace(probes, [interpreter, "-S", "-E", "-B", "-c", SCRIPT], cwd=tmp_path)
    balanced(trace, "python:function__return")
    lines = Counter((call["args"]["argument0"], call["args"]["argument2"]) for call in trace.named("function__return"))
    (script,) = {file for file, line in lines if line == 1002}
    assert (lines[script, 1002], lines[script, 1004]) == (37, 37)
    collections = sorted(trace.named("gc"), key=lambda call: call["ts"])
    generations = "".join(str(call["args"]["argument0"]) for call in collections)
    assert 5 * "012" in generations, generations
    assert balanced(trace, "python:gc__start") == len(collections)
    assert balanced(trace, "python:import__find__load__start") == trace.tally()["import__find__load"] > 0


def test_arguments_that_the_site_file_describes(installation: Installation, build: Callable[..., Path]) -> None:
    program = build("usdt_pairs.c", name="usdt_pairs")
    described = site(program, regex="apart__.*").replace("}]", ", arguments: [-, 'what:char *=string']}]")
    trace = installation.trace(installation.probes(described), [program])
    calls = trace.named("apart")
    assert balanced(trace, "crumbs:apart__start") == len(calls) == 101
    assert {trace.names[call["args"]["what_hash"]] for call in calls} == {"name"}
    assert not any("argument0" in call["args"] for call in calls)


def _write(installation: Installation, text: str) -> Path:
    file = installation.prefix / "operands.yaml"
    file.write_text(text)
    return file
