"""Profiles from the process that traces to the one that writes: in a file in memory, of which a descriptor is sent."""

from __future__ import annotations

import fcntl
import mmap
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.model.record import PROFILE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


@contextmanager
def profiles_file(profiles: NDArray[np.void]) -> Iterator[int]:
    """The descriptor of a file that holds record.PROFILE rows and cannot be changed any more.

    Raises:
        OSError: There is no memory for it.
    """
    descriptor = os.memfd_create("datacrumbs-profiles", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        rest = memoryview(profiles.tobytes())
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
        yield descriptor
    finally:
        os.close(descriptor)


def read_profiles(descriptor: int) -> NDArray[np.void]:
    """The rows of such a file, which is closed; they stay in its memory."""
    try:
        return np.frombuffer(mmap.mmap(descriptor, 0, prot=mmap.PROT_READ), PROFILE)
    finally:
        os.close(descriptor)
