"""Library probes of a plan, put where they cost least."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.discovery.placement import probe_skips
from datacrumbs.provider import Attach

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datacrumbs.probefile.plan import Group, Plan, Target


def with_moved_probes(plan: Plan) -> Plan:
    """Move the probes of library functions past their first instructions, where nothing is lost by it."""
    wanted: dict[Target, dict[int, frozenset[int]]] = defaultdict(dict)
    for group in plan.groups:
        if group.attach is Attach.UPROBE:
            wanted[group.target] |= {function.offset: function.captured for function in group.functions}
    skips = {target: _skips(target, functions) for target, functions in wanted.items()}
    return replace(plan, groups=tuple(_moved(group, skips.get(group.target, {})) for group in plan.groups))


def _skips(target: Target, functions: Mapping[int, frozenset[int]]) -> Mapping[int, int]:
    with Path(target.path).open("rb") as stream:
        return probe_skips(stream, functions)


def _moved(group: Group, skips: Mapping[int, int]) -> Group:
    if group.attach is not Attach.UPROBE:
        return group
    return replace(group, functions=tuple(replace(each, skip=skips.get(each.offset, 0)) for each in group.functions))
