"""Which ways to attach to library functions this kernel has, found by trying."""

from __future__ import annotations

import errno
import os
import platform
from typing import TYPE_CHECKING

from datacrumbs.engine import kernel, programs
from datacrumbs.engine.methods import TITLES, AttachMethod
from datacrumbs.engine.objects import Instructions, load_program
from datacrumbs.errors import DatacrumbsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from datacrumbs.engine.kernel import Link
    from datacrumbs.engine.loader import LoadedImage

_SESSION_FUNCTION = "bpf_session_is_return"
_SINCE = {AttachMethod.SESSION: "6.13", AttachMethod.MULTI: "6.6"}


def choose(wanted: AttachMethod, loaded: LoadedImage) -> AttachMethod:
    """The way to take: ``wanted``, or for AUTO the fastest.

    Raises:
        DatacrumbsError: (exit 1) when the kernel lacks what was wanted.

    """
    if wanted is AttachMethod.AUTO:
        return next(method for method in TITLES if works(method, loaded))
    if not works(wanted, loaded):
        raise DatacrumbsError(
            f"this kernel has no {TITLES[wanted]}s",
            hint=f"use attach method `auto`; they came with Linux {_SINCE[wanted]}",
        )
    return wanted


def expected(wanted: AttachMethod, loaded: LoadedImage) -> AttachMethod | None:
    """What `choose` will say, where that is as good as known: a link that is tried takes long to be closed again."""
    if wanted is not AttachMethod.AUTO:
        return wanted
    return AttachMethod.SESSION if loaded.knows(_SESSION_FUNCTION) else None


def works(method: AttachMethod, loaded: LoadedImage) -> bool:
    """Whether the kernel makes such a link: a loaded program alone proves nothing."""
    if method is AttachMethod.PERF:
        return True
    session = method is AttachMethod.SESSION
    if session and not loaded.knows(_SESSION_FUNCTION):
        return False
    try:
        program = load_program("dc_try", _DOES_NOTHING, programs.UPROBE_SESSION if session else programs.UPROBE_MULTI)
    except OSError:
        return False
    try:
        return session_links_work(program) if session else multi_links_work(program)
    finally:
        os.close(program)


# r0 = 0; exit. Any program would do, and this one is verified at once.
_DOES_NOTHING = Instructions(bytes([0xB7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]), 0, ())


def multi_links_work(descriptor: int) -> bool:
    """Whether the kernel makes uprobe multi links of this program, tried on our own executable."""
    return _links(lambda path: kernel.attach_uprobe_multi(descriptor, path, [_PLACE], at_return=False))


def session_links_work(descriptor: int) -> bool:
    """Whether the kernel makes uprobe session links of this program, tried on our own executable."""
    return _links(lambda path: kernel.attach_uprobe_session(descriptor, path, [_PLACE]))


# An offset that no instruction has still makes a link: the file is not mapped for execution there.
_PLACE = kernel.UprobeSite(0, 0)


def _links(attach: Callable[[str], Link]) -> bool:
    try:
        attach(os.path.realpath("/proc/self/exe")).close()
    except OSError as error:
        return error.errno not in {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}
    return platform.machine() in {"x86_64", "aarch64"}
