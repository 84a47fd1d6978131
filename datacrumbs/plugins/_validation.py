"""The provider contract, checked once where the providers' data comes in."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from datacrumbs.model import problems, rules
from datacrumbs.model.plan import Provenance
from datacrumbs.plugins._options import option_problems
from datacrumbs.provider import (
    Attach,
    Function,
    Layer,
    Option,
    Preset,
    ProbeTarget,
    Provider,
    Snippet,
    Target,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence


class ContractError(ValueError):
    """What a provider returned is not what the hook's specification asks for."""


def check_origin(name: str, distribution: str, version: str) -> None:
    """Check what an entry point and its distribution say of a provider."""
    for field, value in (("name", name), ("distribution", distribution), ("version", version)):
        rule = rules.rule(Provenance, field)
        _require(rule.allows(value), f"{field} is {value!r}; expected {rule.expected}")


def check_provider_description(description: object) -> Provider:
    """Check the result of ``datacrumbs_provider``."""
    if not isinstance(description, Provider):
        raise ContractError(f"returned {type(description).__name__}; expected one Provider")
    _require(description.title.isprintable() and description.title != "", f"title is {description.title!r}")
    _require(isinstance(description.layer, Layer), f"layer is {description.layer!r}; expected a Layer")
    for pattern in description.libraries:
        _require(
            rules.LIBRARY_NAME.allows(pattern), f"libraries has {pattern!r}; expected {rules.LIBRARY_NAME.expected}"
        )
    _unique("option", (option.name for option in description.options))
    for option in description.options:
        _require(isinstance(option, Option), f"options holds a {type(option).__name__}; expected Option")
        _raise_first(f"option {option.name!r}", option_problems(option))
    return description


def check_given_targets(targets: Sequence[ProbeTarget]) -> tuple[ProbeTarget, ...]:
    """Check the result of ``datacrumbs_targets``."""
    for target in targets:
        _require(isinstance(target.target, Target), f"{target.label}: target is not a Target")
        _require(isinstance(target.attach, Attach), f"{target.label}: attach is {target.attach!r}; expected an Attach")
        _raise_first(target.label, problems.problems(target.target, target.attach))
    _unique("target", ((target.target, target.attach) for target in targets))
    return tuple(targets)


def check_functions(functions: Sequence[Function], attach: Attach, snippets: Iterable[Snippet]) -> tuple[Function, ...]:
    """Check the result of ``datacrumbs_functions`` for a target that is probed by ``attach``."""
    known = {snippet.name: snippet for snippet in snippets}
    for function in functions:
        where = f"function {function.symbol!r}"
        _raise_first(where, problems.problems(function, attach))
        if function.snippet or function.snippet_arguments:
            _raise_first(where, problems.snippet_use_problems(function, known.get(function.snippet)))
    if attach in {Attach.KPROBE, Attach.TRACEPOINT}:
        _unique("function", (function.symbol for function in functions))
    else:
        _unique("function at one offset", (function.offset for function in functions))
    return tuple(functions)


def check_given_snippets(snippets: Sequence[Snippet], provider: str) -> tuple[Snippet, ...]:
    """Check the result of ``datacrumbs_snippets`` of ``provider``."""
    _unique("snippet", (snippet.name for snippet in snippets))
    for snippet in snippets:
        where = f"snippet {snippet.name!r}"
        _raise_first(where, problems.problems(snippet))
        is_own = snippet.provider in {"", provider}
        _require(is_own, f"{where}: its provider is {snippet.provider!r}; expected {provider!r}, or none")
        function = f"dc_{provider}_{snippet.name}_"
        _require(function in snippet.text, f"{where}: neither {function}entry nor {function}return is in its text")
    return tuple(replace(snippet, provider=provider) for snippet in snippets)


def check_presets(presets: Sequence[Preset]) -> tuple[Preset, ...]:
    """Check the result of ``datacrumbs_presets``."""
    _unique("preset", (preset.name for preset in presets))
    for preset in presets:
        _require(rules.WORD.allows(preset.name), f"preset {preset.name!r}: expected {rules.WORD.expected}")
        if not callable(preset.functions):
            check_preset_names(preset.functions, preset.name)
    return tuple(presets)


def check_preset_names(names: object, preset: str) -> frozenset[str]:
    """Check the names that a preset selects, which it may give late."""
    if not isinstance(names, frozenset):
        raise ContractError(f"preset {preset!r}: functions is not a frozenset")
    return names


def _raise_first(where: str, problems: Iterable[problems.Problem | str]) -> None:
    for problem in problems:
        raise ContractError(f"{where}: {problem}")


def _unique(what: str, keys: Iterable[Hashable]) -> None:
    seen: set[Hashable] = set()
    for key in keys:
        _require(key not in seen, f"{what} {key!r} appears twice")
        seen.add(key)


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise ContractError(problem)
