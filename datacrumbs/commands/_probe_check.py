"""Whether a daemon would take a probe file on this host, found without starting one (``--check``)."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from datacrumbs.daemon.attach_results import AttachResults
from datacrumbs.engine.method_choice import check_cookies
from datacrumbs.errors import DatacrumbsError, ExitCode, refusal
from datacrumbs.kernel.declared import check_declared
from datacrumbs.output import counted, printable
from datacrumbs.probefile.storage import instant, read_probe_file
from datacrumbs.probefile.targets import OpenTargets
from datacrumbs.provider import Check, CheckState
from datacrumbs.secure.user_rights import groups_of
from datacrumbs.serving.limited import UNDECIDED, UNDECIDED_HINT, LimitError, UndecidedError
from datacrumbs.signer.target_check import check_target
from datacrumbs.signer.target_rule import wanted_places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from datacrumbs.model.plan import Plan, Target
    from datacrumbs.probefile.envelope import SignedPlan
    from datacrumbs.signer.target_check import WantedPlaces
    from datacrumbs.system import SystemPaths

SIGNATURE, KERNEL, TARGET, ATTACHING = "signature", "kernel", "target", "attaching"


@dataclass(frozen=True, slots=True)
class _Looked:
    check: Check
    code: ExitCode = ExitCode.DONE


def check_file(file: Path, paths: SystemPaths, *, as_json: bool) -> int:
    """Print what a daemon would find; gives the exit status that it would end with.

    A file must be granted to the user who asks; root may ask about everyone's.

    Raises:
        DatacrumbsError: When the file cannot be read.
    """
    found = list(_findings(file, paths))
    codes = [each.code for each in found if each.code]
    if as_json:
        checks = [asdict(each.check) for each in found]
        print(json.dumps({"file": str(file), "usable": not codes, "checks": checks}, indent=2))
    else:
        for each in found:
            print(f"{each.check.state.value:<8} {each.check.name:<10} {printable(each.check.detail)}")
            if each.check.fix:
                print(f"{'':<19} fix: {printable(each.check.fix)}")
    return codes[0] if codes else ExitCode.DONE


# What is not signed is not looked at.
def _findings(file: Path, paths: SystemPaths) -> Iterator[_Looked]:
    uid = os.geteuid() or None
    try:
        signed = read_probe_file(file, paths.trusted_keys, now=time.time(), uid=uid)
    except DatacrumbsError as error:
        if error.exit_code != ExitCode.REFUSED:
            raise
        yield _failed(SIGNATURE, error)
        return
    grant = signed.grant
    yield _fine(
        SIGNATURE, f"key {signed.key_id[:16]}, for {grant.user} (uid {grant.uid}) until {instant(grant.expires)}"
    )
    yield _looked(KERNEL, lambda: _kernel(signed.plan))
    for target, wanted in wanted_places(signed.plan).items():
        yield _looked(TARGET, partial(_target, target, wanted, grant.uid))
    if os.geteuid() == 0 and paths.attach_results.exists():
        yield _looked(ATTACHING, lambda: _attaching(signed, paths))


def _kernel(plan: Plan) -> str:
    check_cookies()
    OpenTargets(_of_the_kernel(plan)).close()
    check_declared(plan)
    functions = sum(len(group.functions) for group in plan.groups if group.target.is_kernel)
    return f"{os.uname().release}, {counted(functions, 'function')} of the kernel"


def _of_the_kernel(plan: Plan) -> Plan:
    return replace(plan, groups=tuple(group for group in plan.groups if group.target.is_kernel))


# The places, too, which the daemon takes from the signature: a rule of this version may refuse what was signed before.
def _target(target: Target, wanted: WantedPlaces, uid: int) -> str:
    gid, groups = groups_of(uid)
    try:
        finding = check_target(wanted, uid, gid, groups)
    except UndecidedError:
        raise DatacrumbsError(f"target {target.path}: not examined: {UNDECIDED}", hint=UNDECIDED_HINT) from None
    except (LimitError, OSError, ValueError):
        raise DatacrumbsError(f"target {target.path}: it could not be examined within the limits") from None
    if finding["code"]:
        raise refusal(finding["message"], finding["hint"])
    places = len({*wanted["functions"], *(place for place, _ in wanted["usdt"])})
    return f"{target.path}, {counted(places, 'place')}"


def _attaching(signed: SignedPlan, paths: SystemPaths) -> str:
    with OpenTargets(signed.plan, signed.grant.uid) as targets:
        failed = AttachResults(paths.attach_results).known_failures(signed.plan, targets.owners)
    if not failed:
        return "no function failed before"
    return f"left out, since they failed before: {counted(len(failed), 'function')}"


def _looked(name: str, look: Callable[[], str]) -> _Looked:
    try:
        return _fine(name, look())
    except DatacrumbsError as error:
        return _failed(name, error)


def _fine(name: str, detail: str) -> _Looked:
    return _Looked(Check(name, CheckState.OK, detail))


def _failed(name: str, error: DatacrumbsError) -> _Looked:
    return _Looked(Check(name, CheckState.MISSING, error.message, error.hint), error.exit_code)
