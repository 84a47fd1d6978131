"""Privileges given up: all of them by the process that writes, what is not needed any more by the one that traces."""

from __future__ import annotations

import ctypes
import os
import struct
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SET_PARENT_DEATH_SIGNAL, _GET_PARENT_DEATH_SIGNAL = 1, 2
_FIRST_DESCRIPTOR = 3  # behind the standard streams
_SET_DUMPABLE, _SET_KEEP_CAPABILITIES, _DROP_FROM_BOUNDING_SET, _SET_NO_NEW_PRIVILEGES = 4, 8, 24, 38
_CAPABILITY_VERSION = 0x20080522
_LIBC = ctypes.CDLL(None, use_errno=True)


class Capability(IntEnum):
    """Those that a daemon keeps (linux/capability.h)."""

    DAC_OVERRIDE = 1
    KILL = 5
    SYS_ADMIN = 21
    SYS_PTRACE = 19
    PERFMON = 38
    BPF = 39
    CHECKPOINT_RESTORE = 40


WHILE_TRACING = (Capability.BPF, Capability.PERFMON, Capability.KILL)
"""To read counters, to begin an iterator over tasks at the end, and to end the process that writes."""
TO_MAKE_FILES = (Capability.DAC_OVERRIDE,)
"""To make a file, as a run's user, in a directory of somebody else's."""
BY_PERF_EVENT = (Capability.SYS_ADMIN,)
"""To attach while the run goes on by perf events, for which a kernel asks more than for links."""
TO_FIND_FILES = (Capability.CHECKPOINT_RESTORE,)
"""To open what a process of the same user has mapped (/proc/PID/map_files)."""
TO_FIND_FILES_OF_ROOT = (*TO_FIND_FILES, Capability.SYS_PTRACE)
"""Processes of root have capabilities, too."""


def become(uid: int, gid: int, groups: Sequence[int] = (), kept: Iterable[Capability] = ()) -> None:
    """Go on as this user, with these groups and capabilities alone, without a way back or others looking in.

    The signal for the death of the parent stays, which the kernel forgets when ids change.
    """
    parent, of_parents_death = os.getppid(), _parent_death_signal()
    _empty_bounding_set()
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    prctl(_SET_KEEP_CAPABILITIES, 1)
    os.setresuid(uid, uid, uid)
    keep(kept)
    prctl(_SET_DUMPABLE, 0)
    if of_parents_death:
        end_with_parent(of_parents_death)
        if os.getppid() != parent:  # meanwhile
            os.kill(os.getpid(), of_parents_death)


def keep(capabilities: Iterable[Capability]) -> None:
    """Give up all other capabilities, for good."""
    _empty_bounding_set()
    prctl(_SET_NO_NEW_PRIVILEGES, 1)
    mask = sum(1 << capability for capability in capabilities) & _permitted()
    low, high = mask & 0xFFFFFFFF, mask >> 32
    head = ctypes.create_string_buffer(struct.pack("<Ii", _CAPABILITY_VERSION, 0))
    data = ctypes.create_string_buffer(struct.pack("<6I", low, low, 0, high, high, 0))
    if _LIBC.capset(head, data):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


# A unit's is small already, and without CAP_SETPCAP it stays so; no_new_privs holds in any case.
def _empty_bounding_set() -> None:
    for capability in range(64):
        if _LIBC.prctl(_DROP_FROM_BOUNDING_SET, capability, 0, 0, 0):
            return


def _permitted() -> int:
    head = ctypes.create_string_buffer(struct.pack("<Ii", _CAPABILITY_VERSION, 0))
    data = ctypes.create_string_buffer(24)
    if _LIBC.capget(head, data):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    _, low, _, _, high, _ = struct.unpack("<6I", data.raw[:24])
    return int(low | high << 32)


def _parent_death_signal() -> int:
    number = ctypes.c_int()
    prctl(_GET_PARENT_DEATH_SIGNAL, ctypes.addressof(number))
    return number.value


def end_with_parent(number: int) -> None:
    """Have this process get a signal when its parent ends; whether that has ended already is the caller's to ask."""
    prctl(_SET_PARENT_DEATH_SIGNAL, number)


def leave_terminal(*streams: int) -> None:
    """Begin a session without a terminal, whose keys are root's: what is taken over here neither reads nor types them.

    Args:
        streams: Of the standard streams, those that become empty; the input without any.
    """
    os.setsid()
    empty(*(streams or (0,)))


def empty(*streams: int) -> None:
    """Read nothing from standard streams, and write nothing there."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in streams:
        os.dup2(null, stream)
    os.close(null)


def close_others(kept: Iterable[int]) -> None:
    """Close all descriptors but the standard streams and these, in a process that was forked."""
    first = _FIRST_DESCRIPTOR
    for descriptor in sorted(kept):
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))


def prctl(option: int, value: int) -> None:
    """Set what the kernel keeps about this process, by its numbered options.

    Raises:
        OSError: The kernel refuses it.
    """
    if _LIBC.prctl(option, ctypes.c_ulong(value), 0, 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
