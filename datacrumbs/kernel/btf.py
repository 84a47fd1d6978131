"""Types of the running kernel, from the BTF that it shows to every user.

The format is documented in ``Documentation/bpf/btf.rst`` of the kernel. It is read here and not by
libbpf because discovery needs an index by name, and libbpf searches linearly (2 ms a name).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

BTF_DIRECTORY = Path("/sys/kernel/btf")

HEADER = struct.Struct("<HBBIIIII")
MAGIC = 0xEB9F


class Kind(IntEnum):
    """Kinds of types."""

    INTEGER = 1
    POINTER = 2
    ARRAY = 3
    STRUCTURE = 4
    UNION = 5
    ENUMERATION = 6
    FORWARD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNCTION = 12
    PROTOTYPE = 13
    VARIABLE = 14
    SECTION = 15
    FLOAT = 16
    DECLARATION_TAG = 17
    TYPE_TAG = 18
    ENUMERATION_64 = 19


_KINDS = 32
# Words of a type, and of each of its members.
_TAIL: dict[int, int] = {Kind.INTEGER: 1, Kind.ARRAY: 3, Kind.VARIABLE: 1, Kind.DECLARATION_TAG: 1}
_MEMBER: dict[int, int] = {
    **dict.fromkeys((Kind.STRUCTURE, Kind.UNION, Kind.SECTION, Kind.ENUMERATION_64), 3),
    **dict.fromkeys((Kind.ENUMERATION, Kind.PROTOTYPE), 2),
}
_WORDS = tuple(3 + _TAIL.get(kind, 0) for kind in range(_KINDS))
_WORDS_OF_MEMBER = tuple(_MEMBER.get(kind, 0) for kind in range(_KINDS))
_QUALIFIERS: dict[int, str] = {Kind.VOLATILE: "volatile ", Kind.CONST: "const ", Kind.RESTRICT: "", Kind.TYPE_TAG: ""}
_KEYWORDS: dict[int, str] = {
    Kind.STRUCTURE: "struct ", Kind.UNION: "union ", Kind.ENUMERATION: "enum ", Kind.ENUMERATION_64: "enum ",
    Kind.FORWARD: "struct ",
}  # fmt: skip
_NOTHING = (0, False, False)


@dataclass(frozen=True, slots=True)
class TypedValue:
    """A parameter of a function, or a member of a structure.

    Args:
        name: Its name; empty for a result.
        ctype: Its C type, as one writes it.
        size: Bytes; 0 for void and for what has no size.
        signed: Whether it is a signed integer.
        offset: Bytes from the start of the structure; 0 for a parameter.
        scalar: Whether it is an integer, an enumeration or a pointer.
        pointer: Whether it is a pointer, which a typedef's name does not show.
    """

    name: str
    ctype: str
    size: int
    signed: bool
    offset: int = 0
    scalar: bool = True
    pointer: bool = False


@dataclass(frozen=True, slots=True)
class Prototype:
    """What a function takes and returns; ``result`` is None for void."""

    name: str
    parameters: tuple[TypedValue, ...]
    result: TypedValue | None


class Btf:
    """The types of the kernel or of one of its modules.

    Args:
        data: Content of a file below ``/sys/kernel/btf``.
        base: For a module, the kernel's own types, on which it builds.

    Raises:
        ValueError: The data is no BTF.
    """

    def __init__(self, data: bytes, base: Btf | None = None) -> None:
        if len(data) < HEADER.size:
            raise ValueError("too short for BTF")
        magic, _, _, header, types, types_size, strings, strings_size = HEADER.unpack_from(data)
        if magic != MAGIC or header + max(types + types_size, strings + strings_size) > len(data):
            raise ValueError("no BTF of this machine's byte order, or cut short")
        self._base = base
        self._words = memoryview(data)[header + types : header + types + types_size].cast("I")
        self._strings = data[header + strings : header + strings + strings_size]
        self._first_type = base.type_count if base else 1
        self._first_string: int = base.string_end if base else 0
        self._positions: list[int] = []
        self._of_kind: list[list[int]] = [[] for _ in range(_KINDS)]
        self._names: dict[Kind, dict[bytes, int]] = {}
        self._index()

    @property
    def type_count(self) -> int:
        """One more than the highest type id."""
        return self._first_type + len(self._positions)

    @property
    def string_end(self) -> int:
        """The first string offset that belongs to a module on top of this."""
        return self._first_string + len(self._strings)

    def prototype(self, name: str) -> Prototype | None:
        """The prototype of a function, or None when it has none here."""
        identity = self.type_id(Kind.FUNCTION, name)
        if identity is None:
            return None
        _, _, referred, _ = self.type_at(identity)
        _, info, result, members = self.type_at(referred)
        parameters = tuple(
            self._value(self.text_at(members[2 * position]), members[2 * position + 1])
            for position in range(info & 0xFFFF)
            if members[2 * position + 1]  # type 0 at the end is the `...`
        )
        return Prototype(name, parameters, self._value("", result) if result else None)

    def structure(self, name: str) -> tuple[TypedValue, ...] | None:
        """The members of a structure with their offsets, or None; bit fields are left out."""
        identity = self.type_id(Kind.STRUCTURE, name)
        if identity is None:
            return None
        return tuple(
            replace(self._value(text, referred), offset=bit // 8)
            for text, referred, bit, width in self._placed(identity, 0)
            if not width and not bit % 8
        )

    def member_bits(self, name: str) -> dict[str, int]:
        """The members of a structure with their offsets in bits, bit fields included; empty without it."""
        identity = self.type_id(Kind.STRUCTURE, name)
        return {} if identity is None else {text: bit for text, _, bit, _ in self._placed(identity, 0)}

    def has_typedef(self, name: str) -> bool:
        """Whether a typedef of this name exists (``btf_trace_EVENT`` for each trace event)."""
        return self.type_id(Kind.TYPEDEF, name) is not None

    def type_id(self, kind: Kind, name: str) -> int | None:
        """The id of the first type of this kind and name; None without one."""
        if kind not in self._names:
            self._names[kind] = self._named(kind)
        return self._names[kind].get(name.encode())

    # From the last to the first, which stays.
    def _named(self, kind: Kind) -> dict[bytes, int]:
        words, positions = self._words, self._positions
        places = self._of_kind[kind][::-1]
        offsets = [words[positions[place]] for place in places]
        strings, first = self._strings, self._first_string
        if first:
            texts = [self.text_at(offset).encode() for offset in offsets]
        else:
            texts = [strings[offset : strings.index(0, offset)] for offset in offsets]
        return {text: self._first_type + place for text, place in zip(texts, places, strict=True)}

    def _index(self) -> None:
        words, end, position = self._words, len(self._words), 0
        positions, of_kind = self._positions, self._of_kind
        while position < end:
            info = words[position + 1]
            kind = info >> 24 & 31
            of_kind[kind].append(len(positions))
            positions.append(position)
            position += _WORDS[kind] + _WORDS_OF_MEMBER[kind] * (info & 0xFFFF)

    def text_at(self, offset: int) -> str:
        """The string at an offset of this BTF or of its base."""
        if offset < self._first_string and self._base:
            return self._base.text_at(offset)
        start = offset - self._first_string
        return self._strings[start : self._strings.index(0, start)].decode("ascii", "replace")

    def type_at(self, identity: int) -> tuple[int, int, int, memoryview]:
        """A type's name offset, info word, size or referred type, and the words that follow."""
        if identity < self._first_type and self._base:
            return self._base.type_at(identity)
        position = self._positions[identity - self._first_type]
        words = self._words
        return words[position], words[position + 1], words[position + 2], words[position + 3 :]

    # Name, type, offset in bits and width of each member; the width is 0 but for bit fields. What is in a structure
    # or union without a name belongs to the structure itself.
    def _placed(self, identity: int, start: int) -> Iterator[tuple[str, int, int, int]]:
        _, info, _, words = self.type_at(identity)
        for position in range(info & 0xFFFF):
            name, referred, offset = words[3 * position : 3 * position + 3].tolist()
            width = offset >> 24 if info >> 31 else 0
            at, text = start + (offset & 0xFFFFFF if info >> 31 else offset), self.text_at(name)
            if text:
                yield text, referred, at, width
            elif self._kind(referred) in {Kind.STRUCTURE, Kind.UNION}:
                yield from self._placed(referred, at)

    def _kind(self, identity: int) -> int:
        return self.type_at(identity)[1] >> 24 & 31

    def _value(self, name: str, identity: int) -> TypedValue:
        size, signed, scalar = self._shape(identity)
        return TypedValue(
            name, self._spelling(identity), size, signed, scalar=scalar, pointer=self._is_pointer(identity)
        )

    def _is_pointer(self, identity: int) -> bool:
        while identity:
            _, info, identity, _ = self.type_at(identity)
            kind = info >> 24 & 31
            if kind not in _QUALIFIERS and kind != Kind.TYPEDEF:
                return kind == Kind.POINTER
        return False

    # Size in bytes, signedness, and whether it is a scalar.
    def _shape(self, identity: int) -> tuple[int, bool, bool]:
        if not identity:
            return _NOTHING
        _, info, size, words = self.type_at(identity)
        kind = info >> 24 & 31
        if kind in {Kind.INTEGER, Kind.ENUMERATION, Kind.ENUMERATION_64}:
            return size, bool(words[0] >> 24 & 1 if kind == Kind.INTEGER else info >> 31), True
        if kind == Kind.POINTER:
            return 8, False, True
        if kind == Kind.ARRAY:
            return self._shape(words[0])[0] * words[2], False, False
        if kind in _QUALIFIERS or kind == Kind.TYPEDEF:
            return self._shape(size)
        return (size, False, False) if kind in {Kind.STRUCTURE, Kind.UNION, Kind.FLOAT} else _NOTHING

    def _spelling(self, identity: int) -> str:
        if not identity:
            return "void"
        name, info, referred, words = self.type_at(identity)
        kind = info >> 24 & 31
        if kind == Kind.POINTER:
            inner = self._spelling(referred)
            return f"{inner}*" if inner.endswith("*") else f"{inner} *"
        if kind == Kind.ARRAY:
            return f"{self._spelling(words[0])}[{words[2]}]"
        if kind in _QUALIFIERS:
            return self._qualified(kind, referred)
        if kind == Kind.PROTOTYPE:
            return "void ()"  # a callback: readers of a trace need no more of it
        return _KEYWORDS.get(kind, "") + (self.text_at(name) or "{...}")

    def _qualified(self, kind: int, referred: int) -> str:
        text, qualifier = self._spelling(referred), _QUALIFIERS[kind]
        return f"{text} {qualifier}".rstrip() if text.endswith("*") else qualifier + text


def kernel_btf(module: str = "") -> Btf | None:
    """The types of the running kernel, or of one of its loaded modules.

    Args:
        module: Name of the module; empty for the kernel itself.

    Returns:
        None when the kernel shows none (built without CONFIG_DEBUG_INFO_BTF).
    """
    return _kernel_btf(module)


# Apart from the function above, whose two ways to ask for the kernel itself would index it twice.
@cache
def _kernel_btf(module: str) -> Btf | None:
    return read_btf(module, _kernel_btf("") if module else None)


def read_btf(module: str = "", base: Btf | None = None) -> Btf | None:
    """The same, read now and kept by the caller alone; of a module on top of the kernel's own types."""
    try:
        return Btf((BTF_DIRECTORY / (module or "vmlinux")).read_bytes(), base)
    except (OSError, ValueError):
        return None


def modules_with_btf() -> tuple[str, ...]:
    """The loaded modules whose types the kernel shows, sorted."""
    try:
        names = sorted(path.name for path in BTF_DIRECTORY.iterdir())
    except OSError:
        return ()
    return tuple(name for name in names if name != "vmlinux")
