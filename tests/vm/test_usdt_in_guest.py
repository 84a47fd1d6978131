"""USDT probes on the guest's kernel: its verifier takes the reading of operands, and their values are right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from ..kernel.conftest import Tracer  # noqa: TID252 - the engine of the kernel tests

pytestmark = pytest.mark.guest("6.1-amd64", "6.12-amd64", "6.1-arm64")


def test_instants_and_calls_have_their_operands(tracer: Tracer, usdt_program: Path) -> None:
    trace = tracer.run(str(usdt_program))
    assert trace.named("tick")["values"][:, :2].tolist() == [[23, number] for number in range(13)]
    calls = trace.named("work")
    assert calls["values"][:, 0].tolist() == [1, 2, 3, 4, 5] * 3
    assert calls["values"][:, 1].tolist() == [3, 5, 7, 11, 13] * 3
    assert (calls["duration"] > 0).all()
