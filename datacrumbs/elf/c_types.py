"""Sizes and signs of C integer types on 64-bit Linux, by their names, and the labels of arguments in a trace."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_LABEL_LIMIT = 48

_SIGNED = {
    1: "char, signed char, int8_t",
    2: "short, int16_t, __s16",
    4: "int, int32_t, __s32, pid_t, clockid_t, timer_t, key_t, key_serial_t, mqd_t, rwf_t, herr_t, htri_t",
    8: "long, long long, int64_t, intptr_t, ptrdiff_t, ssize_t, off_t, off64_t, loff_t, time_t, clock_t, suseconds_t, "
    "hssize_t, hid_t, MPI_Offset, MPI_Aint, MPI_Count",
}
_UNSIGNED = {
    1: "bool, _Bool, hbool_t, unsigned char, uint8_t, u8",
    2: "unsigned short, uint16_t, u16, umode_t, sa_family_t",
    4: "unsigned int, unsigned, uint32_t, u32, __u32, mode_t, uid_t, gid_t, id_t, qid_t, socklen_t, gfp_t, fmode_t, "
    "blk_opf_t",
    8: "unsigned long, unsigned long long, uint64_t, u64, __u64, uintptr_t, size_t, hsize_t, haddr_t, dev_t, ino_t, "
    "nfds_t, sector_t, pgoff_t, aio_context_t",
}
_TYPES = {
    name: (size, signed)
    for names_by_size, signed in ((_SIGNED, True), (_UNSIGNED, False))
    for size, names in names_by_size.items()
    for name in names.split(", ")
}
_REGISTER = (8, True)
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
    return _TYPES.get(normal_name(text), _REGISTER)


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
