"""Entries of the reference system's form, turned into functions.

Where a provider knows the functions of the file that an entry names, its curated descriptions
are taken; everything else is described from the file itself, as provider ``site``.
"""

from __future__ import annotations

import lzma
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from datacrumbs.configure.candidates import Candidate, Selected, Sources, symbols_of
from datacrumbs.configure.indirect import refusals
from datacrumbs.configure.site import ProbeKind, ReferenceEntry, SourceKind
from datacrumbs.configure.usdt_entries import usdt_functions
from datacrumbs.elf.dwarf import function_arguments
from datacrumbs.elf.file import open_elf
from datacrumbs.elf.functions import base_name, elf_functions, elf_target
from datacrumbs.elf.ifuncs import resolve_ifuncs
from datacrumbs.elf.symbol_tables import is_function, symbol_tables
from datacrumbs.elf.usdt import usdt_probes
from datacrumbs.errors import ExitCode, reworded
from datacrumbs.kernel.symbols import kernel_function_arguments, kernel_functions
from datacrumbs.kernel.tracefs import kprobes_available
from datacrumbs.output import counted
from datacrumbs.provider import Attach, Function, ProbeTarget, Result, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from datacrumbs.elf.functions import ElfFunction
    from datacrumbs.provider import Argument
    from datacrumbs.secure.document import Value

_Found = TypeVar("_Found")

SITE = "site"
"""Provider of functions that no installed provider describes."""

_IDENTIFIER_BEFORE_PARENTHESIS = re.compile(r"\b([A-Za-z_]\w*)\s*\(")
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_HEADER_LIMIT = 16 << 20
_MODULE_LIMIT = 256 << 20


def reference_candidates(entry: ReferenceEntry, sources: Sources) -> Selected:
    """The functions that an entry with the key ``probe`` selects.

    Raises:
        DatacrumbsError: (exit 2) ``FILE:LINE: KEY: ...`` for a file that is missing or not what it should be,
            and for foreign C.
    """
    return {
        ProbeKind.SYSCALLS: _system_calls,
        ProbeKind.KPROBE: _kernel_functions,
        ProbeKind.UPROBE: _library_functions,
        ProbeKind.USDT: _usdt_probes,
        ProbeKind.CUSTOM: _custom,
    }[entry.probe](entry, sources)


# The calls come from the machine. The header that the entry names is one place where they are
# declared, and site files name that of another kernel, so it is not read.
def _system_calls(entry: ReferenceEntry, sources: Sources) -> Selected:
    candidates: list[Candidate] = []
    seen = 0
    for name in sources.providers.names:
        options = sources.defaults(name)
        for target in sources.targets(name, options):
            if target.attach is not Attach.SYSCALL:
                continue
            functions = sources.functions(name, target, options)
            seen += len(functions)
            hits = _select(entry, {f"sys_{function.symbol}" for function in functions})
            candidates += [
                Candidate(name, Attach.SYSCALL, target.target, function, entry.label)
                for function in functions
                if f"sys_{function.symbol}" in hits
            ]
    if candidates:
        return Selected(tuple(candidates))
    if not seen:
        return Selected(reason="no installed provider knows system calls; install datacrumbs-sys", absent=True)
    return Selected(reason=f"the regex matches none of {counted(seen, 'system call')} (as sys_NAME)")


def _kernel_functions(entry: ReferenceEntry, sources: Sources) -> Selected:
    if not kprobes_available():
        return Selected(reason="the running kernel has no kprobes (CONFIG_KPROBES)", absent=True)
    listed = _listed(entry)
    here = frozenset(kernel_functions())
    names = _select(entry, here if listed is None else here & listed)
    if not names:
        return Selected(
            reason=f"the regex matches none of the {counted(len(here), 'kernel function')} that can be probed"
        )
    target = Target("", sources.host.release)
    known = {function.symbol: (owner, function) for owner, function in _known(sources, target, Attach.KPROBE)}
    candidates = []
    for name in sorted(names):
        owner, function = known.get(name) or (SITE, _kernel_function(name, entry))
        candidates.append(Candidate(owner, Attach.KPROBE, target, function, entry.label))
    return Selected(tuple(candidates))


def _library_functions(entry: ReferenceEntry, sources: Sources) -> Selected:
    path = _existing(entry)
    target = _on_line(entry.file, elf_target, path)
    symbols = _on_line(entry.file, elf_functions, path)
    names = {name for symbol in symbols for name in _selectable((symbol.name, *symbol.aliases))}
    hits = _select(entry, names)
    known = {function.offset: (owner, function) for owner, function in _known(sources, target, Attach.UPROBE)}
    arguments = function_arguments(path)
    chosen = [symbol for symbol in symbols if _is_selected((symbol.name, *symbol.aliases), hits)]
    # An implementation may have names of its own, which do not match.
    others = [symbol for symbol in symbols if not symbol.ifunc]
    resolution = resolve_ifuncs(path, [*(symbol for symbol in chosen if symbol.ifunc), *others], sources.host.root)
    candidates = []
    for symbol in resolution.functions:
        if not _is_selected((symbol.name, *symbol.aliases), hits):
            continue
        owner, function = known.get(symbol.offset) or (SITE, _site_function(symbol, hits, entry, arguments))
        candidates.append(Candidate(owner, Attach.UPROBE, target, function, entry.label))
    placed = {candidate.function.offset for candidate in candidates}
    candidates += [
        Candidate(owner, Attach.UPROBE, target, function, entry.label)
        for offset, (owner, function) in known.items()
        if offset not in placed and _is_selected(symbols_of(function), hits)
    ]
    probed = {name for candidate in candidates for name in symbols_of(candidate.function)}
    notes = refusals([(name, why) for name, why in resolution.refused.items() if name not in probed], str(path))
    if candidates or notes:
        return Selected(tuple(candidates), notes=notes)
    return Selected(reason=f"the regex matches none of {counted(len(symbols), 'function')} of {path}")


# An old version of a function (f@V1) is meant by its plain name, too.
def _selectable(names: Iterable[str]) -> set[str]:
    return {each for name in names for each in (name, base_name(name))}


def _is_selected(names: Iterable[str], hits: frozenset[str]) -> bool:
    return any(name in hits or base_name(name) in hits for name in names)


def _usdt_probes(entry: ReferenceEntry, sources: Sources) -> Selected:
    del sources  # a file lists its USDT probes itself
    path = _existing(entry)
    probes = _on_line(entry.file, usdt_probes, path)
    wanted = [probe for probe in probes if entry.usdt_provider in {"", probe.provider}]
    hits = _select(entry, {probe.name for probe in wanted})
    notes: list[str] = []
    functions = usdt_functions(
        [probe for probe in wanted if probe.name in hits], _category(entry), notes.append, entry.arguments
    )
    if functions:
        target = elf_target(path)
        candidates = tuple(Candidate(SITE, Attach.USDT, target, each, entry.label) for each in functions)
        return Selected(candidates, notes=tuple(notes))
    if wanted:
        return Selected(reason=f"the regex matches none of {counted(len(wanted), 'USDT probe')}")
    there = ", ".join(sorted({probe.provider for probe in probes})) or "none at all"
    return Selected(reason=f"{path} has no USDT probes of provider {entry.usdt_provider!r}; it has those of: {there}")


def _custom(entry: ReferenceEntry, sources: Sources) -> Selected:
    del sources
    entry.where.fail(
        "C of a site file cannot be loaded into the kernel",
        "an entry that names a provider",
        "write a provider with a snippet, which an administrator can trust (docs/write-a-provider.md), "
        "or go on without such entries: --without custom",
    )


def _listed(entry: ReferenceEntry) -> frozenset[str] | None:
    # The names that the entry's file lists; None when it is no file but the kernel itself.
    if entry.source is SourceKind.KSYM:
        return None
    path = _existing(entry)
    if entry.source is SourceKind.HEADER:
        text = _COMMENT.sub(" ", _read(entry, path, _HEADER_LIMIT).decode("utf-8", "replace"))
        return frozenset(_IDENTIFIER_BEFORE_PARENTHESIS.findall(text))
    if path.suffix == ".xz":
        return _compressed_module_functions(entry, path)
    return _on_line(entry.file, _module_functions, path)


def _compressed_module_functions(entry: ReferenceEntry, path: Path) -> frozenset[str]:
    try:
        with lzma.open(path) as stream, tempfile.NamedTemporaryFile(suffix=".ko") as plain:
            data = stream.read(_MODULE_LIMIT + 1)
            if len(data) > _MODULE_LIMIT:
                _where(entry).fail(f"{path} expands to more than {_MODULE_LIMIT} bytes", "a kernel module")
            plain.write(data)
            plain.flush()
            return _on_line(entry.file, _module_functions, Path(plain.name))
    except (lzma.LZMAError, EOFError, OSError) as error:
        _where(entry).fail(f"{path} cannot be decompressed: {error}", "a kernel module")


# A module is not linked yet: its functions have no address, and static ones can be probed too.
def _module_functions(path: Path) -> frozenset[str]:
    with open_elf(path) as elf:
        return frozenset(
            name for table in symbol_tables(elf) for name in table.names(table.rows[is_function(table.rows)])
        )


# A provider describes a file when it lists it as a target, or one of the same name: the site's
# own build of a library is where nothing would look for it.
def _known(sources: Sources, target: Target, attach: Attach) -> list[tuple[str, Function]]:
    known: list[tuple[str, Function]] = []
    for provider in sources.providers.all():
        options = sources.defaults(provider.name)
        targets = [each for each in sources.targets(provider.name, options) if each.attach is attach]
        same = next((each for each in targets if each.target == target), None)
        like = next((each for each in targets if not target.is_kernel and _stem(each.target) == _stem(target)), None)
        if chosen := same or like:
            there = ProbeTarget(target, attach, chosen.label)
            known += [(provider.name, function) for function in sources.functions(provider.name, there, options)]
    return known


def _stem(target: Target) -> str:
    return Path(target.path).name.partition(".so")[0]


def _site_function(
    symbol: ElfFunction, hits: frozenset[str], entry: ReferenceEntry, arguments: Mapping[str, tuple[Argument, ...]]
) -> Function:
    names = (symbol.name, *symbol.aliases)
    chosen = next(name for name in names if _is_selected([name], hits))
    described = next((arguments[name] for name in (chosen, *names) if name in arguments), ())
    return Function(
        chosen,
        chosen,
        _category(entry),
        offset=symbol.offset,
        aliases=tuple(sorted(set(names) - {chosen})) if symbol.aliases else (),
        arguments=described,
        result=Result.VALUE,
    )


def _kernel_function(name: str, entry: ReferenceEntry) -> Function:
    arguments, result = kernel_function_arguments(name)
    return Function(name, name, _category(entry), arguments=arguments, result=result)


def _category(entry: ReferenceEntry) -> str:
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", entry.name)[:64]
    return name if name[:1].isalpha() else f"site_{name}"[:64]


def _select(entry: ReferenceEntry, symbols: Iterable[str]) -> frozenset[str]:
    return entry.functions.select(symbols) if entry.functions else frozenset(symbols)


def _where(entry: ReferenceEntry) -> Value:
    return entry.file or entry.where


def _existing(entry: ReferenceEntry) -> Path:
    where = _where(entry)
    path = Path(where.text())
    if not path.is_file():
        where.fail(f"{path}: no such file", "a file that exists on this host")
    return path


def _read(entry: ReferenceEntry, path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(limit)
    except OSError as error:
        _where(entry).fail(f"{path} cannot be read: {error.strerror}", "a readable file")


# Discovery knows no site file, so its complaint gets the line here.
def _on_line(where: Value | None, read: Callable[[Path], _Found], path: Path) -> _Found:
    if where is None:
        return read(path)
    with reworded(where.message(""), exit_code=ExitCode.USAGE):
        return read(path)
