"""What changed between runs: exact for numbers of calls, and by a test where durations scatter."""

from __future__ import annotations

import json
import random
import subprocess
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from datacrumbs.report.comparing import FASTER, FEW, GONE, MORE, NEW, NOISY, SAME, SLOWER, compare, mann_whitney
from datacrumbs.report.selected_calls import SelectedCalls
from datacrumbs.trace.reader import read_traces

if TYPE_CHECKING:
    from datacrumbs.report.comparing import Change

CALLS = 331


@pytest.fixture
def run(made, tmp_path: Path):
    """A trace of ``calls`` calls of some functions, whose durations are ``time`` us, give or take a quarter."""

    def write(name: str, calls: int = CALLS, time: int = 100, functions: tuple[str, ...] = ("read",)) -> Path:
        chooser = random.Random(name)
        lines = [
            made.call(function, "POSIX", 1000 * number, time + chooser.randrange(-time // 4, time // 4), bytes=7)
            for number in range(calls)
            for function in functions
        ]
        return made.write(tmp_path / f"{name}.pfw.gz", lines, run_id=name, host=name)

    return write


def changes(before: list[Path], after: list[Path]) -> dict[str, Change]:
    sides = [SelectedCalls(read_traces(paths)).function_sums() for paths in (before, after)]
    return {change.name: change for change in compare(*sides)}


def test_the_probability_of_no_change() -> None:
    same = np.arange(20.0)
    assert mann_whitney(same, same) == 1.0
    assert mann_whitney(np.ones(20), np.ones(20)) == 1.0
    assert mann_whitney(same, same + 100) < 1e-6
    # 0.083 by the exact distribution (n = m = 8, U = 15).
    one, other = np.arange(8.0) * 2, np.arange(8.0) * 2 + 5.0
    assert abs(mann_whitney(one, other) - 0.083) < 0.005


@pytest.mark.parametrize(("time", "verdict"), [(150, SLOWER), (60, FASTER), (101, SAME)])
def test_one_run_of_each_is_indicative(run, time: int, verdict: str) -> None:
    change = changes([run("before")], [run("after", time=time)])["read"]
    assert change.verdict == verdict
    assert not change.is_proof
    assert change.is_regression == (verdict == SLOWER)
    assert (change.before.calls, change.after.calls) == (CALLS, CALLS)
    assert change.before.bytes == 7 * CALLS


def test_several_runs_are_proof(run) -> None:
    change = changes([run(f"b{n}") for n in range(3)], [run(f"a{n}", time=150) for n in range(3)])["read"]
    assert (change.verdict, change.is_proof) == (SLOWER, True)
    assert (change.before.runs, change.after.runs) == (3, 3)


def test_runs_that_differ_among_themselves_prove_nothing(run) -> None:
    before = [run("b0"), run("b1"), run("b2", time=180)]
    change = changes(before, [run(f"a{n}", time=150) for n in range(3)])["read"]
    assert change.verdict == NOISY
    assert not change.is_regression


def test_numbers_of_calls(run) -> None:
    found = changes([run("before", functions=("read", "seek"))], [run("after", 2 * CALLS, functions=("read", "sync"))])
    assert {name: change.verdict for name, change in found.items()} == {"read": MORE, "seek": GONE, "sync": NEW}
    assert {name for name, change in found.items() if change.is_regression} == {"read", "sync"}


def test_a_few_calls_are_not_judged(run) -> None:
    change = changes([run("before", 5)], [run("after", 5, time=300)])["read"]
    assert (change.verdict, change.probability) == (FEW, None)


def report(*arguments: object) -> subprocess.CompletedProcess[str]:
    words = [Path(sysconfig.get_path("scripts")) / "datacrumbs_report", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)


def test_lost_calls_are_not_taken_for_fewer(run, made, tmp_path: Path) -> None:
    whole = run("whole")
    short = made.write(tmp_path / "short.pfw.gz", [], host="short", lost=CALLS)
    done = report(whole, "--compare", short, "--fail-on", "regression")
    assert done.returncode == 1
    assert "gone" in done.stdout
    assert f"{short}: whole, but {CALLS} of {CALLS} calls were lost" in done.stderr
    assert f"whether there is a regression is not known: calls are missing in {short}" in done.stderr


def test_as_a_command(run) -> None:
    before, after = run("before"), run("after", time=150)
    done = report(before, "--compare", after, "--fail-on", "regression")
    assert done.returncode == 4, done.stderr
    assert "slower" in done.stdout
    assert "indicative only" in done.stdout
    assert "1 function takes more time than before" in done.stdout
    assert report(after, "--compare", before, "--fail-on", "regression").returncode == 0
    document = json.loads(report(before, "--compare", after, "--json").stdout)
    assert [change["verdict"] for change in document["changes"]] == ["slower"]
    (change,) = document["changes"]
    assert change["effect"] == change["after"]["per_call_us"] / change["before"]["per_call_us"] - 1 > 0.4
    for wrong in (
        ["--fail-on", "regression"],
        ["--compare", after, "--html", after],
        ["--compare", after, "--export", "x.csv"],
        ["--compare", after, "--by", "file"],
    ):
        done = report(before, *wrong)
        assert done.returncode == 2, done.stderr
        assert done.stdout == ""
