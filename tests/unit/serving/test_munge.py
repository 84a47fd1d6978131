from __future__ import annotations

import os
import time

import pytest

from datacrumbs.errors import ExitCode
from datacrumbs.serving import munge
from datacrumbs.serving.munge import ANYONE, MungeError, Proof, credential, proof

from ..acting import as_user  # noqa: TID252 - a helper of all unit tests
from ..munged import KEY_BYTES, munged  # noqa: TID252 - a daemon of the tests

PAYLOAD = b"a request\0of 23 bytes.."
SECONDS = 60
NOBODY = 65534


@pytest.fixture
def daemon(monkeypatch):
    with munged() as socket:
        monkeypatch.setattr(munge, "SOCKET", str(socket))
        yield socket


def refused(text: bytes, words: str) -> None:
    with pytest.raises(MungeError, match=words) as caught:
        proof(text)
    assert not caught.value.unavailable
    assert caught.value.exit_code is ExitCode.REFUSED


def test_a_credential_proves_who_made_it_once(daemon):
    text = credential(PAYLOAD, reader=0, seconds=SECONDS)
    assert proof(text) == Proof(0, os.getegid(), 0, PAYLOAD)
    refused(text, "Replayed")


def test_the_effective_user_is_who_counts(daemon):
    with as_user(NOBODY):
        text = credential(b"", reader=0, seconds=SECONDS)
    assert proof(text) == Proof(NOBODY, os.getegid(), 0, b"")


@pytest.mark.parametrize("reader", [NOBODY, 4242])
def test_a_credential_for_another_reader_proves_nothing(daemon, reader):
    refused(credential(PAYLOAD, reader=reader, seconds=SECONDS), "Unauthorized")


def test_who_may_read_it_is_said(daemon):
    assert proof(credential(PAYLOAD, reader=ANYONE, seconds=SECONDS)).reader == ANYONE


def test_an_expired_credential_proves_nothing(daemon):
    text = credential(PAYLOAD, reader=0, seconds=1)
    over = time.time() + 2
    while time.time() <= over:  # munged counts in whole seconds of this clock
        time.sleep(0.1)
    refused(text, "Expired")


def test_a_changed_credential_proves_nothing(daemon):
    text = bytearray(credential(PAYLOAD, reader=0, seconds=SECONDS))
    text[40] = ord("A") if text[40] != ord("A") else ord("B")
    refused(bytes(text), "Invalid|Failed")


@pytest.mark.parametrize("text", [b"", b"MUNGE:", b"MUNGE:AwQF:", b"\0", b"x" * 4096, b"\xff" * 31])
def test_what_is_no_credential_proves_nothing(daemon, text):
    refused(text, "not accepted")


def test_a_credential_of_another_key_proves_nothing(daemon, monkeypatch):
    text = credential(PAYLOAD, reader=0, seconds=SECONDS)
    with munged(b"\7" * KEY_BYTES) as other:
        monkeypatch.setattr(munge, "SOCKET", str(other))
        refused(text, "Invalid")


@pytest.mark.parametrize("name", ["SOCKET", "LIBRARY"])
def test_without_munge_it_is_said_in_words(monkeypatch, name):
    monkeypatch.setattr(munge, name, "/nowhere/it.is")
    words = "does not answer|libmunge|/nowhere/it.is is not installed"
    for asked in (lambda: proof(b"MUNGE:x:"), lambda: credential(PAYLOAD, reader=0, seconds=SECONDS)):
        with pytest.raises(MungeError, match=words) as caught:
            asked()
        assert caught.value.unavailable
        assert caught.value.hint
