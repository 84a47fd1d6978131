from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from datacrumbs.serving import reception
from datacrumbs.serving.asking import BUSY
from datacrumbs.serving.decisions import Decision, DecisionLog
from datacrumbs.serving.reception import ACCEPTS_A_TURN, LOOK_UPS, LOOKS_A_TURN, Reception
from datacrumbs.serving.replies import ServiceName
from datacrumbs.serving.shares import Limits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_look_ups_beside_requests_are_as_few_as_those_before_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the account database does not answer, each has a child: as many as there are users would be too much."""
    begun: list[int] = []

    async def never(_self: Reception, uid: int) -> int:
        begun.append(uid)
        return await asyncio.Event().wait()

    async def ask() -> None:
        service = Reception(ServiceName("service", "unit", "logger"), Limits())
        again = [asyncio.create_task(service._look_up_again(uid)) for uid in range(10 * LOOK_UPS)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for task in again:
            task.cancel()
        await asyncio.gather(*again, return_exceptions=True)

    monkeypatch.setattr(Reception, "_looked_up", never)
    asyncio.run(ask())
    assert begun == list(range(LOOK_UPS))


FULL, OTHER = 1, 2


@pytest.fixture
def accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], list[int]]:
    """Who is admitted in one turn, of a user's number of connections and then another's; the first's share is full."""
    admitted: list[int] = []
    who: list[int] = []
    monkeypatch.setattr(reception, "credentials_of", lambda _: (1, who.pop(0), 1))

    async def turn(first: int, second: int) -> None:
        service = Reception(ServiceName("service", "unit", "logger"), Limits(connections_per_user=1))
        service.loop, service.stopping = asyncio.get_running_loop(), asyncio.Event()
        service._log = DecisionLog(lambda *_: None, lambda _: None)
        monkeypatch.setattr(service, "admit", lambda *visitor: admitted.append(visitor[1].uid) or visitor[0].close())
        service._known.remember(FULL, FULL)
        service._known.remember(OTHER, OTHER)
        service._shares.enter(FULL)
        for _ in range(2):  # the second one waits to be a line of the log, with those that follow counted
            service._log.add(FULL, Decision("refused", BUSY, None))
        who.extend([FULL] * first + [OTHER] * second)
        with socket.socket(socket.AF_UNIX) as listener:
            path = str(tmp_path / f"{first} {second}")
            listener.bind(path)
            listener.listen(first + second)
            listener.settimeout(0)
            connections = [socket.socket(socket.AF_UNIX) for _ in who]
            for connection in connections:
                connection.connect(path)
            service._accept(listener, service._meet)
            for connection in connections:
                connection.close()

    def run(first: int, second: int) -> list[int]:
        asyncio.run(turn(first, second))
        return admitted

    return run


def test_behind_a_crowd_that_is_turned_away_few_turns_pass(
    accepted: Callable[[int, int], list[int]],
) -> None:
    """It once was heard after sixteen of them a turn: behind a full queue, after sixty-four turns."""
    assert accepted(LOOKS_A_TURN - 1, 5) == [OTHER]


def test_few_are_taken_up_in_one_turn(accepted: Callable[[int, int], list[int]]) -> None:
    """What is in work waits meanwhile."""
    assert accepted(3, 2 * ACCEPTS_A_TURN) == [OTHER] * ACCEPTS_A_TURN
