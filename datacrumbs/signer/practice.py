"""What a child of the signing service goes through before its request comes: one of the service's own.

Signed with a key that is made for it: what looks at a user's files must not have been near the real one.
"""

from __future__ import annotations

import base64
import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs import __version__
from datacrumbs.elf.build_id import file_build_id
from datacrumbs.errors import DatacrumbsError
from datacrumbs.model.plan import Attach, Function, Group, Plan, Provenance, Target
from datacrumbs.probefile.codec import digest, encode
from datacrumbs.probefile.envelope import Grant, seal
from datacrumbs.probefile.targets import open_target_file
from datacrumbs.serving.caller import caller_of, with_account
from datacrumbs.serving.protocol import frame, sign_request
from datacrumbs.serving.replies import RequestReport, reported
from datacrumbs.signer.authority import check_schema, decide
from datacrumbs.signer.looking import probe_places, unsafe_returns
from datacrumbs.signer.policy import PolicyRule
from datacrumbs.signer.private_key import new_private_key
from datacrumbs.signer.request import request_plan
from datacrumbs.signer.target_check import judged
from datacrumbs.signer.target_rule import check_targets, wanted_places

if TYPE_CHECKING:
    from io import BufferedReader

    from datacrumbs.signer.authority import Authority
    from datacrumbs.signer.target_check import Verdict, WantedPlaces


@cache
def plan() -> Plan:
    """A plan of a function of the smallest file of a package that is needed anyway; made once, before any request."""
    for path in sorted(Path(np.__file__).resolve().parent.rglob("*.so"), key=lambda file: file.stat().st_size):
        with path.open("rb") as stream:
            offsets = sorted(probe_places(stream).functions)
            if offsets:
                offset = next((each for each in offsets if not unsafe_returns(stream, [each])), offsets[0])
                break
    else:
        raise DatacrumbsError(f"{np.__file__}: no library of numpy has a function", hint="install numpy again")
    function = Function("practice", "practice", "PRACTICE", offset=offset)
    target = Target(str(path), file_build_id(path))
    provenance = Provenance("practice", "datacrumbs", __version__, "practice", 0)
    return Plan((provenance,), (Group("practice", "practice", Attach.UPROBE, target, (function,)),))


def practise_request(authority: Authority) -> None:
    """Go through a request, up to its reply."""
    caller = with_account(caller_of(os.getpid(), 0, 0))
    wanted, plan_bytes, _ = check_schema(request_plan(sign_request(encode(plan()))))
    with suppress(DatacrumbsError):  # as for anybody, the policy may not allow it
        decide(wanted, digest(plan_bytes), caller, authority.standards(), _nothing_wrong)
    check_targets(wanted, caller, PolicyRule(), _nothing_wrong)
    sealed = seal(plan_bytes, Grant(0, caller.user, authority.host, 0, 0), new_private_key())
    reported(RequestReport("signed"), frame({"probe_file": base64.b64encode(sealed).decode()}))


def practise_look() -> None:
    """Go through a look at a file."""
    for target, wanted in wanted_places(plan()).items():
        with open_target_file(target) as stream:
            judged(stream, target, wanted)


def _nothing_wrong(_stream: BufferedReader, _wanted: WantedPlaces, _look: object) -> Verdict:
    return "", "", ""
