"""Rows of a protobuf message read back as what they were made of."""

from __future__ import annotations

import numpy as np

from datacrumbs.report.exports.packets import field, in_order, message, number, numbers


def read(data: bytes) -> list[tuple[int, object]]:
    """The fields of a message, as a reader of protobuf takes them."""

    def one() -> int:
        nonlocal place
        value = shift = 0
        while True:
            value |= (data[place] & 127) << shift
            shift += 7
            place += 1
            if data[place - 1] < 128:
                return value

    found, place = [], 0
    while place < len(data):
        tag = one()
        value: object = one()
        if tag & 7 == 2:
            size = int(str(value))
            value = data[place : place + size]
            place += size
        found.append((tag >> 3, value))
    return found


def test_fields() -> None:
    assert number(300) == b"\xac\x02"
    assert read(field(1, 7) + field(29, "ü") + field(500, b"")) == [(1, 7), (29, "ü".encode()), (500, b"")]


def test_numbers_of_rows_are_as_long_as_their_field() -> None:
    values = np.array([0, 127, 128, 2**35 - 1])
    rows = numbers(11, values, 5)
    assert rows.shape[1] == 6
    assert [read(row.tobytes()) for row in rows] == [[(11, value)] for value in values]


def test_a_negative_number_has_all_its_bits() -> None:
    ((_, value),) = read(numbers(4, np.array([-1]), 10)[0].tobytes())
    assert value == 2**64 - 1


def test_messages_of_rows() -> None:
    rows = message(11, [numbers(1, np.array([3, 4]), 1), numbers(2, np.array([5, 6]), 2)])
    assert [read(row.tobytes()) for row in rows] == [[(11, row.tobytes()[2:])] for row in rows]
    assert read(rows[1].tobytes()[2:]) == [(1, 4), (2, 6)]


def test_rows_of_different_lengths_in_their_order() -> None:
    short, long = np.array([[1], [3]], np.uint8), np.array([[2, 2]], np.uint8)
    assert in_order([(np.array([0, 2]), short), (np.array([1]), long)]) == b"\x01\x02\x02\x03"
    assert in_order([]) == b""
