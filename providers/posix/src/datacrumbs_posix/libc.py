"""Which C library a program uses, and which one it is."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.elf.functions import elf_functions
from datacrumbs.elf.libraries import find_libraries, interpreter_of, named_libraries, program_libraries
from datacrumbs.errors import DatacrumbsError, usage_error

if TYPE_CHECKING:
    from datacrumbs.provider import Host, Options

SONAMES = ("libc.so.6", "ld-musl-*.so.1", "libc.musl-*.so.1")
_START = "__libc_start_main"  # what every program with a C library in it begins with
_SHELL = Path("/bin/sh")
_GLIBC_VERSION = re.compile(rb"GNU C Library \(.{1,80}?\) [a-z]+ release version (\d+\.\d+)")
_MUSL_MARK = b"musl libc"


@dataclass(frozen=True, slots=True)
class Libc:
    """A C library: its ``kind`` (``glibc`` or ``musl``) and its name for people."""

    kind: str
    label: str


def libc_files(host: Host, options: Options) -> tuple[Path, ...]:
    """Real paths of the C libraries to probe.

    Those of the option ``libc``, else the one that the host's program loads (the program itself when it is
    static and still names its functions), else the one that the host's shell loads.

    Raises:
        DatacrumbsError: (exit 2) when a named library or the program is missing.
    """
    if named := named_libraries("posix", options, "libc"):
        return named
    if host.program is not None:
        found = find_libraries(SONAMES, replace(host, others=False))
        own = found or _static(interpreter_of(host.program, host.environment))
        return own + tuple(path for path in _shell_libc() if path not in own) if host.others else own
    return _shell_libc() or find_libraries(SONAMES[:1], host) or find_libraries(SONAMES[1:], host)


def _shell_libc() -> tuple[Path, ...]:
    # The shell is linked as the distribution's programs are; a second C library beside it is not theirs.
    with suppress(DatacrumbsError):
        loaded = program_libraries(_SHELL, {})
        return tuple(dict.fromkeys(path.resolve() for path in loaded if any(path.match(name) for name in SONAMES)))
    return ()


def _static(program: Path) -> tuple[Path, ...]:
    names = {name for function in elf_functions(program) for name in (function.name, *function.aliases)}
    return (program.resolve(),) if _START in names else ()


@lru_cache(maxsize=32)
def identify(path: Path) -> Libc:
    """What C library a file is or contains.

    Raises:
        DatacrumbsError: (exit 2) when the file cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise usage_error(f"{path}: cannot be read: {error.strerror}", "name a readable C library") from None
    version = _GLIBC_VERSION.search(content)
    if version:
        return Libc("glibc", f"glibc {version[1].decode()}")
    if _MUSL_MARK in content:
        return Libc("musl", "musl")
    # A static program keeps neither text; glibc's streams are known by their internal names.
    names = {name for function in elf_functions(path) for name in (function.name, *function.aliases)}
    glibc = any(name.startswith("_IO_") for name in names - {"_IO_getc", "_IO_putc"})
    return Libc("glibc", "glibc, static") if glibc else Libc("musl", "musl, static")
