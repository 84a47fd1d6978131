"""A program that stops tracing and starts it again while another of its threads is in a call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from datacrumbs import client
from datacrumbs.model.record import RecordKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Trace, Tracer

pytestmark = pytest.mark.kernel

ROUNDS = 7
# Of the reads that end after the start, those that were seen to begin, or to begin again where a handler returned.
RECORDED = {"stays": 0, "same": 0, "other": ROUNDS, "handled": ROUNDS}


@pytest.mark.parametrize("way", RECORDED)
def test_a_call_of_before_is_never_ended_by_one_of_after(tracer: Tracer, build: Callable[..., Path], way: str) -> None:
    read = [function.symbol for function in tracer.plan.functions].index("read")
    before = tracer.engine.counts()[read]
    trace = tracer.run(str(build("restarted.c", "-pthread")), str(client.client_library()), way)
    assert trace.status == 0
    after = tracer.engine.counts()[read]
    assert after.unmatched - before.unmatched == ROUNDS
    assert after.balanced
    own = _of_the_thread(trace)
    assert len(own) == RECORDED[way]
    starts = np.sort(trace.events["start"][trace.events["function"] == RecordKind.START])[-ROUNDS:]
    assert (np.sort(own["start"]) > starts[: len(own)]).all()


def _of_the_thread(trace: Trace) -> np.ndarray:
    reads = trace.named("read")
    return reads[(reads["thread"] != reads["process"]) & (reads["result"] == 1)]
