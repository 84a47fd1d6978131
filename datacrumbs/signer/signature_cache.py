"""Signed files kept by who had them signed, while nothing changes that the signing service decided by.

A kept file is worth nothing by itself: its signature, its grant and what was revoked are looked at here as the daemon
looks at them, which does so again. The service itself keeps nothing.
"""

from __future__ import annotations

import base64
import hashlib
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from datacrumbs.cache import analysis_cache, composition_cache
from datacrumbs.cache.inspected_files import looked_at, watched
from datacrumbs.errors import DatacrumbsError
from datacrumbs.probefile.storage import verified

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from datacrumbs.system import SystemPaths

_KIND = "signature"


def deciding_files(paths: SystemPaths) -> Sequence[Path]:
    """What the signing service decides by, as far as a user can see that it changed."""
    trusted = paths.trusted_keys
    return (paths.policy, paths.trusted_snippets, paths.private_key, trusted, trusted / "revoked.yaml")


def is_lasting(probe_file: bytes, paths: SystemPaths, plan_digest: str = "") -> bool:
    """Whether a kept file of this process's user would be taken now, and its grant has more than half of its time left.

    Where the plan's digest is given, it has to be a file of that plan.

    Less is signed again: who composes expects a file that lasts.
    """
    now = time.time()
    with suppress(DatacrumbsError):
        kept = verified(probe_file, "what was kept", paths.trusted_keys, now=now, uid=os.geteuid())
        left, whole = kept.grant.expires - now, kept.grant.expires - kept.grant.issued
        return plan_digest in {"", kept.digest} and left >= whole / 2
    return False


def signed_plan(plan: str, paths: SystemPaths) -> bytes:
    """The probe file of a plan in its canonical form: a kept one, else one from the signing service.

    Raises:
        DatacrumbsError: As `request_signature`.
    """
    plan_digest = hashlib.sha256(plan.encode()).hexdigest()
    asked = [str(paths.prefix.absolute()), plan_digest]
    found = composition_cache.recall(_KIND, asked, {})
    if found is not None:
        probe_file = base64.b64decode(found)
        if is_lasting(probe_file, paths, plan_digest):
            return probe_file
    from datacrumbs.probefile.codec import decode  # noqa: PLC0415 - what is kept needs neither
    from datacrumbs.signer.signing_client import request_signature  # noqa: PLC0415 - likewise

    with watched(analysis_cache.place()) as looking:
        parsed = decode(plan.encode())
        looked_at(*deciding_files(paths), *(group.target.path for group in parsed.groups if group.target.path))
        probe_file = request_signature(parsed, paths)
    composition_cache.remember(_KIND, asked, {}, looking, base64.b64encode(probe_file).decode())
    return probe_file
