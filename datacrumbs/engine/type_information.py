"""The little type information that our maps and programs need, as the kernel's BTF format has it.

Task storage asks for the types of key and value, a program with functions for their prototypes. Only
sizes are looked at, so structures have no members.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from datacrumbs.engine import links
from datacrumbs.kernel.btf import HEADER, MAGIC, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LOAD, _VERSION = 18, 1
_KIND_SHIFT = 24
_GLOBAL = 1  # linkage of a function that is verified by itself

INTEGER = 1
"""Id of a 32-bit integer."""
PROGRAM = 3
"""Id of the function that a program begins with."""


class TypeInformation(links.Descriptor):
    """Types loaded into the kernel; closed with `close`.

    Args:
        values: Sizes of structures; their ids are in `values`.
        functions: Name -> size of the structure that its one argument points to; ids are in `functions`.

    Raises:
        OSError: The kernel refuses them.

    """

    def __init__(self, values: Sequence[int], functions: Mapping[str, int]) -> None:
        self._types: list[bytes] = []
        self._strings = b"\0"
        self._add(self._name("int"), Kind.INTEGER, 4, 32)
        prototype = self._add(0, Kind.PROTOTYPE, INTEGER)
        self._add(self._name("program"), Kind.FUNCTION, prototype)
        self.values = [self._add(self._name("value"), Kind.STRUCTURE, size) for size in values]
        self.functions = {name: self._function(name, size) for name, size in functions.items()}
        types = b"".join(self._types)
        head = HEADER.pack(MAGIC, _VERSION, 0, HEADER.size, 0, len(types), len(types), len(self._strings))
        data = head + types + self._strings
        super().__init__(links.bpf(_LOAD, links.attributes("<QQIII4x", links.address(data), 0, len(data), 0, 0)))

    def _function(self, name: str, size: int) -> int:
        argument = self._add(self._name("argument"), Kind.STRUCTURE, size)
        pointer = self._add(0, Kind.POINTER, argument)
        prototype = self._add(0, Kind.PROTOTYPE, INTEGER, self._name("argument"), pointer, count=1)
        return self._add(self._name(name), Kind.FUNCTION, prototype, count=_GLOBAL)

    # `count` is that of the members, or a function's linkage.
    def _add(self, name: int, kind: Kind, *words: int, count: int = 0) -> int:
        self._types.append(struct.pack(f"<{2 + len(words)}I", name, kind << _KIND_SHIFT | count, *words))
        return len(self._types)

    def _name(self, name: str) -> int:
        place = len(self._strings)
        self._strings += name.encode() + b"\0"
        return place
