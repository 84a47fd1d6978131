"""Functions left out of a plan since they could not be probed where it ran before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from datacrumbs.errors import usage_error
from datacrumbs.trace.unattached import Unattached

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from datacrumbs.model.plan import Group, Plan


def without_failures(plan: Plan, failures: Mapping[Unattached, str], note: Callable[[str], None]) -> Plan:
    """The plan without what is known to fail.

    Args:
        plan: The plan.
        failures: What could not be probed, and why; of another build-id or another kernel's release it is no failure.
        note: Told each function that is left out.

    Raises:
        DatacrumbsError: (exit 2) when nothing is left.
    """
    groups = tuple(_without(group, failures, note) for group in plan.groups)
    if groups == plan.groups:
        return plan
    groups = tuple(group for group in groups if group.functions)
    if all(group.helper for group in groups):
        raise usage_error("every function of the plan is among the known failures", "leave out --known-failures")
    providers = {group.provider for group in groups}
    snippets = {(group.provider, function.snippet) for group in groups for function in group.functions}
    return replace(
        plan,
        groups=groups,
        providers=tuple(each for each in plan.providers if each.name in providers),
        snippets=tuple(each for each in plan.snippets if (each.provider, each.name) in snippets),
    )


def _without(group: Group, failures: Mapping[Unattached, str], note: Callable[[str], None]) -> Group:
    kept = []
    for function in group.functions:
        place = Unattached(group.target.build_id, str(group.attach), function.symbol, function.offset)
        if place not in failures:
            kept.append(function)
            continue
        where = group.target.path or "the kernel"
        note(f"{function.symbol} of {where} is left out: it could not be probed before ({failures[place]})")
    return replace(group, functions=tuple(kept))
