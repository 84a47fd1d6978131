"""Which functions of an ELF file must not have their returns probed, by what the file itself says of them.

The configurator and the signer ask here, so that both come to the same answer.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from datacrumbs.elf.file import DF_1_PIE, ELF_PROBLEMS, Elf, Tag
from datacrumbs.elf.frames import is_called
from datacrumbs.elf.returns_by_name import returns_by_name
from datacrumbs.elf.segments import image_of
from datacrumbs.elf.symbol_tables import UNDEFINED, is_function, is_public, symbol_tables
from datacrumbs.elf.unwind import Entries, Reader, call_sites
from datacrumbs.model.plan import Returns

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from datacrumbs.elf.segments import ProgramImage
    from datacrumbs.elf.symbol_tables import SymbolTable

# The routines by which exceptions of C++, Rust, Ada, D, Go (GCC's) and Objective-C find their handlers; not C's.
_THROWING = re.compile(rb"(?:gxx|rust_eh|gnat|gdc|d_eh|gccgo|objc)_personality")
_GO_FILE = re.compile(rb"\0(?:\.gopclntab|\.data\.rel\.ro\.gopclntab|\.note\.go\.buildid)\0")
# Where code begins and ends that compilers of other languages made.
_BOUNDS = re.compile(
    r"(?P<go>runtime\.(?P<go_end>e)?text)|(?P<ocaml>caml\w*(?:__|\.)code_(?:begin|(?P<ocaml_end>end)))"
)
_BOUND_WORDS = (b"runtime.etext\0", b"code_begin\0")


def unsafe_returns(stream: BinaryIO, offsets: Iterable[int]) -> Mapping[int, Returns]:
    """Functions of which only the entries may be probed.

    Args:
        stream: The ELF file, opened for reading; its position is changed.
        offsets: File offsets of the functions' first instructions.

    Returns:
        The reason by offset, for those whose returns must not be probed; all of them where the file cannot be read.
    """
    wanted = tuple(offsets)
    try:
        return _unsafe_returns(stream, wanted) if wanted else {}
    except ELF_PROBLEMS:
        return dict.fromkeys(wanted, Returns.UNDESCRIBED)


def _unsafe_returns(stream: BinaryIO, offsets: tuple[int, ...]) -> Mapping[int, Returns]:
    elf = Elf(stream)
    tables = symbol_tables(elf)
    image = image_of(elf, tables)
    rule = _Rule(image, _Symbols(elf, tables))
    places = ((offset, image.address_of(offset)) for offset in offsets)
    reasons = (
        (offset, Returns.UNDESCRIBED if address is None else rule.returns(address)) for offset, address in places
    )
    return {offset: reason for offset, reason in reasons if reason is not Returns.PROBED}


class _Symbols:
    # What the symbol tables say: names and exported functions by address, and marks of languages.

    def __init__(self, elf: Elf, tables: Iterable[SymbolTable]) -> None:
        self.exported: frozenset[int] = frozenset()
        self.throwing = False
        self.relocated_program = any(value & DF_1_PIE for value in elf.dynamic_values(Tag.FLAGS_1))
        self.go = bool(_GO_FILE.search(elf.section_names))
        self.bounds: dict[str, list[tuple[int, bool]]] = defaultdict(list)  # address, whether code begins there
        self._tables: list[tuple[SymbolTable, NDArray[np.void], NDArray[np.int64]]] = []
        for table in tables:
            self.throwing = self.throwing or bool(_THROWING.search(table.strings))
            if any(word in table.strings for word in _BOUND_WORDS):
                self._take_bounds(table)
            functions = table.rows[is_function(table.rows)]
            functions = functions[np.argsort(functions["value"], kind="stable")]
            values = functions["value"].astype(np.int64)
            self._tables.append((table, functions, values))
            if table.dynamic:
                self.exported = frozenset(values[is_public(functions)].tolist())

    def names(self, address: int) -> list[str]:
        names = []
        for table, functions, values in self._tables:
            low, high = np.searchsorted(values, [address, address + 1])
            names += [name.partition("@")[0] for name in table.names(functions[low:high])]
        return names

    def _take_bounds(self, table: SymbolTable) -> None:
        symbols = table.rows[table.rows["section"] != UNDEFINED]
        for name, value in zip(table.names(symbols), symbols["value"].tolist(), strict=True):
            if found := _BOUNDS.fullmatch(name):
                kind = "go" if found["go"] else "ocaml"
                self.bounds[kind].append((value, not (found["go_end"] or found["ocaml_end"])))


class _Rule:
    def __init__(self, image: ProgramImage, symbols: _Symbols) -> None:
        self.image, self.symbols = image, symbols
        self.entries = Entries(image)
        self.bounds = {kind: sorted(set(bounds)) for kind, bounds in symbols.bounds.items()}
        # A file that was compiled without unwind information (musl) says nothing of any function.
        self.silent = 2 * len(self.entries.places) < len(symbols.exported)

    def returns(self, address: int) -> Returns:
        by_name = returns_by_name(self.symbols.names(address))
        if by_name is not Returns.PROBED:
            return by_name
        if address == self.image.entry:
            return Returns.NOT_CALLED
        if self.symbols.go and ("go" not in self.bounds or self._is_within("go", address)):
            return Returns.MOVES
        return Returns.COLLECTED if self._is_within("ocaml", address) else self._by_frame(address)

    def _by_frame(self, address: int) -> Returns:
        exported = address in self.symbols.exported
        entry = self.entries.covering(address)
        if entry is None:
            return Returns.PROBED if exported and self.silent else Returns.UNDESCRIBED
        if not is_called(self.image, entry, address):
            return Returns.NOT_CALLED
        # What a program exports for its own plug-ins, its own functions call as well.
        called_by_others = exported and not (self.image.fixed or self.symbols.relocated_program)
        if self.symbols.throwing and (not called_by_others or self._passes_exceptions_on(entry.table, entry.start)):
            return Returns.THROWS
        return Returns.PROBED

    def _is_within(self, kind: str, address: int) -> bool:
        bounds = self.bounds.get(kind, [])
        before = bisect_right(bounds, (address, True)) - 1
        return before >= 0 and bounds[before][1]

    # What has handlers only to clean up expects exceptions to go on to its caller.
    def _passes_exceptions_on(self, table: int, start: int) -> bool:
        sites = call_sites(Reader(self.image, table), start) if table else []
        return bool(sites) and not any(action for _, action in sites)
