"""Looks at the target files of one request, in a process of its own.

The files are the caller's choice. So they are opened with the caller's rights (the service must not tell
who asks what lies in directories closed to them), and a file made to exhaust a parser ends this
process, by its limits, not the service.

What the file says is then looked at by a child that has given up root for good and looks at this file only: neither
a mistake in the disassembler, which is not written in Python, nor what it does to this file's findings reaches further.

Standard input: a JSON object ``{"caller": [uid, gid, [gid, ...]], "targets": [...], "seconds": 60}``; standard output:
a JSON list of findings, one a target, in order.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from typing import TYPE_CHECKING, TypedDict

from datacrumbs.discovery.calling import unsafe_returns
from datacrumbs.discovery.placement import probe_skips, refused_places
from datacrumbs.errors import DatacrumbsError
from datacrumbs.probefile.plan import Target
from datacrumbs.probefile.rights import give_up_root, rights_of
from datacrumbs.probefile.targets import open_target
from datacrumbs.signer.places import probe_places

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import BufferedReader

MEMORY_LIMIT = 2 << 30
SECONDS_LIMIT = 30
ANSWER_LIMIT = 64 << 10


class Wanted(TypedDict):
    """A target and the file offsets to be probed in it.

    ``returns`` are functions of which the returns are to be probed, ``moved`` those whose probe is not at their
    start: offset, bytes in between, captured arguments.
    """

    path: str
    build_id: str
    functions: list[int]
    returns: list[int]
    moved: list[tuple[int, int, list[int]]]
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
        with rights_of(uid, gid, groups):
            stream = open_target(Target(wanted["path"], wanted["build_id"]))
    except DatacrumbsError as error:
        return Finding(code="target.changed", message=error.message, hint=error.hint, owner=-1, mode=0)
    with stream:
        status = os.fstat(stream.fileno())
        problem = _in_child(lambda: _problem(stream, wanted))
    finding = Finding(code="", message="", hint="", owner=status.st_uid, mode=status.st_mode)
    if problem:
        finding["code"] = "target.place"
        finding["message"], finding["hint"] = problem
    return finding


def _problem(stream: BufferedReader, wanted: Wanted) -> tuple[str, str] | None:
    # What is wrong with the places, and the hint.
    places = probe_places(stream)
    stray = (
        set(wanted["functions"]) - places.functions
        | set(wanted["usdt"]) - places.usdt
        | set(wanted["semaphores"]) - places.semaphores
    )
    if stray:
        return (
            f"target {wanted['path']}: offset {min(stray):#x} is not the start of a function or probe of this file",
            "a probe inside an instruction would break every program that uses the file",
        )
    if broken := unsafe_returns(stream, wanted["returns"]):
        first = min(broken)
        return (
            f"target {wanted['path']}: the returns of the function at {first:#x} must not be probed ({broken[first]})",
            "a return probe there would break every program that calls it; compose the probe file again",
        )
    captured = {offset: frozenset(arguments) for offset, _, arguments in wanted["moved"]}
    unmoved = set(wanted["functions"]) - captured.keys()
    if refused := refused_places(stream, unmoved, wanted["usdt"]):
        offset, reason = min(refused.items())
        return (
            f"target {wanted['path']}: {offset:#x} must not be probed: the instruction there {reason.value}",
            "a probe there would change what programs compute; compose the probe file again with this version",
        )
    safe = probe_skips(stream, captured) if captured else {}
    for offset, skip, _ in sorted(wanted["moved"]):
        if safe.get(offset) != skip:
            allowed = f"0 or {safe[offset]}" if offset in safe else "0"
            moved = f"the probe of the function at {offset:#x} is {skip} bytes further; expected {allowed}"
            return f"target {wanted['path']}: {moved}", "compose the probe file again with this version"
    return None


# The answer of a function that runs in a child without any rights, which cannot outlive the limits of this process.
def _in_child(work: Callable[[], tuple[str, str] | None]) -> tuple[str, str] | None:
    reader, writer = os.pipe()
    left = signal.getitimer(signal.ITIMER_REAL)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)
            signal.setitimer(signal.ITIMER_REAL, *left)  # a fork has none
            give_up_root()
            answer = json.dumps(work()).encode()
            with os.fdopen(writer, "wb") as stream:
                stream.write(answer)
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        answer = stream.read(ANSWER_LIMIT)
    if os.waitpid(child, 0)[1]:
        raise SystemExit(1)
    problem = json.loads(answer)
    return None if problem is None else (str(problem[0]), str(problem[1]))


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS_LIMIT, SECONDS_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    request = json.load(sys.stdin)
    signal.alarm(request["seconds"])  # a limit of processor time does not run while a file system lets it wait
    uid, gid, groups = request["caller"]
    json.dump([check_target(wanted, uid, gid, groups) for wanted in request["targets"]], sys.stdout)


if __name__ == "__main__":
    main()
