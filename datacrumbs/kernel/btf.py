"""Types of the running kernel, from the BTF that it shows to every user.

The format is documented in ``Documentation/bpf/btf.rst`` of the kernel. It is read here and not by
libbpf because discovery needs an index by name, and libbpf searches linearly (2 ms a name).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

BTF_DIRECTORY = Path("/sys/kernel/btf")

_INT, _POINTER, _ARRAY, _STRUCT, _UNION, _ENUM, _FORWARD, _TYPEDEF = 1, 2, 3, 4, 5, 6, 7, 8
_VOLATILE, _CONST, _RESTRICT, _FUNCTION, _PROTOTYPE, _VARIABLE, _SECTION = 9, 10, 11, 12, 13, 14, 15
_FLOAT, _DECLARATION_TAG, _TYPE_TAG, _ENUM64 = 16, 17, 18, 19
_TAIL = {_INT: 1, _ARRAY: 3, _VARIABLE: 1, _DECLARATION_TAG: 1}  # words after the common three
_MEMBER = {_STRUCT: 3, _UNION: 3, _ENUM: 2, _PROTOTYPE: 2, _SECTION: 3, _ENUM64: 3}  # words of each member
_QUALIFIERS = {_VOLATILE: "volatile ", _CONST: "const ", _RESTRICT: "", _TYPE_TAG: ""}
_KEYWORDS = {_STRUCT: "struct ", _UNION: "union ", _ENUM: "enum ", _ENUM64: "enum ", _FORWARD: "struct "}
_INDEXED = (_FUNCTION, _STRUCT, _TYPEDEF)
_HEADER = struct.Struct("<HBBIIIII")
_MAGIC = 0xEB9F
_NOTHING = (0, False, False)


@dataclass(frozen=True, slots=True)
class Value:
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
    parameters: tuple[Value, ...]
    result: Value | None


class Btf:
    """The types of the kernel or of one of its modules.

    Args:
        data: Content of a file below ``/sys/kernel/btf``.
        base: For a module, the kernel's own types, on which it builds.

    Raises:
        ValueError: The data is no BTF.
    """

    def __init__(self, data: bytes, base: Btf | None = None) -> None:
        if len(data) < _HEADER.size:
            raise ValueError("too short for BTF")
        magic, _, _, header, types, types_size, strings, strings_size = _HEADER.unpack_from(data)
        if magic != _MAGIC or header + max(types + types_size, strings + strings_size) > len(data):
            raise ValueError("no BTF of this machine's byte order, or cut short")
        self._base = base
        self._words = memoryview(data)[header + types : header + types + types_size].cast("I")
        self._strings = data[header + strings : header + strings + strings_size]
        self._first_type = base.type_count if base else 1
        self._first_string: int = base.string_end if base else 0
        self._positions: list[int] = []
        self._ids: dict[int, dict[str, int]] = {kind: {} for kind in _INDEXED}
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
        identity = self._ids[_FUNCTION].get(name)
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

    def structure(self, name: str) -> tuple[Value, ...] | None:
        """The members of a structure with their offsets, or None; bit fields are left out."""
        identity = self._ids[_STRUCT].get(name)
        return None if identity is None else tuple(self._members(identity, 0))

    def has_typedef(self, name: str) -> bool:
        """Whether a typedef of this name exists (``btf_trace_EVENT`` for each trace event)."""
        return name in self._ids[_TYPEDEF]

    def _index(self) -> None:
        words, end, position = self._words, len(self._words), 0
        while position < end:
            info = words[position + 1]
            kind = info >> 24 & 31
            if kind in self._ids:
                self._ids[kind].setdefault(self.text_at(words[position]), self._first_type + len(self._positions))
            self._positions.append(position)
            position += 3 + _TAIL.get(kind, 0) + _MEMBER.get(kind, 0) * (info & 0xFFFF)

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

    def _members(self, identity: int, start: int) -> list[Value]:
        _, info, _, words = self.type_at(identity)
        members = []
        for position in range(info & 0xFFFF):
            name, referred, offset = words[3 * position : 3 * position + 3].tolist()
            if info >> 31:
                if offset >> 24:
                    continue
                offset &= 0xFFFFFF
            if offset % 8:
                continue
            at, text = start + offset // 8, self.text_at(name)
            if text:
                members.append(replace(self._value(text, referred), offset=at))
            elif (self.type_at(referred)[1] >> 24 & 31) in {_STRUCT, _UNION}:
                members.extend(self._members(referred, at))
        return members

    def _value(self, name: str, identity: int) -> Value:
        size, signed, scalar = self._shape(identity)
        return Value(name, self._spelling(identity), size, signed, scalar=scalar, pointer=self._is_pointer(identity))

    def _is_pointer(self, identity: int) -> bool:
        while identity:
            _, info, identity, _ = self.type_at(identity)
            kind = info >> 24 & 31
            if kind not in _QUALIFIERS and kind != _TYPEDEF:
                return kind == _POINTER
        return False

    # Size in bytes, signedness, and whether it is a scalar.
    def _shape(self, identity: int) -> tuple[int, bool, bool]:
        if not identity:
            return _NOTHING
        _, info, size, words = self.type_at(identity)
        kind = info >> 24 & 31
        if kind in {_INT, _ENUM, _ENUM64}:
            return size, bool(words[0] >> 24 & 1 if kind == _INT else info >> 31), True
        if kind == _POINTER:
            return 8, False, True
        if kind == _ARRAY:
            return self._shape(words[0])[0] * words[2], False, False
        if kind in _QUALIFIERS or kind == _TYPEDEF:
            return self._shape(size)
        return (size, False, False) if kind in {_STRUCT, _UNION, _FLOAT} else _NOTHING

    def _spelling(self, identity: int) -> str:
        if not identity:
            return "void"
        name, info, referred, words = self.type_at(identity)
        kind = info >> 24 & 31
        if kind == _POINTER:
            inner = self._spelling(referred)
            return f"{inner}*" if inner.endswith("*") else f"{inner} *"
        if kind == _ARRAY:
            return f"{self._spelling(words[0])}[{words[2]}]"
        if kind in _QUALIFIERS:
            return self._qualified(kind, referred)
        if kind == _PROTOTYPE:
            return "void ()"  # a callback: who reads a trace needs no more of it
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
    base = _kernel_btf("") if module else None
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
