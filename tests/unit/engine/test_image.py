"""What is kept of a compiled program comes back as it was, or not at all."""

from __future__ import annotations

import pytest

from datacrumbs.engine.image import decode, encode

from .images import IMAGE, KEY


def test_bytes_and_back():
    assert decode(encode(IMAGE, KEY), KEY) == IMAGE
    assert encode(IMAGE, KEY) == encode(IMAGE, KEY)


def test_every_damage_is_seen():
    data = encode(IMAGE, KEY)
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1
        with pytest.raises(ValueError, match=r"damaged|another version"):
            decode(bytes(damaged), KEY)
    for length in range(len(data)):
        with pytest.raises(ValueError, match=r"damaged|another version"):
            decode(data[:length], KEY)


def test_one_program_is_not_taken_for_another():
    with pytest.raises(ValueError, match="for another program or kernel"):
        decode(encode(IMAGE, KEY), "cd" * 32)
