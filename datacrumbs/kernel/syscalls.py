"""System calls of the running kernel: names, numbers, and what each takes."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.cache.analysis_cache import arguments_of, cached, rows_of
from datacrumbs.cache.running_kernel import kernel_state
from datacrumbs.elf.c_types import argument_label, integer_type
from datacrumbs.kernel._system_call_numbers import bundled_numbers
from datacrumbs.kernel.btf import Prototype, TypedValue, kernel_btf
from datacrumbs.kernel.header_files import header_directories
from datacrumbs.kernel.symbols import kernel_symbols
from datacrumbs.kernel.tracefs import tracefs_directory
from datacrumbs.kernel.tracepoints import parse_format
from datacrumbs.model.plan import ARGUMENT_LIMIT, Argument, Role
from datacrumbs.model.problems import with_few_names
from datacrumbs.secure.files import is_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MACHINES = ("x86_64", "aarch64", "riscv64")
_ENTRY_PREFIX = {"x86_64": "__x64_sys_", "aarch64": "__arm64_sys_", "riscv64": "__riscv_sys_"}
# Where the kernel's function has another name than the call (arch/*/entry/syscalls/*.tbl).
_ENTRIES = {
    "stat": ("newstat",),
    "fstat": ("newfstat",),
    "lstat": ("newlstat",),
    "uname": ("newuname",),
    "sendfile": ("sendfile64",),
    "umount2": ("umount",),
    "fadvise64": ("fadvise64", "fadvise64_64"),
    "personality": ("personality", "arm64_personality"),
}
# Numbers that headers name and the table of 64-bit calls does not connect, though the function exists.
_UNCONNECTED = {"x86_64": frozenset(("set_thread_area", "get_thread_area"))}
_NUMBER = re.compile(r"^#define\s+__NR_(\w+)\s+(\d+)\s*$", re.MULTILINE)
# Machines of 32 bits pass 64 in two halves; the branch for them comes first.
_SPLIT_ARGUMENTS = re.compile(r"^#if\s+defined\(CONFIG_ARCH_SPLIT_ARG64\)$.*?^#else$", re.MULTILINE | re.DOTALL)
_PROTOTYPE = re.compile(r"asmlinkage\s+long\s+sys_(\w+)\s*\(([^;{}]*)\)\s*;")
_PROTOTYPES = "include/linux/syscalls.h"
_PARAMETER = re.compile(r"(?P<type>.*?)(?P<name>\b\w+)?")
_TYPE_WORDS = frozenset(("int", "long", "unsigned", "char", "short", "size_t", "void"))
_PATH_LABELS = frozenset(("path", "pathname", "filename", "oldname", "newname", "name", "specialfile", "dir_name"))


@dataclass(frozen=True, slots=True)
class SystemCall:
    """A system call of the running kernel.

    Args:
        name: The kernel's name (``openat``).
        number: Its number on this machine.
        arguments: All its arguments, as far as known here, with the roles that follow from types and names.

    """

    name: str
    number: int
    arguments: tuple[Argument, ...] = ()


@cache
def system_calls(machine: str) -> tuple[SystemCall, ...]:
    """The system calls that the running kernel has, in the order of their numbers.

    Names and numbers come from the headers here and from a bundled table for what is newer than
    they are; which of them are built in is in ``/proc/kallsyms``; arguments come from the kernel's
    BTF, then the kernel headers, then tracefs, so that no step needs root.

    Args:
        machine: Hardware name, as ``uname -m``.

    Returns:
        An empty tuple for a machine that is none of `MACHINES`.

    """
    if machine not in MACHINES:
        return ()
    rows = cached("system-calls", [machine, kernel_state(), _headers_state(machine)], lambda: _described(machine))
    return tuple(SystemCall(name, number, arguments_of(arguments)) for name, number, arguments in rows)


def _described(machine: str) -> list[list[object]]:
    numbers = bundled_numbers(machine) | _header_numbers(machine)
    entries = _entries(machine)
    arguments = _ArgumentSources()
    calls = []
    for name, number in numbers.items():
        candidates = _ENTRIES.get(name, (name,))
        present = next((entry for entry in candidates if entry in entries), "")
        if name in _UNCONNECTED.get(machine, ()) or (entries and not present):
            continue
        calls.append(SystemCall(name, number, arguments.find(name, present or candidates[0])))
    calls.sort(key=lambda call: call.number)
    return [[call.name, call.number, rows_of(call.arguments)] for call in calls]


def _headers_state(machine: str) -> list[object]:
    files = [*_number_headers(machine), *(directory / _PROTOTYPES for directory in header_directories())]
    states = [(str(file), file.stat()) for file in files if is_file(file)]
    return [[path, status.st_size, status.st_mtime_ns, status.st_ino] for path, status in states]


def parse_prototypes(text: str) -> dict[str, tuple[TypedValue, ...]]:
    """The parameters of each ``sys_*`` prototype of ``include/linux/syscalls.h``, by name."""
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL).replace("__user", " ")
    text = _SPLIT_ARGUMENTS.sub("", text)
    prototypes: dict[str, tuple[TypedValue, ...]] = {}
    for name, parameters in _PROTOTYPE.findall(text):
        declared = [" ".join(part.split()) for part in parameters.split(",")]
        if declared not in (["void"], [""]):
            prototypes.setdefault(name, tuple(_declared_value(part) for part in declared))
        else:
            prototypes.setdefault(name, ())
    return prototypes


# The kernel's functions that serve system calls, by name without prefix.
def _entries(machine: str) -> frozenset[str]:
    symbols = kernel_symbols()
    for prefix in (_ENTRY_PREFIX[machine], "sys_"):  # wrappers came with Linux 4.17
        names = {
            symbol.name.removeprefix(prefix) for symbol in symbols if symbol.name.startswith(prefix) and not symbol.weak
        }
        if "read" in names:
            return frozenset(names)
    return frozenset()


def _number_headers(machine: str) -> list[Path]:
    if machine != os.uname().machine:
        return []
    architecture = {"x86_64": "x86", "aarch64": "arm64", "riscv64": "riscv"}[machine]
    generated = f"arch/{architecture}/include/generated/uapi/asm/unistd_64.h"
    files = [directory / generated for directory in header_directories()]
    return [*files, Path(f"/usr/include/{machine}-linux-gnu/asm/unistd_64.h"), Path("/usr/include/asm/unistd_64.h")]


def _header_numbers(machine: str) -> dict[str, int]:
    numbers: dict[str, int] = {}
    for file in _number_headers(machine):
        for name, number in _NUMBER.findall(_text(file)):
            numbers.setdefault(name, int(number))
    return numbers


# Asks the sources in order and reads each once, when it is first needed.
class _ArgumentSources:
    def __init__(self) -> None:
        self._prototypes: Mapping[str, tuple[TypedValue, ...]] | None = None

    def find(self, name: str, entry: str) -> tuple[Argument, ...]:
        for values in self._candidates(name, entry):
            if values is not None:
                arguments = (_argument(value, position) for position, value in enumerate(values[:ARGUMENT_LIMIT]))
                return with_few_names(tuple(arguments))
        return ()

    def _candidates(self, name: str, entry: str) -> Iterator[tuple[TypedValue, ...] | None]:
        btf = kernel_btf()
        prototype = btf.prototype(f"__do_sys_{entry}") if btf else None
        yield _own_parameters(prototype) if prototype else None
        if self._prototypes is None:
            self._prototypes = _header_prototypes()
        yield self._prototypes.get(entry)
        yield _tracefs_parameters((entry, name))


# A call without arguments is declared to get the registers (SYSCALL_DEFINE0).
def _own_parameters(prototype: Prototype) -> tuple[TypedValue, ...]:
    return () if "struct pt_regs" in "".join(value.ctype for value in prototype.parameters) else prototype.parameters


def _header_prototypes() -> dict[str, tuple[TypedValue, ...]]:
    for directory in header_directories():
        if prototypes := parse_prototypes(_text(directory / _PROTOTYPES)):
            return prototypes
    return {}


def _tracefs_parameters(names: Iterable[str]) -> tuple[TypedValue, ...] | None:
    directory = tracefs_directory()
    for name in names:
        text = _text(directory / f"events/syscalls/sys_enter_{name}/format") if directory else ""
        if text:
            fields = parse_format(text)[1:]  # the first is the call's number
            return tuple(_typed_value(field.name, field.ctype) for field in fields)
    return None


def _declared_value(declaration: str) -> TypedValue:
    match = _PARAMETER.fullmatch(declaration)
    ctype, name = (match["type"].strip(), match["name"] or "") if match else (declaration, "")
    if name in _TYPE_WORDS or not ctype or ctype in {"struct", "const"} or name.endswith("_t"):
        ctype, name = declaration, ""  # a parameter without a name
    return _typed_value(name, ctype)


def _typed_value(name: str, ctype: str) -> TypedValue:
    return TypedValue(name, ctype, *integer_type(ctype))


def _argument(value: TypedValue, position: int) -> Argument:
    label = argument_label(value.name, position)
    size, signed = (value.size, value.signed) if value.size in {1, 2, 4, 8} else (8, False)
    return Argument(position, label, value.ctype, _role(label, value.ctype), size, signed)


def _role(label: str, ctype: str) -> Role:
    if ctype.endswith("*"):
        return Role.PATH if label in _PATH_LABELS and ctype == "const char *" else Role.OUT
    if label in {"dfd", "dirfd", "dir_fd", "olddfd", "newdfd"}:
        return Role.DIRFD
    if label == "fd":
        return Role.FD
    return Role.FLAGS if label == "flags" else Role.VALUE


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
