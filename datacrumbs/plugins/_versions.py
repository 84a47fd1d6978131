"""Which of two distributions is the older one, when a provider and the core do not fit together."""

from __future__ import annotations

import importlib.metadata
import re
from typing import TYPE_CHECKING

from datacrumbs import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

_REQUIREMENT = re.compile(r"datacrumbs(?![\w.-])(?:\[[^\]]*\])?\s*\(?(?P<versions>[^;)]*)")
_VERSION = re.compile(r"(?P<relation>>=|<=|==|~=|>|<)\s*(?P<version>[0-9]+(?:\.[0-9]+)*)")
_Release = tuple[int, ...]
_KEPT: dict[str, Callable[[_Release, _Release], bool]] = {
    ">=": lambda core, wanted: core >= wanted,
    ">": lambda core, wanted: core > wanted,
    "<=": lambda core, wanted: core <= wanted,
    "<": lambda core, wanted: core < wanted,
    "==": lambda core, wanted: core == wanted,
}


def release(version: str) -> _Release:
    """The numbers of a version, for comparison: without zeros at its end, and without what follows them."""
    match = re.match(r"[0-9]+(?:\.[0-9]+)*", version)
    numbers = [int(part) for part in match[0].split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def update_advice(distribution: str, core: str = __version__) -> str:
    """What to update when a provider fails, by what its distribution says that it needs.

    Args:
        distribution: The provider's.
        core: The version of the core.
    """
    for relation, wanted in _requirements(distribution):
        if not _KEPT[relation](release(core), release(wanted)):
            needs = f"it needs datacrumbs {relation}{wanted}, this is {core}"
            older = release(core) <= release(wanted) and not relation.startswith("<")
            return f"update {'datacrumbs' if older else distribution}: {needs}"
    return f"update or reinstall {distribution}"


def _requirements(distribution: str) -> list[tuple[str, str]]:
    try:
        requirements = importlib.metadata.requires(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    matches = [match for text in requirements if (match := _REQUIREMENT.match(text))]
    found = [(each["relation"], each["version"]) for match in matches for each in _VERSION.finditer(match["versions"])]
    # ~=0.1.2 is >=0.1.2 and below 0.2
    compatible = [(">=", wanted) if relation == "~=" else (relation, wanted) for relation, wanted in found]
    return compatible + [
        ("<", _next_series(wanted)) for relation, wanted in found if relation == "~=" and "." in wanted
    ]


def _next_series(version: str) -> str:
    *series, last = (int(part) for part in version.split(".")[:-1])
    return ".".join(map(str, (*series, last + 1)))
