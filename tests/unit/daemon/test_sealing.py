"""The process that seals: what it reads, how long it reads it, and what it signs of what it is told."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from datacrumbs.daemon.channel import Channel
from datacrumbs.daemon.messages import FROM_SEALER, TO_SEALER, Begun, Failed, Sealed, SealEnd, SealPart, SealRun
from datacrumbs.daemon.sealing import refuse, seal_run
from datacrumbs.errors import DatacrumbsError
from datacrumbs.probefile.keys import key_file_name, public_key_pem
from datacrumbs.seal.statement import SealedPart, Summary, read_seal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ABOUT = {
    "run_id": "run",
    "uid": 1000,
    "user": "ada",
    "host": "node",
    "kernel": "6.1",
    "datacrumbs": "0",
    "plan": "a" * 64,
    "key_id": "b" * 64,
    "mode": "",
    "begin": 3,
}
END = {"end": 5, "ended_by": "signal", "complete": True}
COUNTS = {"entered": 7}
CONTENT = b"x" * 2_500_009


class Bench:
    """One process that seals, as a thread, and what it wrote."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = Ed25519PrivateKey.generate()
        (directory / key_file_name(self._key.public_key())).write_bytes(public_key_pem(self._key.public_key()))
        self.seal = directory / "seal"
        self.trace = directory / "trace"
        self.trace.write_bytes(CONTENT)
        first, second = socket.socketpair()
        self.channel = Channel(first, FROM_SEALER, 1 << 16, takes_descriptors=False)
        self._theirs = Channel(second, TO_SEALER, 1 << 16, takes_descriptors=True)
        self.thread = threading.Thread(target=self._run, args=(seal_run, self._key), daemon=True)

    def _run(self, work: Callable[..., None], key: Ed25519PrivateKey) -> None:
        work(self._theirs, key)
        self._theirs.close()

    def answer(self) -> object:
        received = self.channel.receive(60)
        assert received is not None
        return received.message

    def begin(self) -> None:
        self.thread.start()
        with self.seal.open("xb", buffering=0) as file:
            self.channel.send(SealRun(ABOUT), [file.fileno()])
        assert self.answer() == Begun()

    def part(self, name: str, *, given: bool = True) -> None:
        with self.trace.open("rb") as file:
            self.channel.send(SealPart(name), [file.fileno()] if given else [])

    def finish(self, seconds: float = 60.0) -> tuple[object, Summary]:
        self.channel.send(SealEnd(END, COUNTS, seconds))
        return self.answer(), read_seal(self.seal, self._directory).summary


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.channel.close()
    bench.thread.join(300)


def test_what_is_said_at_the_begin_and_the_end_is_sealed(bench: Bench) -> None:
    bench.begin()
    bench.part("one")
    bench.part("two")
    answer, summary = bench.finish()
    assert answer == Sealed(0)
    digest = hashlib.sha256(CONTENT).hexdigest()
    parts = (SealedPart("one", len(CONTENT), digest), SealedPart("two", len(CONTENT), digest))
    assert summary == Summary(**ABOUT, end=5, ended_by="signal", complete=True, counts=(("entered", 7),), parts=parts)


def test_without_time_the_size_is_sealed_alone(bench: Bench) -> None:
    bench.begin()
    bench.part("one")
    answer, summary = bench.finish(0.0)
    assert answer == Sealed(1)
    assert summary.parts == (SealedPart("one", len(CONTENT), ""),)


def test_a_file_that_is_not_given_is_named(bench: Bench) -> None:
    bench.begin()
    bench.part("one", given=False)
    _, summary = bench.finish()
    assert summary.parts == (SealedPart("one", 0, ""),)


def test_a_run_that_breaks_off_leaves_an_empty_seal(bench: Bench) -> None:
    bench.begin()
    bench.part("one")
    bench.channel.close()
    bench.thread.join(300)
    assert bench.seal.read_bytes() == b""


def test_a_seal_that_cannot_be_written(bench: Bench) -> None:
    bench.thread.start()
    full = os.open("/dev/full", os.O_WRONLY)
    bench.channel.send(SealRun(ABOUT), [full])
    os.close(full)
    assert bench.answer() == Begun()
    bench.part("one")
    bench.channel.send(SealEnd(END, COUNTS, 60.0))
    assert bench.answer() == Failed("the seal cannot be written: No space left on device", "")


def test_without_a_key_the_begin_is_refused() -> None:
    first, second = socket.socketpair()
    ours = Channel(first, FROM_SEALER, 1 << 16, takes_descriptors=False)
    theirs = Channel(second, TO_SEALER, 1 << 16, takes_descriptors=True)
    ours.send(SealRun(ABOUT))
    refuse(DatacrumbsError("no key", hint="make one"), theirs)
    received = ours.receive(60)
    assert received is not None
    assert received.message == Failed("no key", "make one")
    ours.close()
    theirs.close()
