"""A compiled program as bytes that can be kept: its maps, its instructions, and what ties them to a kernel.

The bytes are a magic line, the SHA-256 of what follows, the length of a JSON head, the head, and the
instructions of all programs, one after the other.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import struct
from dataclasses import dataclass

MAGIC = b"datacrumbs program 1\n"
INSTRUCTION_SIZE = 8
TASK_STORAGE = 29
"""The kind of a map, as bpf(2) numbers it."""
_DIGEST_SIZE = 32
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class MapSpecification:
    """What a map is created with; sizes are in bytes, ``entries`` as bpf(2) means it."""

    name: str
    kind: int
    key_size: int
    value_size: int
    entries: int
    flags: int


@dataclass(frozen=True, slots=True)
class Code:
    """One program's instructions, and which of them load the address of which map."""

    name: str
    instructions: bytes
    maps: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Image:
    """Everything that the kernel is given for one C program.

    Args:
        maps: In the order in which they are created.
        programs: Every function that can be attached.
        functions: Name -> type id of those functions of the running kernel that the programs use.
    """

    maps: tuple[MapSpecification, ...]
    programs: tuple[Code, ...]
    functions: dict[str, int]


def encode(image: Image, key: str) -> bytes:
    """The bytes to keep under ``key``."""
    head = {
        "key": key,
        "maps": [dataclasses.astuple(entry) for entry in image.maps],
        "programs": [[code.name, len(code.instructions), code.maps] for code in image.programs],
        "functions": image.functions,
    }
    text = json.dumps(head, separators=(",", ":")).encode()
    body = _LENGTH.pack(len(text)) + text + b"".join(code.instructions for code in image.programs)
    return MAGIC + hashlib.sha256(body).digest() + body


def decode(data: bytes, key: str) -> Image:
    """Read what `encode` wrote under the same key.

    Raises:
        ValueError: saying why these are not those bytes.

    """
    start = len(MAGIC) + _DIGEST_SIZE
    if not data.startswith(MAGIC):
        raise ValueError("not a program, or written by another version")
    if hashlib.sha256(data[start:]).digest() != data[len(MAGIC) : start]:
        raise ValueError("damaged: its digest does not match")
    (length,) = _LENGTH.unpack_from(data, start)
    at = start + _LENGTH.size
    head = json.loads(data[at : at + length])
    if head["key"] != key:
        raise ValueError("for another program or kernel")
    at += length
    programs = []
    for name, size, maps in head["programs"]:
        programs.append(Code(name, data[at : at + size], tuple((index, used) for index, used in maps)))
        at += size
    return Image(tuple(MapSpecification(*entry) for entry in head["maps"]), tuple(programs), head["functions"])
