"""The `posix` provider: the C library's POSIX calls and buffered streams, of glibc and of musl."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.elf.functions import elf_target
from datacrumbs.errors import DatacrumbsError
from datacrumbs.provider import (
    Argument,
    Attach,
    Check,
    CheckState,
    Cost,
    Layer,
    Option,
    Preset,
    ProbeTarget,
    Provider,
    Role,
    Snippet,
    hookimpl,
)
from datacrumbs_posix import posix_table, stdio_table
from datacrumbs_posix.functions import STDIO, libc_functions, names
from datacrumbs_posix.libc import SONAMES, identify, libc_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datacrumbs.provider import Function, Host, Options

__version__ = "0.1.0"

_COUNT = (Argument(0, "count", "ssize_t", Role.COUNT, 8, signed=True),)
_BYTES = (Argument(0, "bytes", "int", Role.BYTES, 4, signed=True),)
_FIELDS = {
    "iovec": _COUNT,
    "message": _COUNT,
    "stream_print": _BYTES,
    "print": _BYTES,
}


@hookimpl
def datacrumbs_provider() -> Provider:
    """Say who the provider is."""
    return Provider(
        title="POSIX calls and buffered streams of the C library (glibc, musl)",
        layer=Layer.C_LIBRARY,
        options=(
            Option("libc", "list", (), "Paths of C libraries to probe instead of the one that programs use here."),
        ),
        libraries=SONAMES,
    )


@hookimpl
def datacrumbs_targets(host: Host, options: Options) -> Iterator[ProbeTarget]:
    """List the C libraries to probe: the program's own, else the host's."""
    for path in libc_files(host, options):
        yield ProbeTarget(elf_target(path), Attach.UPROBE, identify(path).label)


@hookimpl
def datacrumbs_functions(target: ProbeTarget, options: Options) -> tuple[Function, ...]:  # noqa: ARG001 - the hook's form
    """List the I/O functions of one C library."""
    path = Path(target.target.path)
    return libc_functions(path, identify(path))


@hookimpl
def datacrumbs_snippets() -> Iterator[Snippet]:
    """Give the snippets that add up vectors and find the files of streams."""
    folder = files("datacrumbs_posix") / "snippets"
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        name, suffix, _ = file.name.partition(".bpf.c")
        if suffix:
            yield Snippet(name=name, text=file.read_text(encoding="utf-8"), fields=_FIELDS.get(name, ()))


@hookimpl
def datacrumbs_presets() -> tuple[Preset, ...]:
    """Name selections of functions."""
    data = names(posix_table.DATA, posix_table.SYNCHRONISATION, posix_table.MEMORY, stdio_table.DATA)
    metadata = names(posix_table.OPENING, posix_table.ATTRIBUTES, posix_table.NAMES)
    streams = names(stdio_table.OPENING, stdio_table.POSITION)
    return (
        Preset("stdio", "buffered streams, which system calls do not show", Cost.MEDIUM, names(STDIO)),
        Preset("data", "reads, writes, transfers and their synchronisation", Cost.MEDIUM, data),
        Preset(
            "metadata", "opening, closing, positions, attributes and names of files", Cost.MEDIUM, metadata | streams
        ),
        Preset("all", "every I/O function of the C library", Cost.HIGH),
    )


@hookimpl
def datacrumbs_checks(host: Host) -> Iterator[Check]:
    """Say which C library programs use here."""
    fix = "set the option `libc` of the provider in the site file"
    try:
        paths = libc_files(host, {})
    except DatacrumbsError as error:
        yield Check("C library", CheckState.MISSING, error.message, error.hint or fix)
        return
    if not paths:
        yield Check("C library", CheckState.MISSING, "none found: neither glibc nor musl", fix)
    for path in paths:
        yield Check("C library", CheckState.OK, f"{identify(path).label}: {path}")
