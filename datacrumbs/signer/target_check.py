"""Looks at one target file of a request.

The files are the caller's choice. So they are opened with the caller's rights (the service must not say
what is in directories closed to the caller), and looked at by a child that has given up root for good and sees
this file only: neither a mistake in the disassembler, which is not written in Python, nor what it does to this file's
findings reaches further, and a file made to exhaust a parser ends that child, by its limits, not the service.
"""

from __future__ import annotations

import json
import os
import resource
from functools import partial
from typing import TYPE_CHECKING, TypedDict

from datacrumbs.errors import RECREATE, DatacrumbsError
from datacrumbs.model.plan import Target
from datacrumbs.probefile.targets import check_build_id, open_target_file
from datacrumbs.secure.user_rights import give_up_root, rights_of
from datacrumbs.serving.limited import Bounds, answer, remaining
from datacrumbs.serving.spares import prepare

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import BufferedReader

    from datacrumbs.serving.spares import Spare

    Ask = Callable[[BufferedReader, "WantedPlaces", Callable[[], "Verdict"]], "Verdict"]

LOOK = Bounds(memory=768 << 20, processor_seconds=30, clock_seconds=90)
ANSWER_LIMIT = 64 << 10


class WantedPlaces(TypedDict):
    """A target and the file offsets to be probed in it.

    ``returns`` are functions of which the returns are to be probed, ``moved`` those whose probe is not at their
    start: offset, bytes in between, captured arguments. ``usdt`` are places, each with its semaphore or 0.
    """

    path: str
    build_id: str
    functions: list[int]
    returns: list[int]
    moved: list[tuple[int, int, list[int]]]
    usdt: list[tuple[int, int]]


class Finding(TypedDict):
    """What is wrong with a target (``code`` empty: nothing), and who may change the file."""

    code: str
    message: str
    hint: str
    owner: int
    mode: int


Verdict = tuple[str, str, str]
"""What a look finds: a code, empty where nothing is wrong, a message and a hint."""


def look_now(_stream: BufferedReader, _wanted: WantedPlaces, look: Callable[[], Verdict]) -> Verdict:
    """Look, whatever was found before."""
    return look()


def check_target(wanted: WantedPlaces, uid: int, gid: int, groups: list[int], ask: Ask = look_now) -> Finding:
    """Open one target as the caller and look at it.

    Args:
        wanted: What is to be probed in it.
        uid: The caller's user id.
        gid: The caller's group id.
        groups: All groups of the caller.
        ask: Gives what a look at the open file finds, or what it found before.

    Raises:
        LimitError: When the limits ended the look; an `UndecidedError` when that was the time on the clock.
    """
    target = Target(wanted["path"], wanted["build_id"])
    try:
        with rights_of(uid, gid, groups):
            stream = open_target_file(target)
    except DatacrumbsError as error:
        return Finding(code="target.changed", message=error.message, hint=error.hint, owner=-1, mode=0)
    with stream:
        status = os.fstat(stream.fileno())
        look = partial(_in_child, lambda: judged(stream, target, wanted), keep=(stream.fileno(),))
        code, message, hint = ask(stream, wanted, look)
    if code == "target.changed":
        return Finding(code=code, message=message, hint=hint, owner=-1, mode=0)
    return Finding(code=code, message=message, hint=hint, owner=status.st_uid, mode=status.st_mode)


def judged(stream: BufferedReader, target: Target, wanted: WantedPlaces) -> Verdict:
    """What a look at an open file finds, in a process that has no rights to lose."""
    try:
        check_build_id(stream, target)
    except DatacrumbsError as error:
        return "target.changed", error.message, error.hint
    problem = _problem(stream, wanted)
    return ("target.place", *problem) if problem else ("", "", "")


def _problem(stream: BufferedReader, wanted: WantedPlaces) -> tuple[str, str] | None:
    # What is wrong with the places, and the hint.
    from datacrumbs.signer.looking import probe_places, probe_skips, refused_places, unsafe_returns  # noqa: PLC0415

    places = probe_places(stream)
    usdt = {place for place, _ in wanted["usdt"]}
    stray = set(wanted["functions"]) - places.functions | usdt - {place for place, _ in places.usdt}
    if stray:
        return (
            f"target {wanted['path']}: offset {min(stray):#x} is not the start of a function or probe of this file",
            "a probe inside an instruction would break every program that uses the file",
        )
    if false := set(wanted["usdt"]) - places.usdt:
        place, semaphore = min(false)
        return (
            f"target {wanted['path']}: {semaphore:#x} is not the semaphore of the probe at {place:#x} of this file",
            f"the kernel would refuse the right one to others, or count in their memory; {RECREATE}",
        )
    if broken := unsafe_returns(stream, wanted["returns"]):
        first = min(broken)
        return (
            f"target {wanted['path']}: the returns of the function at {first:#x} must not be probed ({broken[first]})",
            f"a return probe there would break every program that calls it; {RECREATE}",
        )
    captured = {offset: frozenset(arguments) for offset, _, arguments in wanted["moved"]}
    unmoved = set(wanted["functions"]) - captured.keys()
    if refused := refused_places(stream, unmoved, usdt):
        offset, reason = min(refused.items())
        return (
            f"target {wanted['path']}: {offset:#x} must not be probed: the instruction there {reason.value}",
            f"a probe there would change what programs compute; {RECREATE}",
        )
    safe = probe_skips(stream, captured) if captured else {}
    for offset, skip, _ in sorted(wanted["moved"]):
        if safe.get(offset) != skip:
            allowed = f"0 or {safe[offset]}" if offset in safe else "0"
            moved = f"the probe of the function at {offset:#x} is {skip} bytes further; expected {allowed}"
            return f"target {wanted['path']}: {moved}", RECREATE
    return None


class ReadyLook:
    """A child that is begun before the first look, and has given up root before it has seen anything.

    Args:
        practise: Goes through a look, in the child.

    Raises:
        OSError: When no process can be made.
    """

    def __init__(self, practise: Callable[[], None]) -> None:
        def practised() -> None:
            give_up_root()
            practise()

        self._spare: Spare | None = prepare(_ordered_look, practised)

    def ask(self, stream: BufferedReader, wanted: WantedPlaces, look: Callable[[], Verdict]) -> Verdict:
        """What the child finds; later looks have children of their own."""
        spare = self._spare
        if spare is not None and spare.is_lost():  # ended or stopped, by one that was taken over
            self.dismiss()
            spare = None
        self._spare = None
        if spare is None:
            return look()
        bounds = remaining(LOOK.stretched())
        return _verdict(spare.answer(bounds, json.dumps(wanted).encode(), ANSWER_LIMIT, [stream.fileno()]))

    def dismiss(self) -> None:
        """Let it end if it was not needed."""
        if self._spare is not None:
            self._spare.dismiss()
            self._spare.wait()


# In the child: the file is what it gets, the places are what the order says.
def _ordered_look(order: bytearray, descriptors: list[int]) -> bytes:
    wanted: WantedPlaces = json.loads(order)
    wanted["usdt"] = [(place, semaphore) for place, semaphore in wanted["usdt"]]
    with os.fdopen(descriptors[0], "rb") as stream:
        target = Target(wanted["path"], wanted["build_id"])
        return _without_rights(lambda: judged(stream, target, wanted))


# The answer of a function that runs in a child without any rights, within what is left of this process's limits.
def _in_child(work: Callable[[], Verdict], keep: tuple[int, ...] = ()) -> Verdict:
    # Here, since the child may have no rights to read it; and not before a look, since it takes as long as a small one.
    from datacrumbs.signer import looking  # noqa: F401, PLC0415

    return _verdict(answer(lambda: _without_rights(work), remaining(LOOK.stretched()), ANSWER_LIMIT, keep))


def _without_rights(work: Callable[[], Verdict]) -> bytes:
    memory, _ = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    give_up_root()
    return json.dumps(work()).encode()


def _verdict(answer: bytes) -> Verdict:
    code, message, hint = json.loads(answer)
    return str(code), str(message), str(hint)
