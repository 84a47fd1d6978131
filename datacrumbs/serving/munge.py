"""Credentials of MUNGE: who made a text, as the munged of the host where it was made saw it.

By its library, which is there where a cluster has MUNGE, and is loaded only for a credential. What is said by a
credential counts only with result 0: for one that is expired or replayed the library gives id and payload all the same.
"""

from __future__ import annotations

import ctypes
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

LIBRARY = "libmunge.so.2"
SOCKET = ""
"""Of munged; empty for the one that the library was built with."""
# munge.h
_TTL, _SOCKET, _UID_RESTRICTION = 4, 8, 9
_NO_SERVICE = 6


class MungeError(DatacrumbsError):
    """A credential that cannot be made or does not count.

    Args:
        message: What MUNGE says.
        hint: How to fix it.
        unavailable: Whether this host has no MUNGE that works, rather than a fault of the credential.
    """

    def __init__(self, message: str, hint: str = "", *, unavailable: bool = False) -> None:
        super().__init__(message, hint=hint, exit_code=ExitCode.FAILED if unavailable else ExitCode.REFUSED)
        self.unavailable = unavailable


@dataclass(frozen=True, slots=True)
class Proof:
    """What a valid credential says.

    Args:
        uid: Effective user id of the process that made it.
        gid: Effective group id of that process.
        reader: The one user who may decode it; `ANYONE` without such a restriction.
        payload: What it was made over.
    """

    uid: int
    gid: int
    reader: int
    payload: bytes


ANYONE = 0xFFFFFFFF


def credential(payload: bytes, *, reader: int, seconds: int) -> bytes:
    """A credential of this process's effective user.

    Args:
        payload: What it is made over.
        reader: The one user who may decode it.
        seconds: For how long it is valid; clocks of the hosts may differ by no more.

    Raises:
        MungeError: When there is no MUNGE, or it refuses.
    """
    with _context() as (library, context):
        library.munge_ctx_set(context, _UID_RESTRICTION, ctypes.c_uint32(reader))
        library.munge_ctx_set(context, _TTL, ctypes.c_int(seconds))
        text = ctypes.POINTER(ctypes.c_char)()
        result = library.munge_encode(ctypes.byref(text), context, payload, len(payload))
        try:
            _check(library, context, result, "made")
            return ctypes.string_at(text)
        finally:
            _free(text)


def proof(text: bytes) -> Proof:
    """What a credential says, decoded once: this host's munged refuses it from then on.

    Raises:
        MungeError: When there is no MUNGE, or the credential is forged, expired, replayed or for somebody else.
    """
    with _context() as (library, context):
        payload, size = ctypes.POINTER(ctypes.c_char)(), ctypes.c_int()
        uid, gid, reader = ctypes.c_uint32(), ctypes.c_uint32(), ctypes.c_uint32(ANYONE)
        numbers = (ctypes.byref(size), ctypes.byref(uid), ctypes.byref(gid))
        result = library.munge_decode(text, context, ctypes.byref(payload), *numbers)
        try:
            _check(library, context, result, "accepted")
            _check(library, context, library.munge_ctx_get(context, _UID_RESTRICTION, ctypes.byref(reader)), "read")
            return Proof(uid.value, gid.value, reader.value, ctypes.string_at(payload, size.value) if payload else b"")
        finally:
            _free(payload)


@contextmanager
def _context() -> Iterator[tuple[ctypes.CDLL, ctypes.c_void_p]]:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        raise MungeError(
            f"{LIBRARY} is not installed on this host", "install and start MUNGE", unavailable=True
        ) from None
    library.munge_ctx_create.restype = ctypes.c_void_p
    library.munge_ctx_strerror.restype = library.munge_strerror.restype = ctypes.c_char_p
    context = ctypes.c_void_p(library.munge_ctx_create())
    if not context:
        raise MemoryError
    try:
        if SOCKET:
            library.munge_ctx_set(context, _SOCKET, SOCKET.encode())
        yield library, context
    finally:
        library.munge_ctx_destroy(context)


def _check(library: ctypes.CDLL, context: ctypes.c_void_p, result: int, done: str) -> None:
    if result == 0:
        return
    words = (library.munge_ctx_strerror(context) or library.munge_strerror(result) or b"").decode("utf-8", "replace")
    if result == _NO_SERVICE:
        raise MungeError(f"MUNGE does not answer on this host: {words}", "start munged", unavailable=True)
    raise MungeError(f"the MUNGE credential was not {done}: {words}")


def _free(pointer: ctypes._Pointer[ctypes.c_char]) -> None:
    ctypes.CDLL(None).free(pointer)
