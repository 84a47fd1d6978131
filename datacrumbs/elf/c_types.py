"""Sizes and signs of C integer types on 64-bit Linux, by their names, and the labels of arguments in a trace."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_LABEL_LIMIT = 48

_SIGNED = {
    "char": 1,
    "signed char": 1,
    "short": 2,
    "int": 4,
    "long": 8,
    "long long": 8,
    "int8_t": 1,
    "int16_t": 2,
    "int32_t": 4,
    "int64_t": 8,
    "intptr_t": 8,
    "ptrdiff_t": 8,
    "ssize_t": 8,
    "off_t": 8,
    "off64_t": 8,
    "loff_t": 8,
    "time_t": 8,
    "clock_t": 8,
    "suseconds_t": 8,
    "pid_t": 4,
    "clockid_t": 4,
    "key_t": 4,
    "herr_t": 4,
    "htri_t": 4,
    "hssize_t": 8,
    "hid_t": 8,
    "MPI_Offset": 8,
    "MPI_Aint": 8,
    "MPI_Count": 8,
}
_UNSIGNED = {
    "bool": 1,
    "_Bool": 1,
    "hbool_t": 1,
    "unsigned char": 1,
    "unsigned short": 2,
    "unsigned int": 4,
    "unsigned": 4,
    "unsigned long": 8,
    "unsigned long long": 8,
    "uint8_t": 1,
    "uint16_t": 2,
    "uint32_t": 4,
    "uint64_t": 8,
    "uintptr_t": 8,
    "size_t": 8,
    "hsize_t": 8,
    "haddr_t": 8,
    "dev_t": 8,
    "ino_t": 8,
    "nfds_t": 8,
    "mode_t": 4,
    "umode_t": 2,
    "uid_t": 4,
    "gid_t": 4,
    "id_t": 4,
    "socklen_t": 4,
    "sa_family_t": 2,
    "u8": 1,
    "u16": 2,
    "u32": 4,
    "u64": 8,
    "sector_t": 8,
    "pgoff_t": 8,
    "gfp_t": 4,
    "fmode_t": 4,
    "blk_opf_t": 4,
}
_QUALIFIERS = re.compile(r"\b(const|volatile|restrict|__restrict|register|struct|union)\b")
# "short int", "long unsigned int" as debug information spells them
_REDUNDANT_INT = re.compile(r"(?<=\w) int$")


def integer_type(ctype: str) -> tuple[int, bool]:
    """Size in bytes (1, 2, 4 or 8) and whether signed, of a C type as it is written in a declaration.

    Pointers and arrays are unsigned addresses. An enumeration is an ``unsigned int``. A type that is not
    known is a signed register: 8 bytes, so that nothing of it is cut off.
    """
    text = " ".join(ctype.split())
    if "*" in text or "[" in text or "(" in text:
        return 8, False
    if re.search(r"\benum\b", text):
        return 4, False
    name = normal_name(text)
    if name in _SIGNED:
        return _SIGNED[name], True
    if name in _UNSIGNED:
        return _UNSIGNED[name], False
    return 8, True


def normal_name(ctype: str) -> str:
    """A type's name without qualifiers, in the usual order of words (``long unsigned int``: ``unsigned long``)."""
    words = _QUALIFIERS.sub(" ", ctype).split()
    if "unsigned" in words and words[0] != "unsigned":
        words.remove("unsigned")
        words.insert(0, "unsigned")
    if words[:1] == ["signed"] and words[1:2] != ["char"]:
        words = words[1:] or ["int"]
    if words[:2] == ["unsigned", "int"] and len(words) == 2:
        return "unsigned int"
    return _REDUNDANT_INT.sub("", " ".join(words))


def argument_label(name: str, position: int, taken: Collection[str] = ()) -> str:
    """A parameter's name as a label: lower case, digits and underscores, and not one that is taken."""
    label = re.sub(r"[^a-z0-9_]", "_", name.lower()).strip("_")[:_LABEL_LIMIT]
    if not label or not label[0].isalpha():
        label = f"argument{position}"
    free, number = label, position
    while free in taken:
        free, number = f"{label}{number}", number + 1
    return free
