"""Which functions of an ELF file must not have their returns probed, by what the file itself says of them.

The configurator and the signer ask here, so that both come to the same answer.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from elftools.elf.elffile import ELFFile

from datacrumbs.elf.build_id import ELF_PROBLEMS
from datacrumbs.elf.frames import is_called
from datacrumbs.elf.functions import SYMBOL, section_headers
from datacrumbs.elf.returns import safe_returns
from datacrumbs.elf.segments import read_image
from datacrumbs.elf.unwind import Entries, Reader, call_sites
from datacrumbs.model.plan import Returns

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from datacrumbs.elf.segments import Image

_SHT_SYMTAB, _SHT_DYNAMIC, _SHT_DYNSYM = 2, 6, 11
_DT_FLAGS_1, _DF_1_PIE = 0x6FFFFFFB, 0x08000000
_FUNC, _GNU_IFUNC = 2, 10
_PUBLIC = (1, 2, 10)  # STB_GLOBAL, STB_WEAK, STB_GNU_UNIQUE
_UNDEFINED = 0
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
    image = read_image(stream)
    rule = _Rule(image, _Symbols(ELFFile(stream)))
    places = ((offset, image.address_of(offset)) for offset in offsets)
    reasons = (
        (offset, Returns.UNDESCRIBED if address is None else rule.returns(address)) for offset, address in places
    )
    return {offset: reason for offset, reason in reasons if reason is not Returns.PROBED}


class _Symbols:
    # What the symbol tables say: names and exported functions by address, and marks of languages.

    def __init__(self, elf: ELFFile) -> None:
        self.exported: frozenset[int] = frozenset()
        self.throwing = False
        self.relocated_program = False
        self._tables: list[tuple[NDArray[np.void], NDArray[np.int64], bytes]] = []
        self.bounds: dict[str, list[tuple[int, bool]]] = defaultdict(list)  # address, whether code begins there
        sections = section_headers(elf)
        self.go = bool(_GO_FILE.search(_content(elf, sections[elf["e_shstrndx"]]))) if len(sections) else False
        for section in sections[sections["type"] == _SHT_DYNAMIC]:
            tags = np.frombuffer(_content(elf, section), "<u8").reshape(-1, 2)
            self.relocated_program = bool((tags[tags[:, 0] == _DT_FLAGS_1, 1] & _DF_1_PIE).any())
        for section in sections[np.isin(sections["type"], (_SHT_SYMTAB, _SHT_DYNSYM))]:
            table = np.frombuffer(_content(elf, section), SYMBOL)
            strings = _content(elf, sections[section["link"]])
            self.throwing = self.throwing or bool(_THROWING.search(strings))
            defined = table[table["section"] != _UNDEFINED]
            if any(word in strings for word in _BOUND_WORDS):
                self._take_bounds(defined, strings)
            functions = defined[np.isin(defined["info"] & 0xF, (_FUNC, _GNU_IFUNC))]
            functions = functions[np.argsort(functions["value"], kind="stable")]
            values = functions["value"].astype(np.int64)
            self._tables.append((functions, values, strings))
            if section["type"] == _SHT_DYNSYM:
                self.exported = frozenset(values[np.isin(functions["info"] >> 4, _PUBLIC)].tolist())

    def names(self, address: int) -> list[str]:
        names = []
        for functions, values, strings in self._tables:
            low, high = np.searchsorted(values, [address, address + 1])
            names += [_string(strings, start).partition("@")[0] for start in functions["name"][low:high].tolist()]
        return names

    def _take_bounds(self, symbols: NDArray[np.void], strings: bytes) -> None:
        for start, value in zip(symbols["name"].tolist(), symbols["value"].tolist(), strict=True):
            if found := _BOUNDS.fullmatch(_string(strings, start)):
                kind = "go" if found["go"] else "ocaml"
                self.bounds[kind].append((value, not (found["go_end"] or found["ocaml_end"])))


class _Rule:
    def __init__(self, image: Image, symbols: _Symbols) -> None:
        self.image, self.symbols = image, symbols
        self.entries = Entries(image)
        self.bounds = {kind: sorted(set(bounds)) for kind, bounds in symbols.bounds.items()}
        # A file that was compiled without unwind information (musl) says nothing of any function.
        self.silent = 2 * len(self.entries.places) < len(symbols.exported)

    def returns(self, address: int) -> Returns:
        by_name = safe_returns(self.symbols.names(address))
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


def _content(elf: ELFFile, section: np.void) -> bytes:
    elf.stream.seek(int(section["offset"]))
    content: bytes = elf.stream.read(int(section["size"]))
    return content


def _string(strings: bytes, start: int) -> str:
    return strings[start : strings.index(b"\0", start)].decode("utf-8", "replace")
