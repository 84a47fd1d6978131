"""The client beside a service that is busy, dies or answers before it reads."""

from __future__ import annotations

import base64
import socket
import threading
from contextlib import contextmanager, suppress

import pytest

from datacrumbs.errors import ExitCode
from datacrumbs.model.plan import Attach, Function, Group, Plan, Provenance, Target
from datacrumbs.serving.denial import DenialError
from datacrumbs.serving.protocol import frame
from datacrumbs.serving.replies import busy, refusal_frame
from datacrumbs.signer import signing_client
from datacrumbs.signer.request import SIGNING
from datacrumbs.signer.signing_client import request_signature, service_key_id

PROVENANCE = Provenance("many", "datacrumbs-many", "0.1.0", "libmany", 40)
READY = frame({"status": "ready", "key_id": "a" * 64})


@pytest.fixture
def paths(paths):
    paths.signing_socket.parent.mkdir(parents=True)
    return paths


@contextmanager
def answering(paths, replies):
    """A service that never reads, and gives one connection after the other one of these replies."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(paths.signing_socket))
        listener.listen()

        def serve() -> None:
            for reply in replies:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join(300)
        assert not thread.is_alive()


def test_a_busy_service_is_asked_again(paths):
    with answering(paths, [refusal_frame(busy(SIGNING)), refusal_frame(busy(SIGNING)), READY]):
        assert service_key_id(paths) == "a" * 64


def test_a_service_that_dies_is_asked_again(paths):
    with answering(paths, [b"", READY[:7], READY]):
        assert service_key_id(paths) == "a" * 64


def test_a_large_request_to_a_service_that_answers_before_it_reads(paths):
    functions = tuple(
        Function(
            f"f{number}",
            f"f{number}",
            "POSIX",
            offset=number,
            aliases=tuple(f"{number}_{n:a>1000}" for n in range(200)),
        )
        for number in range(1, 41)
    )
    target = Target("/usr/lib/libmany.so", "a" * 40)
    plan = Plan((PROVENANCE,), (Group("many", "libmany", Attach.UPROBE, target, functions),), ())
    signed = frame({"status": "signed", "probe_file": base64.b64encode(b"signed").decode()})
    with answering(paths, [refusal_frame(busy(SIGNING)), signed]):
        assert request_signature(plan, paths) == b"signed"


def test_a_service_that_stays_busy_is_not_one_that_does_not_run(paths, monkeypatch):
    monkeypatch.setattr(signing_client, "RETRY_SECONDS", 0)
    with answering(paths, [refusal_frame(busy(SIGNING))]), pytest.raises(DenialError, match="busy") as caught:
        service_key_id(paths)
    assert caught.value.exit_code == ExitCode.FAILED
    assert "try again" in caught.value.hint


def test_a_full_queue_of_connections_is_busy(paths, monkeypatch):
    monkeypatch.setattr(signing_client, "RETRY_SECONDS", 0)
    monkeypatch.setattr(signing_client, "CONNECT_TIME", signing_client.struct.pack("@ll", 0, 50_000))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(paths.signing_socket))
        listener.listen(0)
        with socket.socket(socket.AF_UNIX) as waiting:
            waiting.connect(str(paths.signing_socket))
            with pytest.raises(DenialError, match="busy") as caught:
                service_key_id(paths)
    assert caught.value.code == "service.busy"
