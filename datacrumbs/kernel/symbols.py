"""Functions of the running kernel and its modules: which there are, and what they take."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

from datacrumbs.cache.analysis_cache import cached
from datacrumbs.cache.running_kernel import kernel_state
from datacrumbs.elf.c_types import argument_label
from datacrumbs.kernel.btf import TypedValue, kernel_btf, modules_with_btf
from datacrumbs.kernel.tracefs import tracefs_directory
from datacrumbs.model.plan import ARGUMENT_LIMIT, Argument, Result, Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datacrumbs.kernel.btf import Prototype

KALLSYMS = Path("/proc/kallsyms")
_FUNCTION_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Entry padding and control-flow stubs: addresses, but no functions to probe.
_NO_FUNCTION = re.compile(r"__pfx_|__cfi_|__SCT__|__SCK__|__traceiter_|__bpf_trace_|__kstrtab|__initcall")


@dataclass(frozen=True, slots=True)
class KernelSymbol:
    """A symbol of the kernel's text.

    Args:
        name: As ``/proc/kallsyms`` writes it.
        module: The module that it is in; empty for the kernel itself.
        weak: A weak symbol: a default that nothing replaced (system calls that are not built in).

    """

    name: str
    module: str
    weak: bool


@cache
def kernel_symbols() -> tuple[KernelSymbol, ...]:
    """All text symbols, in the order of their addresses; names are readable for every user.

    Returns:
        An empty tuple when the kernel has no ``/proc/kallsyms``.

    """
    try:
        lines = KALLSYMS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return ()
    symbols = []
    for line in lines:
        _, kind, name, *module = line.split()
        if kind in "tTwW":
            symbols.append(KernelSymbol(name, module[0].strip("[]") if module else "", kind in "wW"))
    return tuple(symbols)


@cache
def _functions() -> dict[str, str]:
    symbols = kernel_symbols()
    count = Counter(symbol.name for symbol in symbols)
    traceable = _traceable_functions()
    return {
        symbol.name: symbol.module
        for symbol in symbols
        # A name that several functions have cannot be attached by name; a name with a dot is a
        # compiler's variant whose arguments are not those of the source.
        if count[symbol.name] == 1
        and _FUNCTION_NAME.fullmatch(symbol.name)
        and not _NO_FUNCTION.match(symbol.name)
        and symbol.module not in {"bpf", "__builtin__ftrace", "__builtin__kprobes"}
        and (not traceable or symbol.name in traceable)
    }


# What ftrace can hook; only root may read it, others get a few functions too many.
def _traceable_functions() -> frozenset[str]:
    directory = tracefs_directory()
    try:
        text = (directory / "available_filter_functions").read_text("ascii", "replace") if directory else ""
    except OSError:
        return frozenset()
    return frozenset(line.split(maxsplit=1)[0] for line in text.splitlines() if line)


def kernel_functions() -> tuple[str, ...]:
    """The names of functions that can be probed by name, sorted; modules included.

    Whether the kernel can probe any at all says `kernel.tracefs.kprobes_available`.
    """
    return tuple(sorted(_functions()))


def kernel_functions_like(patterns: Sequence[str]) -> list[list[str]]:
    """For each regular expression the `kernel_functions` whose whole name matches, in order."""
    found = cached("kernel-functions", [kernel_state(), *patterns], lambda: list(map(_matching, patterns)))
    return cast("list[list[str]]", found)


def _matching(pattern: str) -> list[str]:
    expression = re.compile(pattern)
    return [name for name in kernel_functions() if expression.fullmatch(name)]


def kernel_function_arguments(name: str) -> tuple[tuple[Argument, ...], Result]:
    """What a kernel function takes and returns, from the kernel's BTF.

    Args:
        name: One of `kernel_functions`.

    Returns:
        The numbers among its first six arguments, all with `Role.VALUE`, and its kind of result.
        Addresses are left out: a trace that its user reads must not show them. Kernel functions
        return ``-errno``: BYTES for ``ssize_t``, STATUS for ``int``. Without BTF no arguments, and
        `Result.VOID`.

    """
    prototype = kernel_prototype(name)
    if prototype is None:
        return (), Result.VOID
    arguments = tuple(argument for argument in value_arguments(prototype.parameters) if argument.role is not Role.OUT)
    return arguments, _result(prototype.result)


def kernel_prototype(name: str) -> Prototype | None:
    """What one of `kernel_functions` takes and returns; None where the kernel does not say."""
    functions = _functions()
    if not functions:
        return _described(name)
    module = functions.get(name)
    if module is None:
        return None
    btf = kernel_btf(module) or kernel_btf()
    return btf.prototype(name) if btf else None


# A hardened service does not see /proc/kallsyms, which says what module a function is in.
def _described(name: str) -> Prototype | None:
    for module in ("", *modules_with_btf()):
        btf = kernel_btf(module)
        if btf and (prototype := btf.prototype(name)):
            return prototype
    return None


def value_arguments(parameters: tuple[TypedValue, ...]) -> tuple[Argument, ...]:
    """Arguments for parameters whose types the kernel gave: `Role.VALUE` for numbers, `Role.OUT` for addresses."""
    arguments: list[Argument] = []
    for position, parameter in enumerate(parameters[:ARGUMENT_LIMIT]):
        if not parameter.scalar or parameter.size not in {1, 2, 4, 8}:
            break  # a structure by value shifts the registers of all that follow
        label = argument_label(parameter.name, position, {argument.label for argument in arguments})
        role = Role.OUT if parameter.pointer else Role.VALUE
        arguments.append(Argument(position, label, parameter.ctype, role, parameter.size, parameter.signed))
    return tuple(arguments)


def _result(result: TypedValue | None) -> Result:
    if result is None or not result.scalar:
        return Result.VOID
    if result.pointer:
        return Result.POINTER
    return {"ssize_t": Result.BYTES, "int": Result.STATUS, "loff_t": Result.OFFSET}.get(result.ctype, Result.VALUE)
