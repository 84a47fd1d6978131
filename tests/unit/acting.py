"""What a test does as another user."""

from __future__ import annotations

import os
from contextlib import contextmanager


@contextmanager
def as_user(uid: int):
    """The kernel takes the effective id when a socket connects, and MUNGE that of who asks it."""
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
