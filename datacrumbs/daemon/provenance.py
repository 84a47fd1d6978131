"""What a trace and a seal say of a run beside its calls."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from datacrumbs import __version__
from datacrumbs.trace.redaction import Redaction
from datacrumbs.trace.unattached import unattached_entries

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datacrumbs.daemon.run_request import RunRequest
    from datacrumbs.engine.engine import EngineReport
    from datacrumbs.trace.unattached import Unattached


def provenance(request: RunRequest, report: EngineReport, failed: Mapping[Unattached, str]) -> dict[str, str]:
    """For the trace's head and footer: what the run is, and how it was attached."""
    signed = request.signed
    hidden = Redaction(request.configuration.redact_paths)
    return {
        "datacrumbs": __version__,
        "run_id": request.run_id,
        "user": signed.grant.user,
        "host": os.uname().nodename,
        "signer": signed.grant.signer,
        "key_id": signed.key_id,
        "plan": signed.digest,
        "kernel": os.uname().release,
        "attach_method": report.method,
        **({"mode": request.mode.value} if request.mode else {}),
        **{f"provider {item.name}": item.release for item in signed.plan.providers},
        **{
            f"target {hidden.path(group.target.path) or 'kernel'}": group.target.build_id
            for group in signed.plan.groups
        },
        **{
            f"seen as {hidden.path(group.target.seen_as)}": hidden.path(group.target.path)
            for group in signed.plan.groups
            if group.target.seen_as
        },
        **unattached_entries(failed),
    }


# What a seal says of a run from its beginning on.
def known_of_run(request: RunRequest) -> dict[str, str | int]:
    """For a seal: the fields of `seal.statement.Summary` that are known when a run begins."""
    signed = request.signed
    return {
        "run_id": request.run_id,
        "uid": signed.grant.uid,
        "user": signed.grant.user,
        "host": os.uname().nodename,
        "kernel": os.uname().release,
        "datacrumbs": __version__,
        "plan": signed.digest,
        "key_id": signed.key_id,
        "mode": request.mode.value if request.mode else "",
        "begin": time.time_ns(),
    }
