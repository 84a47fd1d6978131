from __future__ import annotations

import gzip
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datacrumbs import __version__
from datacrumbs.runs import earlier_failures as module
from datacrumbs.runs import trace_places
from datacrumbs.runs.trace_places import latest_traces
from datacrumbs.system import SystemPaths, read_system_configuration
from datacrumbs.trace.unattached import MOST, Unattached

if TYPE_CHECKING:
    from collections.abc import Callable

    from datacrumbs.trace.unattached import Failure

    Keep = Callable[..., Path]

FIRST = Unattached("ab" * 20, "uprobe", "write", 0x1F40)
SECOND = Unattached("ab" * 20, "uprobe", "read", 0x1000)


def earlier_failures(paths: SystemPaths) -> dict[Unattached, Failure]:
    return module.earlier_failures(latest_traces(read_system_configuration(paths)))


@pytest.fixture
def paths(tmp_path: Path) -> SystemPaths:
    return SystemPaths(tmp_path)


@pytest.fixture
def keep(paths: SystemPaths) -> Keep:
    """Keep one more trace, the last of all."""
    directory = paths.prefix / "var/log/datacrumbs" / Path("~").expanduser().owner() / "2026-11-30"
    directory.mkdir(parents=True)
    made: list[Path] = []

    def make(*failed: Unattached, footer: bool = True, **said: str) -> Path:
        said = {"datacrumbs": __version__, "plan": "p", "host": "n1", "kernel": "6.1"} | said
        said |= {each.key: "Invalid argument" for each in failed}
        lines = [{"name": "datacrumbs_provenance", "args": said}]
        lines += [{"name": "datacrumbs_footer", "args": {"entered": 0}}] if footer else []
        path = directory / f"{len(made)}.pfw.gz"
        path.write_bytes(gzip.compress(b"[\n") + gzip.compress(b"".join(json.dumps(x).encode() + b"\n" for x in lines)))
        made.append(path)
        moment = time.time() - 1000 + len(made)
        os.utime(path, (moment, moment))
        return path

    return make


def test_the_latest_trace_that_says_it_is_named(paths: SystemPaths, keep: Keep) -> None:
    keep(FIRST, SECOND, plan="a")
    last = keep(FIRST, plan="b")
    keep(plan="c")
    found = earlier_failures(paths)
    assert set(found) == {FIRST, SECOND}
    assert found[FIRST].trace == str(last)
    assert found[FIRST].reason == "on n1, kernel 6.1: Invalid argument"


def test_what_was_probed_in_a_run_of_the_same_plan_is_no_failure(paths: SystemPaths, keep: Keep) -> None:
    """On another node, in this example: there it would be missing."""
    keep(FIRST, SECOND)
    keep(SECOND, host="n2")
    assert set(earlier_failures(paths)) == {SECOND}


def test_a_trace_that_names_as_many_as_it_can_says_nothing_of_others(paths: SystemPaths, keep: Keep) -> None:
    keep(FIRST)
    keep(*(Unattached("ab", "uprobe", "f", number) for number in range(MOST)), host="n2")
    assert FIRST in earlier_failures(paths)


def test_a_kernel_that_the_node_has_no_more_does_not_count(paths: SystemPaths, keep: Keep) -> None:
    keep(FIRST)
    assert FIRST in earlier_failures(paths)
    keep(kernel="6.2", plan="another")
    assert earlier_failures(paths) == {}


def test_of_this_host_the_kernel_is_known(paths: SystemPaths, keep: Keep) -> None:
    keep(FIRST, host=os.uname().nodename, kernel="another")
    assert earlier_failures(paths) == {}
    keep(SECOND, host=os.uname().nodename, kernel=os.uname().release)
    assert set(earlier_failures(paths)) == {SECOND}


@pytest.mark.parametrize("said", [{"datacrumbs": "0.0.1"}, {"footer": False}])
def test_another_version_or_no_end_does_not_count(paths: SystemPaths, keep: Keep, said: dict[str, str]) -> None:
    keep(FIRST, **said)
    assert earlier_failures(paths) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="makes files of others")
def test_nothing_of_others_is_read(paths: SystemPaths, keep: Keep) -> None:
    trace = keep(FIRST)
    os.chown(trace, 4711, 4711)
    trace.with_name("link.pfw.gz").symlink_to(keep(SECOND).rename(paths.prefix / "own.gz"))
    os.mkfifo(trace.with_name("pipe.pfw.gz"))
    trace.with_name("directory.pfw.gz").mkdir()
    trace.with_name("empty.pfw.gz").touch()
    assert earlier_failures(paths) == {}


def test_the_latest_traces_alone_are_read(paths: SystemPaths, keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_places, "_LATEST", 2)
    keep(FIRST, plan="a")
    keep(SECOND, plan="b")
    keep(plan="c")
    assert set(earlier_failures(paths)) == {SECOND}


def test_without_traces(paths: SystemPaths) -> None:
    assert earlier_failures(paths) == {}
