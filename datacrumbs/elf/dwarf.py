"""Arguments of functions from debug information (DWARF)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.cache.analysis_cache import arguments_of, cached, rows_of
from datacrumbs.cache.inspected_files import looked_at
from datacrumbs.elf.build_id import file_build_id, file_state
from datacrumbs.elf.c_types import argument_label
from datacrumbs.elf.debug_entries import (
    BYTE_SIZE,
    ENCODING,
    EXTERNAL,
    LANGUAGE,
    LINKAGE_NAME,
    NAME,
    TYPE,
    DebugEntry,
    Information,
)
from datacrumbs.elf.debug_sections import debug_sections, has_debug_sections
from datacrumbs.elf.file import ELF_PROBLEMS, Elf
from datacrumbs.errors import DatacrumbsError
from datacrumbs.model.plan import ARGUMENT_LIMIT, Argument, Role
from datacrumbs.model.problems import with_few_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

DEBUG_FOLDER = Path("/usr/lib/debug/.build-id")
_FUNCTION, _PARAMETER = 0x2E, 0x05  # tags
_TRANSPARENT = {0x16: "", 0x26: "const", 0x35: "volatile", 0x37: "", 0x47: ""}  # and restrict, atomic
_TYPEDEF, _BASE, _ENUMERATION, _SUBROUTINE = 0x16, 0x24, 0x04, 0x15
_ADDRESSES = (0x0F, 0x10, 0x42)  # pointer, reference, rvalue reference
_AGGREGATES = {0x13: "struct ", 0x17: "union ", 0x02: ""}
_FLOATS = (0x03, 0x04, 0x09, 0x0F)  # DW_ATE_complex_float, float, imaginary_float, decimal_float
_SIGNED = (0x05, 0x06, 0x0D)  # DW_ATE_signed, signed_char, signed_fixed
_HIDDEN_RESULT = 16  # bytes; a larger structure is returned through a hidden first argument
_DEPTH = 32
_GO = 0x16  # DW_LANG_Go
_PATH_LABELS = frozenset({"path", "pathname", "path_name", "filename", "file_name", "file", "oldpath", "newpath"})
_FD_LABELS = frozenset({"fd", "fildes"})


@dataclass(frozen=True, slots=True)
class _Type:
    # text as in C; size 0 for void; kind: integer, address, float, aggregate
    text: str
    kind: str
    size: int = 8
    signed: bool = False


def function_arguments(path: Path | str) -> Mapping[str, tuple[Argument, ...]]:
    """The register arguments of the public functions that a file's debug information describes.

    Detached debug information below ``/usr/lib/debug/.build-id`` is found. Floating-point arguments are left
    out, since they are in other registers; a structure passed by value ends a function's list, since what
    follows it cannot be placed. Only pointers called like file names are read as strings: any other ``char *``
    could be the user's data.

    Returns:
        Symbol name -> arguments, at most 6; empty without debug information.

    Raises:
        DatacrumbsError: When the file cannot be read.
    """
    real = Path(path).resolve()
    try:
        state = real.stat()
    except OSError as error:
        raise DatacrumbsError(f"{path}: cannot be read: {error.strerror}") from None
    return arguments_in_memory(real, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=16)
def arguments_in_memory(path: Path, _modified: int, _size: int) -> Mapping[str, tuple[Argument, ...]]:
    detached = _detached(file_build_id(path))
    state = file_state(path)
    looked_at(detached)
    key = None if state is None else [state, file_state(detached) if detached.exists() else None]
    rows = cached("arguments", key, lambda: {name: rows_of(found) for name, found in _described(path).items()})
    return {name: arguments_of(found) for name, found in rows.items()}


def _described(path: Path) -> Mapping[str, tuple[Argument, ...]]:
    found: dict[str, tuple[Argument, ...]] = {}
    for name, parameters in function_parameters(path):
        arguments = register_arguments(parameters)
        if len(arguments) >= len(found.get(name, ())):
            found[name] = arguments
    return found


@dataclass(frozen=True, slots=True)
class FormalParameter:
    """One parameter as declared: ``kind`` is ``integer``, ``address``, ``float`` or ``aggregate``."""

    name: str
    ctype: str
    kind: str
    size: int
    signed: bool


def register_arguments(parameters: Sequence[FormalParameter]) -> tuple[Argument, ...]:
    """Arguments at their places in the integer registers, by the calling conventions of 64-bit Linux."""
    arguments: list[Argument] = []
    index = 0
    for position, parameter in enumerate(parameters):
        if parameter.kind == "float":
            continue
        if parameter.kind == "aggregate" or parameter.size not in (1, 2, 4, 8) or index >= ARGUMENT_LIMIT:
            break
        label = argument_label(parameter.name, position, {argument.label for argument in arguments})
        role = _role(label, parameter)
        arguments.append(Argument(index, label, parameter.ctype, role, parameter.size, parameter.signed))
        index += 1
    return with_few_names(tuple(arguments))


def _role(label: str, parameter: FormalParameter) -> Role:
    if parameter.kind == "address":
        if re.fullmatch(r"const char ?\*", parameter.ctype):
            if label in _PATH_LABELS:
                return Role.PATH
            if label == "name" or label.endswith("_name"):
                return Role.STRING
        return Role.OUT
    return Role.FD if label in _FD_LABELS and parameter.ctype == "int" else Role.VALUE


def function_parameters(path: Path) -> Iterator[tuple[str, list[FormalParameter]]]:
    """Symbol and parameters of each public function; functions with a hidden first argument, and Go's, are left out."""
    source = _debug_file(path)
    if source is None:
        return
    try:
        with source.open("rb") as stream:
            types = _Types()
            for unit in Information(debug_sections(Elf(stream), source.parent)).units():
                if _number(unit.entry(unit.first), LANGUAGE, 0) == _GO:
                    continue  # its calls have registers of their own
                for entry in unit.functions(_FUNCTION, EXTERNAL):
                    yield from _subprogram(entry, types)
    except (*ELF_PROBLEMS, RecursionError):
        return  # broken debug information describes nothing; the symbols are still there


def _detached(identity: str) -> Path:
    return DEBUG_FOLDER / identity[:2] / f"{identity[2:]}.debug"


def _debug_file(path: Path) -> Path | None:
    for candidate in (path, _detached(file_build_id(path))):
        try:
            with candidate.open("rb") as stream:
                if has_debug_sections(Elf(stream)):
                    return candidate
        except ELF_PROBLEMS:
            continue
    return None


def _subprogram(entry: DebugEntry, types: _Types) -> Iterator[tuple[str, list[FormalParameter]]]:
    name = _text(entry, LINKAGE_NAME) or _text(entry, NAME)
    result = types.of(entry)
    if not name or (result.kind == "aggregate" and result.size > _HIDDEN_RESULT):
        return
    parameters = []
    for child in entry.kids():
        if child.tag == _PARAMETER:
            kind = types.of(child)
            parameters.append(FormalParameter(_text(child, NAME), kind.text, kind.kind, kind.size, kind.signed))
    yield name, parameters


def _text(entry: DebugEntry, attribute: int) -> str:
    value = entry.attributes.get(attribute)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _number(entry: DebugEntry, attribute: int, default: int) -> int:
    value = entry.attributes.get(attribute)
    return value if isinstance(value, int) else default


class _Types:
    # The types of one file; functions of one unit share most of theirs.

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, int], _Type] = {}

    def of(self, entry: DebugEntry) -> _Type:
        if TYPE not in entry.attributes:
            return _type(entry)
        key = (entry.unit.start, entry.forms[TYPE], entry.attributes[TYPE])
        if key not in self._known:
            self._known[key] = _type(entry)
        return self._known[key]


def _type(entry: DebugEntry, depth: int = 0) -> _Type:
    if TYPE not in entry.attributes:
        return _Type("void", "integer", 0)
    target = entry.referred(TYPE)
    if depth > _DEPTH:
        return _Type("?", "aggregate", 0)
    name = _text(target, NAME)
    if target.tag in _TRANSPARENT:
        inner = _type(target, depth + 1)
        qualified = f"{_TRANSPARENT[target.tag]} {inner.text}".strip()
        return replace(inner, text=name if target.tag == _TYPEDEF and name else qualified)
    if target.tag in _ADDRESSES:
        pointed = _type(target, depth + 1).text
        return _Type(f"{pointed}*" if pointed.endswith("*") else f"{pointed} *", "address")
    return _plain_type(target, name)


def _plain_type(target: DebugEntry, name: str) -> _Type:
    if target.tag == _BASE:
        return _base_type(target, name)
    if target.tag == _ENUMERATION:
        return _Type(f"enum {name}".strip(), "integer", _number(target, BYTE_SIZE, 4))
    if target.tag == _SUBROUTINE:
        return _Type("void ()", "integer", 0)
    text = f"{_AGGREGATES.get(target.tag, '')}{name}" or "?"
    return _Type(text, "aggregate", _number(target, BYTE_SIZE, 0))


def _base_type(target: DebugEntry, name: str) -> _Type:
    encoding = _number(target, ENCODING, 0)
    size = _number(target, BYTE_SIZE, 8)
    kind = "float" if encoding in _FLOATS else "integer"
    return _Type(name, kind, size, encoding in _SIGNED)
