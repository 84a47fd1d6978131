"""A ring read through its pages: here a file in memory with the layout that the kernel gives a ring."""

from __future__ import annotations

import mmap
import os
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest

from datacrumbs.engine.ring import Ring, RingMaps, Rings, decode_name
from datacrumbs.model.contract import LocationFlag, NameKind
from datacrumbs.model.layouts import NAME_HEAD, RECORD
from datacrumbs.model.record import CUT, DELETED, Name

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = mmap.PAGESIZE
SIZE = 2 * PAGE
BUSY, DISCARDED = 1 << 31, 1 << 30
PIPE, SOCKET = 0x50495045, 0x534F434B


class Kernel:
    """The producer's side of a ring."""

    def __init__(self) -> None:
        self.file = os.memfd_create("ring")
        os.truncate(self.file, 2 * PAGE + 2 * SIZE)
        self.end = 0

    def add(self, payload: bytes, mark: int = 0) -> int:
        """Add a record; gives where its head is, for `finish`."""
        place = self.end
        record = struct.pack("<II", len(payload) | mark, 0) + payload
        record += bytes(-len(record) % 8)
        for at in range(place, place + len(record)):
            for turn in (0, SIZE):
                os.pwrite(self.file, record[at - place : at - place + 1], 2 * PAGE + at % SIZE + turn)
        self.end += len(record)
        os.pwrite(self.file, struct.pack("<Q", self.end), PAGE)
        return place

    def finish(self, place: int, length: int) -> None:
        for turn in (0, SIZE):
            os.pwrite(self.file, struct.pack("<I", length), 2 * PAGE + place % SIZE + turn)

    @property
    def taken(self) -> int:
        return int(struct.unpack("<Q", os.pread(self.file, 8, 0))[0])


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    os.close(made.file)


@pytest.fixture
def ring(kernel: Kernel) -> Iterator[Ring]:
    made = Ring(kernel.file, SIZE)
    yield made
    made.close()


def call(number: int) -> bytes:
    record = np.zeros(1, RECORD)
    record["start"] = number
    return record.tobytes()


def starts(ring: Ring, limit: int = 100) -> list[int]:
    return [int(start) for start in ring.calls(limit)["start"]]


def test_nothing_is_in_an_empty_ring(ring: Ring) -> None:
    assert starts(ring) == []
    assert list(ring.payloads()) == []


def test_calls_come_once_in_their_order_and_up_to_the_limit(kernel: Kernel, ring: Ring) -> None:
    for number in range(7):
        kernel.add(call(number))
    assert starts(ring, 3) == [0, 1, 2]
    assert starts(ring) == [3, 4, 5, 6]
    assert starts(ring) == []
    assert kernel.taken == kernel.end


def test_a_discarded_call_is_passed_over(kernel: Kernel, ring: Ring) -> None:
    kernel.add(call(1))
    kernel.add(call(2), DISCARDED)
    kernel.add(call(3))
    assert starts(ring) == [1, 3]


def test_an_unfinished_call_holds_back_those_behind_it(kernel: Kernel, ring: Ring) -> None:
    kernel.add(call(1))
    place = kernel.add(call(2), BUSY)
    kernel.add(call(3))
    assert starts(ring) == [1]
    assert starts(ring) == []
    assert kernel.taken == place
    kernel.finish(place, RECORD.itemsize)
    assert starts(ring) == [2, 3]


def test_no_call_is_lost_where_the_ring_begins_again(kernel: Kernel, ring: Ring) -> None:
    found = []
    for number in range(3 * SIZE // RECORD.itemsize):
        kernel.add(call(number))
        found += starts(ring)
    assert found == list(range(3 * SIZE // RECORD.itemsize))


def test_what_was_taken_stays_when_the_ring_is_written_again(kernel: Kernel, ring: Ring) -> None:
    kernel.add(call(5))
    calls = ring.calls(1)
    for number in range(SIZE // (RECORD.itemsize + 8)):
        kernel.add(call(1000 + number))
    assert int(calls["start"][0]) == 5


def test_payloads_of_any_length(kernel: Kernel, ring: Ring) -> None:
    found, put = [], [bytes([length % 251]) * length for length in range(1, 200, 7)]
    for turn in range(3):
        for payload in put:
            kernel.add(payload, DISCARDED if len(payload) == 8 and turn else 0)
            found += list(ring.payloads())
    assert found == put + 2 * [payload for payload in put if len(payload) != 8]


def test_an_unfinished_payload_holds_back_those_behind_it(kernel: Kernel, ring: Ring) -> None:
    place = kernel.add(b"first", BUSY)
    kernel.add(b"second")
    assert list(ring.payloads()) == []
    kernel.finish(place, 5)
    assert list(ring.payloads()) == [b"first", b"second"]


def named(data: bytes, kind: NameKind, **head: int) -> bytes:
    made = np.zeros(1, NAME_HEAD)
    made["identity"], made["kind"], made["length"] = 9, kind, len(data)
    for name, value in head.items():
        made[name] = value
    return made.tobytes() + data


def test_both_rings_are_one_batch(kernel: Kernel) -> None:
    names = Kernel()
    rings = Rings(RingMaps(kernel.file, SIZE, names.file, SIZE))
    kernel.add(call(3))
    names.add(named(b"/a", NameKind.PATH))
    batch = rings.poll()
    rings.close()
    os.close(names.file)
    assert [int(start) for start in batch.calls["start"]] == [3]
    assert batch.names == (Name(9, NameKind.PATH, 0, "/a"),)


@pytest.mark.parametrize(
    ("data", "head", "text"),
    [
        (b"file\0home\0/\0", {}, "/home/file"),
        (b"file\0home\0/\0", {"flags": LocationFlag.DELETED}, "/home/file" + DELETED),
        (b"file\0home\0", {"flags": LocationFlag.CUT}, CUT + "home/file"),
        (b"memfd:x\0/\0", {}, "/memfd:x" + DELETED),
        (b"caf\xe9\0/\0", {}, "/caf\udce9"),
        (b"", {"magic": PIPE, "inode": 7}, "pipe:[7]"),
        (b"", {"magic": SOCKET, "inode": 8}, "socket:[8]"),
    ],
)
def test_locations_of_open_files(data: bytes, head: dict[str, int], text: str) -> None:
    assert decode_name(named(data, NameKind.LOCATION, **head)) == Name(9, NameKind.LOCATION, 0, text)


def test_a_path_below_another_root_is_joined_to_it() -> None:
    assert decode_name(named(b"/etc/x", NameKind.PATH, base=4)) == Name(9, NameKind.PATH, 4, "etc/x")


def test_bytes_behind_the_length_are_no_part_of_a_name() -> None:
    assert decode_name(named(b"/a", NameKind.PATH) + b"more").text == "/a"
