from __future__ import annotations

import json
import os
import resource
import select
import signal
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from datacrumbs.serving import spares
from datacrumbs.serving.limited import Bounds, LimitError, UndecidedError, remaining
from datacrumbs.serving.spares import Spares, prepare

WIDE = Bounds(memory=256 << 20, processor_seconds=30, clock_seconds=60)
BOUND = 300
MIB = 1 << 20


def echo(data: bytearray, _descriptors: list[int]) -> bytes:
    return bytes(data)


def nothing() -> None:
    pass


def until_ready(spare: spares.Spare) -> bool | None:
    assert select.select([spare.channel], [], [], BOUND)[0]
    return spare.is_ready()


def burnt(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_it_answers_its_order_and_ends():
    spare = prepare(echo, nothing)
    assert until_ready(spare)
    assert spare.answer(WIDE, b"order" * 100_000, 1 << 20) == b"order" * 100_000
    with pytest.raises(ChildProcessError):
        os.waitpid(spare.pid, 0)


@pytest.mark.parametrize("warm_up", [nothing, lambda: time.sleep(0.2), None])
def test_an_order_can_come_before_it_is_ready(warm_up):
    assert prepare(echo, warm_up).answer(WIDE, b"order", 100) == b"order"


def test_a_warm_up_that_fails_changes_nothing():
    spare = prepare(echo, lambda: print(1 // 0))
    assert until_ready(spare)
    assert spare.answer(WIDE, b"order", 100) == b"order"


def test_it_gets_descriptors_and_has_no_others(tmp_path):
    def work(_data: bytearray, given: list[int]) -> bytes:
        return json.dumps([len([*Path("/proc/self/fd").iterdir()]), os.read(given[0], 99).decode()]).encode()

    kept = [os.open(tmp_path, os.O_RDONLY) for _ in range(3)]
    (tmp_path / "given").write_text("content")
    try:
        with (tmp_path / "given").open("rb") as given:
            count, content = json.loads(prepare(work).answer(WIDE, b"", 1000, [given.fileno()]))
    finally:
        for descriptor in kept:
            os.close(descriptor)
    assert content == "content"
    assert count <= 3 + 4  # the standard streams, the order, the answer, what was given, the directory


def test_its_limits_count_from_its_order():
    """What it took to warm up, and the time that it waited, are nobody's."""

    def work(_data: bytearray, _descriptors: list[int]) -> bytes:
        left = remaining(WIDE)
        soft, _ = resource.getrlimit(resource.RLIMIT_CPU)
        return json.dumps([left.processor_seconds, left.clock_seconds, soft - time.process_time()]).encode()

    spare = prepare(work, lambda: burnt(0.6))
    assert until_ready(spare)
    bounds = Bounds(256 * MIB, 30, 600)
    processor, clock, kernels = json.loads(spare.answer(bounds, b"", 1000))
    assert 29.5 < processor <= 30
    assert 0 < clock <= 600
    assert 29.5 < kernels < 31.1  # the kernel counts whole seconds


@pytest.mark.parametrize(
    ("work", "bounds", "outcome"),
    [
        (lambda *_: bytes(512 * MIB), WIDE, LimitError),
        (lambda *_: burnt(60) or b"", Bounds(256 * MIB, 1, 600), LimitError),
        (lambda *_: signal.pause() or b"", Bounds(256 * MIB, 30, 0.5), UndecidedError),
    ],
    ids=["memory", "processor", "clock"],
)
def test_its_limits_end_it(work, bounds, outcome):
    spare = prepare(work, nothing)
    assert until_ready(spare)
    with pytest.raises(LimitError) as caught:
        spare.answer(bounds, b"", 100)
    assert type(caught.value) is outcome


def test_one_that_ends_without_an_answer():
    spare = prepare(lambda *_: os._exit(0), nothing)
    assert until_ready(spare)
    assert spare.answer(WIDE, b"", 100) == b""


def test_it_ends_when_nobody_can_give_it_an_order():
    spare = prepare(echo, nothing)
    assert until_ready(spare)
    spare.channel.close()
    assert spare.wait() != 0


def test_an_order_to_one_that_was_killed():
    spare = prepare(echo, nothing)
    assert until_ready(spare)
    spare.kill()
    with pytest.raises(LimitError):
        spare.answer(WIDE, b"order", 100)


@contextmanager
def stocked(most: int = 2):
    made: list[spares.Spare] = []

    def make() -> spares.Spare:
        made.append(prepare(echo, nothing))
        return made[-1]

    stock = Spares(make, most)
    try:
        fill(stock)
        yield stock, made
    finally:
        for child in stock.clear():
            child.wait()


def fill(stock: Spares) -> None:
    while stock.fill():
        pass
    for spare in stock._warming_up:
        assert select.select([spare.channel], [], [], BOUND)[0]


def finish(spare: spares.Spare) -> None:
    assert spare.answer(WIDE, b"order", 100) == b"order"


def test_a_user_gets_one_at_a_time_and_others_theirs(monkeypatch):
    now = [time.monotonic()]
    monkeypatch.setattr(spares, "time", SimpleNamespace(monotonic=lambda: now[0]))
    with stocked() as (stock, made):
        first = stock.take(7)
        assert first is made[0]
        assert stock.take(7) is None  # has had one
        assert stock.take(7) is None  # which is not forgotten for having asked
        second = stock.take(8)
        assert second is made[1]
        assert stock.take(9) is None  # none is left
        fill(stock)
        now[0] += spares.EVERY_SECONDS
        third = stock.take(7)
        assert third is made[2]
        for spare in (first, second, third):
            finish(spare)


def test_no_user_is_remembered_for_ever(monkeypatch):
    monkeypatch.setattr(spares, "REMEMBERED", 3)
    with stocked(most=5) as (stock, _):
        for key in range(5):
            finish(stock.take(key))
        assert len(stock._last) == 3


def test_those_that_have_ended_are_replaced():
    with stocked() as (stock, made):
        for spare in made:
            spare.kill()
            os.waitid(os.P_PID, spare.pid, os.WEXITED | os.WNOWAIT)
        assert stock.take(7) is None
        fill(stock)
        finish(stock.take(8))


def test_those_that_are_cleared_end():
    with stocked() as (stock, made):
        children = stock.clear()
        assert [child.pid for child in children] == [spare.pid for spare in made]
        for child in children:  # killed, or by themselves, since no order comes any more
            child.wait()
            assert not Path(f"/proc/{child.pid}").exists()
