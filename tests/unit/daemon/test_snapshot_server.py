"""Those who watch a run: who is heard, and what they can do to the process that writes, which is nothing."""

from __future__ import annotations

import os
import socket
import struct
import time
from typing import TYPE_CHECKING

import pytest

from datacrumbs.daemon import snapshot_server
from datacrumbs.daemon.snapshot_server import MOST, SnapshotServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ME = os.geteuid()
LINE = b'{"version":1}\n'


class Run:
    """A run's socket, and snapshots that are counted."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        listener.listen(64)
        self.server = SnapshotServer(listener, ME)
        self.made = 0

    def make(self) -> bytes:
        self.made += 1
        return LINE

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(60)
        connection.connect(self.path)
        self.server.hear()
        return connection

    def turn(self) -> None:
        self.server.hear()
        if self.server.is_asked:
            self.server.answer(self.make)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run(tmp_path / "s")
    yield made
    made.server.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def is_hung_up(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_byte_is_a_question_and_each_gets_one_answer(run: Run, clock: list[float]) -> None:
    with run.connect() as first, run.connect() as second, run.connect():
        run.turn()
        assert run.made == 0
        first.send(b"?")
        second.send(b"?")
        run.turn()
        assert (first.recv(99), second.recv(99), run.made) == (LINE, LINE, 1)
        first.send(b"?")
        run.turn()
        assert (run.made, run.server.is_busy) == (1, True)  # not more often than that
        clock[0] += 0.25
        run.turn()
        assert (first.recv(99), run.made, run.server.is_busy) == (LINE, 2, False)


def test_the_dearer_snapshots_are_the_rarer_they_are(
    run: Run, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    spent = [0.0]
    monkeypatch.setattr(time, "thread_time", lambda: spent[0])

    def dear() -> bytes:
        spent[0] += 0.02
        return LINE

    with run.connect() as connection:
        connection.send(b"?")
        run.server.hear()
        run.server.answer(dear)
        connection.send(b"?")
        clock[0] += 1.9
        run.server.hear()
        assert not run.server.is_asked
        clock[0] += 0.2
        assert run.server.is_asked


def test_who_asks_too_much_or_says_more_is_hung_up_on(run: Run) -> None:
    for words in ((b"??",), (b"GET / HTTP/1.0\r\n\r\n",), (b"?", b"?")):
        with run.connect() as connection:
            for word in words:
                connection.send(word)
                run.server.hear()
            assert is_hung_up(connection), words
    assert len(run.server.wakers) == 1


def test_who_does_not_read_is_not_waited_for(run: Run, clock: list[float]) -> None:
    with run.connect() as connection:
        connection.send(b"?")
        run.server.hear()
        run.server.answer(lambda: bytes(8 << 20))
        assert run.server.is_busy
        clock[0] += 11
        run.server.hear()
        assert len(run.server.wakers) == 1


def test_a_large_answer_arrives_whole(run: Run) -> None:
    with run.connect() as connection:
        connection.send(b"?")
        run.server.hear()
        run.server.answer(lambda: bytes(3 << 20))
        got = 0
        while got < 3 << 20:
            got += len(connection.recv(1 << 16))
            run.server.hear()
        assert not run.server.is_busy


@pytest.mark.skipif(ME != 0, reason="other users' connections are made by root")
def test_only_root_and_the_runs_user_are_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path / "s")
    run.server._uid = 4711
    uid = [4711]
    credentials = socket.socket.getsockopt
    monkeypatch.setattr(
        socket.socket,
        "getsockopt",
        lambda self, *what: struct.pack("3i", 1, uid[0], 1) if len(what) == 3 else credentials(self, *what),
    )
    own = [run.connect() for _ in range(MOST)]
    assert len(run.server.wakers) == 1 + MOST // 2  # some are left for root
    uid[0] = 0
    roots = run.connect()
    assert len(run.server.wakers) == 2 + MOST // 2
    uid[0] = 4712
    with run.connect() as connection:
        assert is_hung_up(connection)
    for each in (*own, roots):
        each.close()
    run.server.close()


def test_all_are_told_at_the_end(run: Run) -> None:
    with run.connect() as asking, run.connect() as silent:
        asking.send(b"?")
        run.server.hear()
        run.server.answer(run.make, everyone=True)
        run.server.close()
        assert (asking.recv(99), silent.recv(99), run.made) == (LINE, LINE, 1)
        assert is_hung_up(asking)


def test_a_question_does_not_wait_for_ever(run: Run, clock: list[float]) -> None:
    with run.connect() as connection:
        connection.send(b"?")
        run.server.hear()
        assert not run.server.is_overdue
        clock[0] += snapshot_server._LONGEST_SECONDS + 0.1
        assert run.server.is_overdue


def test_one_that_connects_again_and_again_keeps_nothing_else_waiting(tmp_path: Path) -> None:
    run = Run(tmp_path / "s")
    listener, run.server._listener = run.server._listener, Endless()
    run.server.hear()
    run.server.hear()
    assert len(run.server.wakers) == 1  # all of them have left
    listener.close()
    run.server.close()


class Endless:
    """A listener at which the next client waits already, and has hung up."""

    connections = 0

    def accept(self) -> tuple[socket.socket, str]:
        self.connections += 1
        assert self.connections < 1000
        here, there = socket.socketpair()
        there.close()
        return here, ""

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        pass
