"""Messages between the two processes, and what is refused of them."""

from __future__ import annotations

import os
import socket
import struct
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

from datacrumbs.daemon.channel import Channel, Gone, Received
from datacrumbs.daemon.losses import LossWatch
from datacrumbs.daemon.profile_transfer import profiles_file, read_profiles
from datacrumbs.engine.counters import LOSSES
from datacrumbs.model.record import PROFILE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Number:
    number: int


@dataclass(frozen=True, slots=True)
class Share:
    share: float
    certain: bool


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Parts:
    parts: Sequence[object]


@dataclass(frozen=True, slots=True)
class Empty:
    pass


ACCEPTED = (Number, Share, Text, Parts, Empty)


def pair(limit: int = 1 << 24) -> tuple[Channel, Channel]:
    first, second = socket.socketpair()
    return (
        Channel(first, ACCEPTED, limit, takes_descriptors=False),
        Channel(second, ACCEPTED, limit, takes_descriptors=True),
    )


def received(channel: Channel) -> Received:
    while True:
        message = channel.receive(60)
        if message:
            return message


def test_messages_arrive_in_order_with_their_descriptors(tmp_path: Path) -> None:
    one, other = pair()
    with (tmp_path / "file").open("wb", buffering=0) as file:
        one.send(Number(1))
        one.send(Empty(), descriptors=[file.fileno()])
        one.send(Parts([1, "two"]))
    first, second, third = (other.receive(1) for _ in range(3))
    assert first is not None
    assert second is not None
    assert third is not None
    assert first == Received(Number(1))
    assert second.message == Empty()
    os.write(second.descriptors[0], b"written")
    os.close(second.descriptors[0])
    assert (tmp_path / "file").read_bytes() == b"written"
    assert third == Received(Parts([1, "two"]))
    assert other.receive() is None
    one.close()
    with pytest.raises(Gone):
        other.receive(1)
    other.close()


def test_sender_never_waits_for_one_that_does_not_listen() -> None:
    one, other = pair()
    large = Text("0123456789" * 400_000)
    one.send(large)
    assert not one.pass_on()
    answer = None
    while answer is None:
        one.pass_on()
        answer = other.receive(0.1)
    assert answer.message == large
    assert one.pass_on()
    one.close()
    other.close()


def test_what_waits_goes_out_as_soon_as_there_is_room() -> None:
    """A sender that looked after each pause only would take one buffer a pause."""
    one, other = pair()
    one.send(Text("0123456789" * 1_000_000))
    answers = []
    reader = threading.Thread(target=lambda: answers.append(received(other)))
    reader.start()
    while not one.pass_on():
        assert one.receive(500) is None  # a turn that slept would end by the limit of the test's time
    reader.join()
    assert len(answers[0].message.text) == 10_000_000
    one.close()
    other.close()


def test_profiles_take_one_small_message(tmp_path: Path) -> None:
    """40 MB that went through the socket would need hundreds of turns."""
    profiles = np.zeros(67_003, PROFILE)
    profiles["count"] = np.arange(67_003)
    one, other = pair()
    with profiles_file(profiles) as descriptor:
        one.send(Empty(), descriptors=[descriptor])
        with pytest.raises(PermissionError):
            os.write(descriptor, b"x")
    assert one.pass_on()
    message = other.receive()
    assert message is not None
    assert (read_profiles(*message.descriptors) == profiles).all()
    one.close()
    other.close()


@pytest.mark.parametrize(
    "sent",
    [
        struct.pack("<II", 1 << 30, 0),
        struct.pack("<II", 4, 0) + b"nope",
        struct.pack("<II", 2, 0) + b"[]",
        struct.pack("<II", 6, 0) + b"[1,{}]",
        struct.pack("<II", 10, 0) + b'["Empty",{}]'[:10],
        struct.pack("<II", 12, 1) + b'["Empty",{}]',
        struct.pack("<II", 50000, 0) + b"[" * 50000,
        *(
            struct.pack("<II", len(text), 0) + text
            for text in (
                b'["Other",{}]',
                b'[["Empty"],{}]',
                b'["Empty",[]]',
                b'["Empty",{"number":1}]',
                b'["Number",{}]',
                b'["Number",{"number":"1"}]',
                b'["Number",{"number":true}]',
                b'["Number",{"number":1.5}]',
                b'["Number",{"number":null}]',
                b'["Text",{"text":["1"]}]',
                b'["Share",{"share":true,"certain":true}]',
                b'["Share",{"share":1,"certain":1}]',
            )
        ),
    ],
    ids=[
        *("too long", "no JSON", "no pair", "no kind", "cut", "no descriptor", "deep", "other", "list for a kind"),
        *("list for fields", "field too many", "field missing", "text for a number", "truth for a number"),
        *(
            "fraction for a number",
            "null for a number",
            "list for a text",
            "truth for a fraction",
            "number for a truth",
        ),
    ],
)
def test_what_is_no_message_is_as_good_as_gone(sent: bytes) -> None:
    raw, end = socket.socketpair()
    channel = Channel(end, ACCEPTED, 1 << 20, takes_descriptors=False)
    raw.sendall(sent)
    with raw, pytest.raises(Gone):
        channel.receive(0.1)
    channel.close()


def test_descriptors_are_not_taken_from_who_may_not_send_them(tmp_path: Path) -> None:
    one, other = pair()
    with (tmp_path / "file").open("wb") as file:
        other.send(Empty(), descriptors=[file.fileno()])
    with pytest.raises(Gone):
        one.receive(1)
    one.close()
    other.close()


@pytest.mark.parametrize(
    "sent",
    [
        struct.pack("<II", 12, 0) + b'["Empty",{}]',
        struct.pack("<II", 12, 0) + b'["Em',
        struct.pack("<II", 12, 1000),
        b"\0\0\0",
    ],
    ids=["whole", "part", "too many", "part of the head"],
)
def test_descriptors_that_no_message_claims_end_the_channel(sent: bytes) -> None:
    """They would be kept for ever."""
    raw, end = socket.socketpair()
    channel = Channel(end, ACCEPTED, 1 << 20, takes_descriptors=True)

    def receive_all() -> None:
        for _ in range(3):
            channel.receive(1)

    try:
        for _ in range(2):
            socket.send_fds(raw, [sent], [raw.fileno()] * 3)
        with pytest.raises(Gone):
            receive_all()
    finally:
        raw.close()
        channel.close()


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
