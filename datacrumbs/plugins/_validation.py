"""The provider contract, checked once where the providers' data comes in."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from datacrumbs.plugins._options import check_option
from datacrumbs.provider import (
    ARGUMENT_LIMIT,
    Argument,
    Attach,
    Function,
    Option,
    Preset,
    ProbeTarget,
    Provider,
    Result,
    Role,
    Snippet,
    Target,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

_WORD = re.compile(r"[a-z][a-z0-9_]*")
_CATEGORY = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_LIBRARY = re.compile(r"[A-Za-z0-9_.+*?\[\]!-]{1,128}")
_SYMBOL = re.compile(r"[!-~]{1,1024}")  # C++ symbols are long; blanks and control characters are never in one
_SIZES = (1, 2, 4, 8)
_FIELD_ROLES = frozenset({Role.BYTES, Role.COUNT, Role.VALUE, Role.FD, Role.STRING})
_OFFSET_LIMIT = 1 << 63


class ContractError(ValueError):
    """What a provider returned is not what the hook's specification asks for."""


def check_provider_description(description: object, name: str) -> Provider:
    """Check the result of ``datacrumbs_provider``; ``name`` is the entry point's."""
    if not isinstance(description, Provider):
        raise ContractError(f"returned {type(description).__name__}; expected one Provider")
    if description.name != name:
        raise ContractError(f"the name is {description.name!r}, but the entry point is named {name!r}")
    _require(bool(_WORD.fullmatch(name)), f"the name {name!r} is not lower case letters, digits and underscores")
    for label in ("title", "layer", "distribution", "version"):
        value = getattr(description, label)
        _require(isinstance(value, str) and value.isprintable() and value != "", f"{label} is {value!r}")
    _require(type(description.position) is int, f"position is {description.position!r}; expected a whole number")
    for pattern in description.libraries:
        is_name = isinstance(pattern, str) and bool(_LIBRARY.fullmatch(pattern))
        _require(is_name, f"libraries has {pattern!r}; expected patterns of file names such as 'libz.so.*'")
    _unique("option", (option.name for option in description.options))
    for option in description.options:
        _require(isinstance(option, Option), f"options holds a {type(option).__name__}; expected Option")
        _check_option(option)
    return description


def check_targets(targets: Sequence[ProbeTarget]) -> tuple[ProbeTarget, ...]:
    """Check the result of ``datacrumbs_targets``."""
    for target in targets:
        _require(isinstance(target.target, Target), f"{target.label}: target is no Target")
        _require(isinstance(target.attach, Attach), f"{target.label}: attach is {target.attach!r}; expected an Attach")
        path = PurePosixPath(target.target.path)
        _require(target.target.is_kernel or path.is_absolute(), f"{target.label}: {path} is not an absolute path")
        _require(target.target.build_id != "", f"{target.label}: the build-id is empty")
        in_file = target.attach in {Attach.UPROBE, Attach.USDT}
        where = "an ELF file" if in_file else "the kernel"
        _require(in_file != target.target.is_kernel, f"{target.label}: {target.attach.value} needs {where}")
    _unique("target", ((target.target, target.attach) for target in targets))
    return tuple(targets)


def check_functions(functions: Sequence[Function], attach: Attach, snippets: Iterable[Snippet]) -> tuple[Function, ...]:
    """Check the result of ``datacrumbs_functions`` for a target that is probed by ``attach``."""
    fields = {snippet.name: len(snippet.fields) for snippet in snippets}
    for function in functions:
        _check_function(function, fields)
    if attach in {Attach.KPROBE, Attach.TRACEPOINT}:
        _unique("function", (function.symbol for function in functions))
    else:
        _unique("function at one offset", (function.offset for function in functions))
    return tuple(functions)


def check_snippets(snippets: Sequence[Snippet], provider: str) -> tuple[Snippet, ...]:
    """Check the result of ``datacrumbs_snippets`` of ``provider``."""
    _unique("snippet", (snippet.name for snippet in snippets))
    for snippet in snippets:
        where = f"snippet {snippet.name!r}"
        _require(bool(_WORD.fullmatch(snippet.name)), f"{where}: not a lower case word")
        _require(snippet.provider == provider, f"{where}: its provider is {snippet.provider!r}; expected {provider!r}")
        _require(bool(snippet.text.strip()), f"{where}: no text")
        function = f"dc_{provider}_{snippet.name}_"
        _require(function in snippet.text, f"{where}: neither {function}entry nor {function}return is in its text")
        _check_arguments(where, snippet.fields)
        for position, field in enumerate(snippet.fields):
            _require(field.index == position, f"{where}: field {field.label!r} has index {field.index}, not {position}")
            _require(field.role in _FIELD_ROLES, f"{where}: field {field.label!r} has role {field.role.value!r}")
    return tuple(snippets)


def check_presets(presets: Sequence[Preset]) -> tuple[Preset, ...]:
    """Check the result of ``datacrumbs_presets``."""
    _unique("preset", (preset.name for preset in presets))
    for preset in presets:
        _require(bool(_WORD.fullmatch(preset.name)), f"preset {preset.name!r}: not a lower case word")
        _require(isinstance(preset.functions, frozenset), f"preset {preset.name!r}: functions is no frozenset")
    return tuple(presets)


def _check_function(function: Function, fields: dict[str, int]) -> None:
    where = f"function {function.symbol!r}"
    for symbol in (function.name, function.symbol):  # aliases are what a file has, whatever language it is from
        _require(bool(_SYMBOL.fullmatch(symbol)), f"{where}: {symbol!r} is not a printable symbol")
    _require(bool(_CATEGORY.fullmatch(function.category)), f"{where}: category {function.category!r}")
    further = (*function.more_places, *function.return_places)
    counters = (function.semaphore, *(place.semaphore for place in further))
    for offset in (function.offset, *(place.offset for place in further), *counters):
        _require(type(offset) is int and 0 <= offset < _OFFSET_LIMIT, f"{where}: offset {offset!r}")
    _require(isinstance(function.result, Result), f"{where}: result is {function.result!r}; expected a Result")
    _require(not function.snippet or function.snippet in fields, f"{where}: no snippet {function.snippet!r}")
    _check_arguments(where, function.arguments)
    slots = len(function.arguments) + fields.get(function.snippet, 0)
    _require(slots <= ARGUMENT_LIMIT, f"{where}: {slots} arguments and snippet fields; at most {ARGUMENT_LIMIT}")


def _check_arguments(where: str, arguments: tuple[Argument, ...]) -> None:
    for argument in arguments:
        _require(isinstance(argument, Argument), f"{where}: an argument is a {type(argument).__name__}")
        label = f"{where}: argument {argument.label!r}"
        _require(bool(_WORD.fullmatch(argument.label)), f"{label}: not a lower case word")
        _require(isinstance(argument.role, Role), f"{label}: role is {argument.role!r}; expected a Role")
        _require(argument.size in _SIZES, f"{label}: size is {argument.size!r}; expected 1, 2, 4 or 8")
        _require(argument.index >= 0, f"{label}: index is {argument.index}")
    _unique(f"{where}: argument", (argument.label for argument in arguments))


def _check_option(option: Option) -> None:
    try:
        check_option(option)
    except ValueError as error:
        raise ContractError(str(error)) from None


def _unique(what: str, keys: Iterable[Hashable]) -> None:
    seen: set[Hashable] = set()
    for key in keys:
        _require(key not in seen, f"{what} {key!r} is there twice")
        seen.add(key)


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise ContractError(problem)
