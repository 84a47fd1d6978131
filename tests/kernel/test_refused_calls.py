"""Calls that a filter of seccomp refuses: the kernel tells of them at their end alone, and not of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from datacrumbs.configure.site import ProviderEntry
from datacrumbs.model.record import CallFlag

from .conftest import Trace, Tracer, composed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def tracer(engine_state: Path, configuration):
    """An engine for every system call of this machine."""
    with Tracer(composed(ProviderEntry("sys", preset="all")), engine_state, configuration) as tracer:
        yield tracer


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("refused")


@pytest.fixture(scope="module")
def trace(tracer: Tracer, build: Callable[..., Path], directory: Path) -> Trace:
    trace = tracer.run(str(build("refused.c")), str(directory))
    assert trace.status == 0
    return trace


def _made(trace: Trace, symbol: str) -> list[np.void]:
    functions = trace.plan.functions
    return [call for call in trace.calls if functions[call["function"]].symbol == symbol]


def test_refused_calls_are_recorded_with_error_and_file(trace: Trace, directory: Path) -> None:
    refused = [call for call in _made(trace, "unlinkat") if call["errno"] == 1]
    assert len(refused) == 13
    assert {trace.path(call["file"]) for call in refused} == {str(directory / "kept")}
    assert all(call["flags"] == CallFlag.RETURNED | CallFlag.FAILED for call in refused)


def test_a_refused_call_may_succeed(trace: Trace) -> None:
    assert len([call for call in _made(trace, "getppid") if call["result"] == 0]) == 11


def test_a_call_is_refused_for_its_arguments(trace: Trace, directory: Path) -> None:
    reads = [call for call in _made(trace, "read") if trace.path(call["file"]) == str(directory / "file")]
    assert [int(call["errno"]) for call in reads] == [5, 0] * 7


def test_what_a_handler_decides_is_counted_as_not_returned(trace: Trace, tracer: Tracer) -> None:
    assert not _made(trace, "renameat2")
    counts = dict(zip([each.symbol for each in tracer.plan.functions], tracer.engine.counts(), strict=True))
    assert (counts["renameat2"].entered, counts["renameat2"].unmatched) == (5, 5)
    assert counts["read"].unmatched == 3
    assert all(count.balanced for count in counts.values())


def test_a_call_that_kills_is_not_seen_and_no_child_returns_twice(trace: Trace) -> None:
    assert not _made(trace, "mkdirat")
    assert len(_made(trace, "clone") + _made(trace, "clone3")) == 3
