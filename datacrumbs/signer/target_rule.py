"""The service's side of the look at target files: asks `target_check`, then applies the rule."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from datacrumbs.errors import RECREATE
from datacrumbs.kernel.declared import check_declared
from datacrumbs.model.plan import Attach
from datacrumbs.serving.denial import DenialError, denying
from datacrumbs.serving.limited import LimitError, UndecidedError
from datacrumbs.serving.replies import undecided
from datacrumbs.signer.target_check import check_target, look_now

if TYPE_CHECKING:
    from datacrumbs.model.plan import Plan, Target
    from datacrumbs.serving.caller import Caller
    from datacrumbs.signer.policy import PolicyRule
    from datacrumbs.signer.target_check import Ask, Finding, WantedPlaces


def check_targets(plan: Plan, caller: Caller, rule: PolicyRule, ask: Ask = look_now) -> None:
    """Check that each target is the file meant, may be probed there, and belongs to who it may.

    Args:
        plan: Whose targets.
        caller: With whose rights they are opened.
        rule: By which their owners are allowed.
        ask: As for `check_target`.

    Raises:
        DenialError: For the first target with a problem.
    """
    release = os.uname().release
    for group in plan.groups:
        if group.target.is_kernel and group.target.build_id != release:
            raise DenialError(
                "target.changed",
                f"kernel: the plan was made for release {group.target.build_id}, this host runs {release}",
                f"{RECREATE} on this host",
            )
    _check_kernel(plan)
    # The first fault ends it, so that the rest is not looked at for nothing.
    for target, entry in wanted_places(plan).items():
        _check_finding(target, _finding(entry, caller, ask), caller, rule)


def wanted_places(plan: Plan) -> dict[Target, WantedPlaces]:
    """The target files of a plan, with what is to be probed in each."""
    wanted: dict[Target, WantedPlaces] = {}
    for group in plan.groups:
        if group.target.is_kernel:
            continue
        entry = wanted.setdefault(group.target, no_places(group.target))
        for function in group.functions:
            places = [(place.offset, place.semaphore) for place in (*function.usdt_places, *function.return_places)]
            if group.attach is Attach.USDT:
                entry["usdt"] += places
            else:
                entry["functions"] += [offset for offset, _ in places]
            if group.attach is Attach.UPROBE and function.return_probe:
                entry["returns"].append(function.offset)
            entry["moved"] += [(function.offset, function.skip, sorted(function.captured))] if function.skip else []
    return wanted


# The release is this host's by now, so what the plan asks of the kernel can be compared with what the kernel says here.
def _check_kernel(plan: Plan) -> None:
    with denying("target.argument"):
        check_declared(plan)


def _check_finding(target: Target, finding: Finding, caller: Caller, rule: PolicyRule) -> None:
    if finding["code"]:
        raise DenialError(finding["code"], finding["message"], finding["hint"])
    if not rule.allows_owner(finding["owner"], caller):
        raise DenialError(
            "target.owner",
            f"target {target.path}: owned by uid {finding['owner']}, who is neither root nor {caller.user}",
            "add the owner to target_owners in policy.yaml",
        )
    if finding["mode"] & stat.S_IWOTH:
        raise DenialError("target.writable", f"target {target.path}: writable by all users", f"chmod o-w {target.path}")


def no_places(target: Target) -> WantedPlaces:
    """What is wanted of a file in which nothing is to be probed yet."""
    return {
        "path": target.path,
        "build_id": target.build_id,
        "functions": [],
        "returns": [],
        "moved": [],
        "usdt": [],
    }


def _finding(wanted: WantedPlaces, caller: Caller, ask: Ask) -> Finding:
    try:
        return check_target(wanted, caller.uid, caller.gid, list(caller.group_ids), ask)
    except UndecidedError:
        raise undecided(f"target {wanted['path']}: not examined in time") from None
    except (LimitError, OSError, ValueError):
        raise DenialError(
            "target.unreadable", "the target files could not be examined within the limits", "select fewer targets"
        ) from None
