"""Whole numbers that functions give the snippets that they name, declared in the texts of the snippets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from datacrumbs.model.rule_kinds import Rule, whole

if TYPE_CHECKING:
    from datacrumbs.model.plan import Plan


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a snippet's text declares: a whole number that each function that names the snippet gives."""

    label: str
    low: int
    high: int

    @property
    def rule(self) -> Rule:
        """What may be given."""
        return whole(self.low, self.high)


_PARAMETER = re.compile(
    r"^DC_PARAMETER\((?P<label>[a-z][a-z0-9_]*), (?P<low>\d{1,4}), (?P<high>\d{1,4})\);$", re.MULTILINE
)


@lru_cache(maxsize=1024)
def snippet_parameters(source: str) -> tuple[Parameter, ...]:
    """The parameters that a snippet's text declares. They are part of the text that an administrator trusts."""
    return tuple(
        Parameter(match["label"], int(match["low"]), int(match["high"])) for match in _PARAMETER.finditer(source)
    )


def snippet_uses(plan: Plan) -> dict[tuple[str, str, tuple[int, ...]], int]:
    """Provider, snippet and arguments that it runs with -> its number in the program, from 1.

    A snippet that no function names is there with its parameters' limits, so that it can be compiled by itself.
    """
    used: dict[tuple[str, str], set[tuple[int, ...]]] = {}
    for group in plan.groups:
        for function in group.functions:
            if function.snippet:
                used.setdefault((group.provider, function.snippet), set()).add(function.snippet_arguments)
    keys: list[tuple[str, str, tuple[int, ...]]] = []
    for snippet in plan.snippets:
        parameters = snippet_parameters(snippet.text)
        limits = {tuple(each.low for each in parameters), tuple(each.high for each in parameters)}
        given = used.get((snippet.provider, snippet.name), limits)
        keys += [(snippet.provider, snippet.name, arguments) for arguments in sorted(given)]
    return {key: number for number, key in enumerate(keys, 1)}
