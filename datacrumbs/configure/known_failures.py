"""Functions left out of a plan since they could not be probed where it ran before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from datacrumbs.errors import usage_error
from datacrumbs.output import first_few
from datacrumbs.trace.unattached import Unattached

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from datacrumbs.model.plan import Function, Group, Plan
    from datacrumbs.trace.unattached import Failure

_SHOWN = 8
WAY_BACK = "--no-known-failures"
"""The option with which nothing is left out."""


def without_failures(plan: Plan, failures: Mapping[Unattached, Failure], note: Callable[[str], None]) -> Plan:
    """The plan without what is known to fail.

    Args:
        plan: The plan.
        failures: What could not be probed; of another build-id, another kernel's release or another version of its
            provider it is no failure.
        note: Takes a line for each reason for which functions of a file are left out.

    Raises:
        DatacrumbsError: (exit 2) when nothing is left.
    """
    releases = {each.name: each.release for each in plan.providers}
    reasons: dict[tuple[str, str], list[str]] = {}

    def works(group: Group, function: Function) -> bool:
        failure = failures.get(Unattached(group.target.build_id, str(group.attach), function.symbol, function.place))
        release = releases[group.provider]
        if failure is None or failure.providers.get(group.provider, release) != release:
            return True
        reason = f"{failure.reason}; {failure.trace}"
        reasons.setdefault((group.target.path or "the kernel", reason), []).append(function.symbol)
        return False

    groups = [
        replace(group, functions=tuple(function for function in group.functions if works(group, function)))
        for group in plan.groups
    ]
    for (path, reason), symbols in reasons.items():
        note(_left_out(path, symbols, reason))
    return _with_groups(plan, [group for group in groups if group.functions]) if reasons else plan


def _left_out(path: str, symbols: list[str], reason: str) -> str:
    some = first_few(sorted(symbols), _SHOWN)
    what, they, them = ("function is", "it", "it") if len(symbols) == 1 else ("functions are", "they", "them")
    why = f"{they} could not be probed before ({reason}); {WAY_BACK} keeps {them}"
    return f"{path}: {len(symbols):,} {what} left out ({some}): {why}"


def _with_groups(plan: Plan, groups: list[Group]) -> Plan:
    if all(group.helper for group in groups):
        raise usage_error("every function of the plan is among the known failures", f"{WAY_BACK} tries them again")
    providers = {group.provider for group in groups}
    snippets = {(group.provider, function.snippet) for group in groups for function in group.functions}
    return replace(
        plan,
        groups=tuple(groups),
        providers=tuple(each for each in plan.providers if each.name in providers),
        snippets=tuple(each for each in plan.snippets if (each.provider, each.name) in snippets),
    )
