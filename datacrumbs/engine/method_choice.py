"""Which ways to attach to library functions this kernel has, found by trying."""

from __future__ import annotations

import errno
import mmap
import os
import platform
import struct
import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from datacrumbs.engine import kernel_programs, links
from datacrumbs.engine.bpf_objects import Instructions, load_program
from datacrumbs.engine.methods import TITLES, AttachMethod
from datacrumbs.errors import DatacrumbsError

if TYPE_CHECKING:
    from datacrumbs.engine.links import Link

_SINCE = {AttachMethod.SESSION: "6.13", AttachMethod.MULTI: "6.6"}


def choose(wanted: AttachMethod) -> AttachMethod:
    """The way to take: ``wanted``, or for AUTO the fastest.

    Raises:
        DatacrumbsError: (exit 1) when the kernel lacks what was wanted.

    """
    if wanted is AttachMethod.AUTO:
        return next(method for method in TITLES if _works(method))
    if not _works(wanted):
        raise DatacrumbsError(
            f"this kernel has no {TITLES[wanted]}s",
            hint=f"use attach method `auto`; they came with Linux {_SINCE[wanted]}",
        )
    return wanted


def check_cookies() -> None:
    """Check that probes can ask which function they are on: nothing works without, and it is known at once.

    Raises:
        DatacrumbsError: (exit 1) when this kernel has no attach cookies.

    """
    try:
        os.close(load_program("dc_try", _ASKS_FOR_COOKIE, kernel_programs.PROBE))
    except OSError as error:
        if error.errno != errno.EINVAL:  # what forbids every program is said where the real ones are loaded
            return
        raise DatacrumbsError(
            "this kernel has no attach cookies for probes (helper bpf_get_attach_cookie): DataCrumbs needs Linux 5.15",
            hint=f"run Linux 5.15 or later; this is {platform.release()}",
        ) from None


# Whether the kernel makes such a link: a loaded program alone proves nothing.
def _works(method: AttachMethod) -> bool:
    return method is AttachMethod.PERF or links_work(session=method is AttachMethod.SESSION)


def links_work(*, session: bool) -> bool:
    """Whether the kernel makes uprobe session links, or else multi links, found by making one."""
    try:
        with closing(Trial(session=session)) as trial:
            threading.Thread(target=trial.attach().close).start()  # which takes long, and is not waited for
    except OSError as error:
        return error.errno not in {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}
    return platform.machine() in {"x86_64", "aarch64"}


# r0 = 0; exit. Any program would do, and this one is verified at once.
_DOES_NOTHING = Instructions(bytes([0xB7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]), 0, ())
# call bpf_get_attach_cookie, the context is in r1; r0 = 0; exit.
_COOKIE_HELPER = 174
_ASKS_FOR_COOKIE = Instructions(struct.pack("<BBhi", 0x85, 0, 0, _COOKIE_HELPER) + _DOES_NOTHING.code, 0, ())
_PLACE = links.sites([0], [0])


class Trial:
    """A program that does nothing, and a file that no process has mapped, to attach it to.

    Args:
        session: For session links; else for multi links.

    Raises:
        OSError: The kernel's error when it does not load the program.
    """

    def __init__(self, *, session: bool) -> None:
        self._session = session
        self._program = load_program(
            "dc_try", _DOES_NOTHING, kernel_programs.UPROBE_SESSION if session else kernel_programs.UPROBE_MULTI
        )
        self._file = os.memfd_create("datacrumbs", os.MFD_CLOEXEC)
        os.write(self._file, bytes(mmap.PAGESIZE))

    def attach(self) -> Link:
        """Make a link.

        Raises:
            OSError: The kernel's error.
        """
        path = f"/proc/self/fd/{self._file}"
        if self._session:
            return links.attach_uprobe_session(self._program, path, _PLACE)
        return links.attach_uprobe_multi(self._program, path, _PLACE, at_return=False)

    def close(self) -> None:
        """Give program and file back; links keep what they need."""
        os.close(self._program)
        os.close(self._file)


class EarlyLinks:
    """Links made every few milliseconds, so that the one that counts need not wait.

    Before its first probe the kernel waits until no process copies its memory map: a grace period, 5 to 20 ms
    (`percpu_down_write` in kernel/events/uprobes.c). For as long again it does not wait any more. So these links are
    made while other things are waited for. To close them takes longer, which is done in the background.
    """

    def __init__(self) -> None:
        self._links: list[Link] = []
        self._enough = threading.Event()
        self._may_close = threading.Event()
        self._thread = threading.Thread(target=self._make)
        self._made = threading.Event()
        self._thread.start()

    def stop(self) -> None:
        """Make no more."""
        self._enough.set()
        self._made.wait()

    def close(self) -> None:
        """Give them back, in the background."""
        self._enough.set()
        self._may_close.set()

    def _make(self) -> None:
        with suppress(OSError), closing(Trial(session=False)) as trial:
            self._links.append(trial.attach())
            while not self._enough.wait(_EARLY_SECONDS):
                self._links.append(trial.attach())
        self._made.set()
        self._may_close.wait()
        links.close_links(self._links)


_EARLY_SECONDS = 0.003
