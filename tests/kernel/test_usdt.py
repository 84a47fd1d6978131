"""USDT probes: instants with their operands, and pairs of entry and return as calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from datacrumbs.elf.functions import elf_target
from datacrumbs.elf.usdt import usdt_probes
from datacrumbs.model.plan import Argument, Attach, Function, Group, Plan, Result, UsdtPlace
from datacrumbs.model.record import CallFlag

from .conftest import Tracer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from datacrumbs.system import SystemConfiguration

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def program(build: Callable[..., Path]) -> Path:
    return build("usdt.c")


@pytest.fixture(scope="module")
def tracer(program: Path, engine_state: Path, configuration: SystemConfiguration):
    probes = {probe.name: probe for probe in usdt_probes(program)}
    entry, leave = probes["work__entry"], probes["work__return"]
    tick = probes["tick"]
    numbers = (Argument(0, "first", "long"), Argument(1, "second", "long"))
    functions = (
        Function(
            "tick", "crumbs:tick", "USDT", tick.locations[0], arguments=numbers, usdt_arguments=tick.arguments,
            more_places=tuple(map(UsdtPlace, tick.locations[1:])), result=Result.VOID,
        ),
        Function(
            "work", "crumbs:work__entry", "USDT", entry.locations[0], arguments=numbers,
            more_places=tuple(map(UsdtPlace, entry.locations[1:])), usdt_arguments=entry.arguments,
            return_places=tuple(map(UsdtPlace, leave.locations)), result=Result.VOID,
        ),
    )  # fmt: skip
    with Tracer(
        Plan((), (Group("site", "usdt", Attach.USDT, elf_target(program), functions),)), engine_state, configuration
    ) as tracer:
        yield tracer


def test_instants(tracer: Tracer, program: Path) -> None:
    calls = tracer.run(str(program)).named("tick")
    assert len(calls) == 13
    assert calls["values"][:, 0].tolist() == [23] * 13
    assert calls["values"][:, 1].tolist() == list(range(13))
    assert (calls["flags"] & CallFlag.POINT).all()
    assert not calls["duration"].any()


def test_entry_and_return_make_calls(tracer: Tracer, program: Path) -> None:
    calls = tracer.run(str(program)).named("work")
    assert calls["values"][:, 0].tolist() == [1, 2, 3, 4, 5] * 3
    assert calls["values"][:, 1].tolist() == [3, 5, 7, 11, 13] * 3
    assert (calls["flags"] & CallFlag.RETURNED).all()
    assert (calls["duration"][1:5] > calls["duration"][:4]).all()
    assert all(count.balanced for count in tracer.engine.counts())
