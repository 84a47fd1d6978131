"""Whether the files and the kernel that a plan was made for are the ones that are here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError, refusal
from datacrumbs.probefile.buildid import stream_build_id
from datacrumbs.probefile.files import open_regular

if TYPE_CHECKING:
    from io import BufferedReader

    from datacrumbs.probefile.plan import Plan, Target

COMPOSE_AGAIN = "compose the probe file again on this host"


def verify_targets(plan: Plan) -> None:
    """Check that every target of a plan exists and still has its build-id.

    Raises:
        DatacrumbsError: (exit 3) naming the first target that is missing or has changed.
    """
    for target in sorted({group.target for group in plan.groups}, key=lambda target: target.path):
        if target.is_kernel:
            _verify_kernel(target)
        else:
            open_target(target).close()


def open_target(target: Target) -> BufferedReader:
    """Open a target's file and check that it is the one meant.

    Whoever goes on with the descriptor (by ``/proc/self/fd/N``) cannot be given another file.

    Raises:
        DatacrumbsError: (exit 3).
    """
    try:
        descriptor = open_regular(Path(target.path))
    except DatacrumbsError as error:
        raise refusal(f"target {error.message}", error.hint or COMPOSE_AGAIN) from None
    stream = os.fdopen(descriptor, "rb")
    try:
        _verify_file(stream, target)
    except BaseException:
        stream.close()
        raise
    return stream


def _verify_file(stream: BufferedReader, target: Target) -> None:
    # O_NOFOLLOW minds the last component only; the kernel knows what all of them led to.
    real = str(Path(f"/proc/self/fd/{stream.fileno()}").readlink())
    if real != target.path:
        raise refusal(f"target {target.path}: leads to {real!a}; expected a path without links", COMPOSE_AGAIN)
    found = stream_build_id(stream, f"target {target.path}")
    if found != target.build_id:
        raise refusal(
            f"target {target.path}: moved build-id: the plan was made for {target.build_id}, the file has {found}",
            COMPOSE_AGAIN,
        )


def _verify_kernel(target: Target) -> None:
    release = os.uname().release
    if target.build_id != release:
        raise refusal(
            f"kernel: the plan was made for release {target.build_id}, this host runs {release}",
            "compose the probe file on a host with this kernel",
        )
