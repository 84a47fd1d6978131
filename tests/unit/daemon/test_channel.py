"""Messages between the two processes, and what is refused of them."""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest

from datacrumbs.daemon.channel import Channel, Gone
from datacrumbs.daemon.losses import LossWatch
from datacrumbs.engine.counters import LOSSES

if TYPE_CHECKING:
    from pathlib import Path


def pair(limit: int = 1 << 24) -> tuple[Channel, Channel]:
    first, second = socket.socketpair()
    return Channel(first, limit, takes_descriptors=False), Channel(second, limit, takes_descriptors=True)


def test_messages_arrive_in_order_with_their_descriptors(tmp_path: Path) -> None:
    one, other = pair()
    with (tmp_path / "file").open("wb", buffering=0) as file:
        one.send("first", {"number": 1}, b"data")
        one.send("second", {}, descriptors=[file.fileno()])
        one.send("third", {"list": [1, "two"]})
    first, second, third = (other.receive(1) for _ in range(3))
    assert first is not None
    assert second is not None
    assert third is not None
    assert (first.kind, first.values, first.data, first.descriptors) == ("first", {"number": 1}, b"data", ())
    os.write(second.descriptors[0], b"written")
    os.close(second.descriptors[0])
    assert (tmp_path / "file").read_bytes() == b"written"
    assert third.values == {"list": [1, "two"]}
    assert other.receive() is None
    one.close()
    with pytest.raises(Gone):
        other.receive(1)
    other.close()


def test_sender_never_waits_for_one_that_does_not_listen() -> None:
    one, other = pair()
    data = bytes(range(256)) * 16384
    one.send("large", {}, data)
    assert not one.idle
    message = None
    while message is None:
        _ = one.idle
        message = other.receive(0.1)
    assert message.data == data
    assert one.idle
    one.close()
    other.close()


@pytest.mark.parametrize(
    "sent",
    [
        struct.pack("<III", 1 << 30, 0, 0),
        struct.pack("<III", 4, 0, 0) + b"nope",
        struct.pack("<III", 2, 0, 0) + b"[]",
        struct.pack("<III", 6, 0, 0) + b"[1,{}]",
        struct.pack("<III", 10, 0, 1) + b'["kind",{}]'[:10],
        struct.pack("<III", 11, 0, 1) + b'["kind",{}]',
        struct.pack("<III", 50000, 0, 0) + b"[" * 50000,
    ],
    ids=["too long", "no JSON", "no pair", "no kind", "cut", "no descriptor", "deep"],
)
def test_what_is_no_message_is_as_good_as_gone(sent: bytes) -> None:
    raw, end = socket.socketpair()
    channel = Channel(end, 1 << 20, takes_descriptors=False)
    raw.sendall(sent)
    with raw, pytest.raises(Gone):
        channel.receive(0.1)
    channel.close()


def test_descriptors_are_not_taken_from_who_may_not_send_them(tmp_path: Path) -> None:
    one, other = pair()
    with (tmp_path / "file").open("wb") as file:
        other.send("kind", {}, descriptors=[file.fileno()])
    with pytest.raises(Gone):
        one.receive(1)
    one.close()
    other.close()


def test_losses_become_differences() -> None:
    lost = np.zeros((3, len(LOSSES)), np.int64)
    watch = LossWatch(lambda: int(lost.sum()), lost.copy, 0.01)
    assert watch.look() == []
    lost[1, 0] = 23
    (note,) = watch.look()
    assert (note.function, dict(note.details)) == (1, {"cause": LOSSES[0], "calls": 23})
    lost[1, 0], lost[2, 1] = 30, 5
    notes = watch.look()
    assert [(each.function, each.details["cause"], each.details["calls"]) for each in notes] == [
        (1, LOSSES[0], 7),
        (2, LOSSES[1], 5),
    ]
    assert notes[0].begin == note.end <= notes[0].end
    assert watch.look() == []
