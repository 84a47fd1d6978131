"""How long a killed child is waited for."""

from __future__ import annotations

import os
import signal

import pytest

from datacrumbs.secure import killed
from datacrumbs.secure.killed import wait_for_killed


@pytest.fixture
def child():
    pid = os.fork()
    if pid == 0:
        while True:
            signal.pause()
    return pid


def test_one_that_ends_is_gone_afterwards(child, monkeypatch):
    monkeypatch.setattr(killed, "END_SECONDS", 300)
    os.kill(child, signal.SIGKILL)
    wait_for_killed(child)
    with pytest.raises(ChildProcessError):
        os.waitpid(child, 0)


def test_one_that_does_not_end_is_left(child, monkeypatch):
    """As if it waited for a file system that does not answer; see the test of others' traces for such a one."""
    monkeypatch.setattr(killed, "END_SECONDS", 0.1)
    wait_for_killed(child)
    assert os.waitpid(child, os.WNOHANG) == (0, 0)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
