"""What could not be probed in a user's own earlier runs, as far as nothing has changed since.

It is looked for in the user's latest traces where the host keeps them: on a cluster that may be a directory which all
nodes share.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from datacrumbs import __version__
from datacrumbs.errors import DatacrumbsError
from datacrumbs.trace.last_line import provenance_of
from datacrumbs.trace.unattached import MOST, check_owner, read_unattached

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from datacrumbs.trace.unattached import Failure, Unattached


@dataclass(frozen=True, slots=True)
class _Tried:
    """What a trace says of its run.

    Args:
        plan: Digest of its plan.
        host: Its node.
        kernel: The node's kernel then.
        failed: What could not be probed.
    """

    plan: str
    host: str
    kernel: str
    failed: Mapping[Unattached, Failure]

    def probed(self, each: Unattached, plan: str) -> bool:
        """Whether it is known that this was probed in it, where a run of ``plan`` was to do it."""
        return self.plan == plan and each not in self.failed and len(self.failed) < MOST


def earlier_failures(traces: Iterable[Path]) -> dict[Unattached, Failure]:
    """What traces of the caller's say could not be probed, and will not be in a run to come.

    A run counts if it was made by this version of the package, and its node has had no other kernel since. What was
    probed in some such run of the same plan, on whichever node, is no failure.

    Args:
        traces: The last one first.
    """
    runs = list(_runs_of(traces))
    kernels = {os.uname().nodename: os.uname().release}
    for run in runs:
        kernels.setdefault(run.host, run.kernel)
    return _failures([run for run in runs if kernels[run.host] == run.kernel])


def _failures(runs: Sequence[_Tried]) -> dict[Unattached, Failure]:
    found: dict[Unattached, Failure] = {}
    for run in runs:
        for each, failure in run.failed.items():
            if not any(other.probed(each, run.plan) for other in runs):
                found.setdefault(each, failure)
    return found


def _runs_of(traces: Iterable[Path]) -> Iterator[_Tried]:
    for path in traces:
        with suppress(OSError, DatacrumbsError):
            said = provenance_of(path, partial(check_owner, path))
            if said.get("datacrumbs") == __version__:
                plan, host, kernel = (said.get(key, "") for key in ("plan", "host", "kernel"))
                yield _Tried(plan, host, kernel, read_unattached(said, path))
