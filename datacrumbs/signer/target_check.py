"""Looks at the target files of one request, in a process of its own.

The files are the caller's choice. So they are opened with the caller's rights (the service must not tell
who asks what lies in directories closed to them), and a file made to exhaust a parser ends this
process, by its limits, not the service. Only the effective ids are the caller's and only while a file
is opened; the real ids stay root's, so the caller cannot trace or stop this process.

Standard input: a JSON object ``{"caller": [uid, gid, [gid, ...]], "targets": [...]}``; standard output: a
JSON list of findings, one a target, in order.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypedDict

from datacrumbs.errors import DatacrumbsError
from datacrumbs.probefile.plan import Target
from datacrumbs.probefile.targets import open_target
from datacrumbs.signer.places import probe_places

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY_LIMIT = 2 << 30
SECONDS_LIMIT = 30


class Wanted(TypedDict):
    """A target and the file offsets to be probed in it."""

    path: str
    build_id: str
    functions: list[int]
    usdt: list[int]
    semaphores: list[int]


class Finding(TypedDict):
    """What is wrong with a target (``code`` empty: nothing), and who may change the file."""

    code: str
    message: str
    hint: str
    owner: int
    mode: int


def check_target(wanted: Wanted, uid: int, gid: int, groups: list[int]) -> Finding:
    """Open one target as the caller and look at it."""
    try:
        with _rights_of(uid, gid, groups):
            stream = open_target(Target(wanted["path"], wanted["build_id"]))
    except DatacrumbsError as error:
        return Finding(code="target.changed", message=error.message, hint=error.hint, owner=-1, mode=0)
    with stream:
        status = os.fstat(stream.fileno())
        places = probe_places(stream)
    stray = (
        set(wanted["functions"]) - places.functions
        | set(wanted["usdt"]) - places.usdt
        | set(wanted["semaphores"]) - places.semaphores
    )
    finding = Finding(code="", message="", hint="", owner=status.st_uid, mode=status.st_mode)
    if stray:
        finding["code"] = "target.place"
        finding["message"] = (
            f"target {wanted['path']}: offset {min(stray):#x} is not the start of a function or probe of this file"
        )
        finding["hint"] = "a probe inside an instruction would break every program that uses the file"
    return finding


@contextmanager
def _rights_of(uid: int, gid: int, groups: list[int]) -> Iterator[None]:
    if os.geteuid() != 0 or uid == 0:
        yield
        return
    own_group, own_groups = os.getegid(), os.getgroups()
    os.setgroups(groups)
    os.setegid(gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(own_group)
        os.setgroups(own_groups)


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS_LIMIT, SECONDS_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    request = json.load(sys.stdin)
    uid, gid, groups = request["caller"]
    json.dump([check_target(wanted, uid, gid, groups) for wanted in request["targets"]], sys.stdout)


if __name__ == "__main__":
    main()
