"""What a process was executed with: its arguments, and what says which rank it is, read by the guest's kernel."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from datacrumbs.model.record import RecordKind
from datacrumbs.trace.ranks import Rank, rank_of

if TYPE_CHECKING:
    from ..kernel.conftest import Trace, Tracer  # noqa: TID252 - the engine of the kernel tests

pytestmark = pytest.mark.guest("6.1-amd64", "6.1-arm64")

STEP = {"SLURM_JOB_ID": "4711", "SLURM_STEP_ID": "3", "SLURM_PROCID": "5", "SLURM_NTASKS": "7"}


def environments(trace: Trace, kind: RecordKind) -> list[str]:
    """What was kept of the environment, of each event of a kind."""
    events = trace.events[trace.events["function"] == kind]
    return [trace.names[identity].text if identity else "" for identity in events["values"][:, 0].tolist()]


def test_the_variables_of_a_rank_are_kept_and_no_others(tracer: Tracer) -> None:
    long = {f"LONG_{size}": "v" * size for size in (63, 64, 2040, 2041, 5000)}
    trace = tracer.run("/bin/true", env={**os.environ, **long, **STEP, "SLURM_JWT": "confidential"})
    assert trace.status == 0
    (executed,) = environments(trace, RecordKind.EXEC)
    assert sorted(executed.split("\0")) == ["", *sorted(f"{name}={value}" for name, value in STEP.items())]
    assert rank_of(executed) == Rank("4711", 3, 5, None, 7, "slurm")
    assert environments(trace, RecordKind.START) == [executed]


def test_without_such_variables_nothing_is_kept(tracer: Tracer) -> None:
    trace = tracer.run("/bin/true")
    assert (environments(trace, RecordKind.EXEC), environments(trace, RecordKind.START)) == ([""], [""])


def test_the_arguments_are_kept(tracer: Tracer) -> None:
    arguments = ["/bin/true", "", "a b", "x" * 5000]
    trace = tracer.run(*arguments)
    whole = sum(len(each) + 1 for each in arguments)
    executed = trace.events[trace.events["function"] == RecordKind.EXEC]
    (name,) = [trace.names[identity] for identity in executed["values"][:, 1].tolist()]
    assert (name.text, name.base) == ("\0".join(arguments)[:4095], whole)
