from __future__ import annotations

import json
import os
import re
import select
import socket
import subprocess
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.install.units import RELAY_UNIT, unit_text
from datacrumbs.model.plan import Target
from datacrumbs.probefile.storage import verified
from datacrumbs.secure.user_rights import LOOKING_ID
from datacrumbs.serving import munge
from datacrumbs.serving.caller import Caller
from datacrumbs.serving.denial import DenialError
from datacrumbs.serving.limited import CHECK, answer
from datacrumbs.serving.protocol import LENGTH, REPLY_LIMIT, REQUEST_LIMIT, receive_message
from datacrumbs.serving.remote_server import CREDENTIAL_LIMIT, UNPROVEN_OF_A_HOST, binding
from datacrumbs.serving.replies import read_report
from datacrumbs.serving.shares import MIB
from datacrumbs.signer import relay as relay_module
from datacrumbs.signer.relay import (
    ANSWERED,
    EXCHANGE,
    EXCHANGES,
    LIMITS,
    SigningHost,
    asked,
    host_and_port,
    relayed,
)
from datacrumbs.signer.signing_client import request_signature, service_key_id
from datacrumbs.system import SystemPaths

from ..acting import as_user  # noqa: TID252 - a helper of all unit tests
from ..munged import KEY_BYTES, munged  # noqa: TID252 - a daemon of the tests
from .relaying import BOUND, HERE, TwoHosts, ask, connected

NOBODY = 65534
STATUS = b'{"version":1,"request":"status"}'
SECONDS = 60


@pytest.fixture
def hosts(installation, monkeypatch):
    with munged() as socket:
        monkeypatch.setattr(munge, "SOCKET", str(socket))
        yield TwoHosts(installation, socket)


@pytest.fixture
def signed(hosts, as_nobody):
    """What the relay's user gets for a plan: a probe file in hex, or the words of a failure."""
    plan = hosts.signing.plan_of(hosts.signing.target())
    return lambda: as_nobody(lambda: request_signature(plan, hosts.other).hex())


def made_as(uid: int, reader: int = 0, seconds: int = SECONDS, body: bytes = STATUS):
    """Makes the credential of a user for a nonce, as a relay does."""

    def made(challenge: bytes) -> bytes:
        nonce = bytes.fromhex(json.loads(challenge)["nonce"])
        with as_user(uid):
            return munge.credential(binding(nonce, body), reader=reader, seconds=seconds)

    return made


def code_of(reply: bytes) -> str:
    document = json.loads(reply)
    return str(document.get("code", document["status"]))


def test_a_plan_of_another_host_is_signed_for_who_asks_there(hosts, signed):
    with hosts.both():
        data = bytes.fromhex(signed())
        found = verified(data, "p", hosts.other.trusted_keys, now=time.time(), uid=NOBODY)
        assert found.plan == hosts.signing.plan_of(hosts.signing.target())
        assert (found.grant.uid, found.grant.user) == (NOBODY, "nobody")
    decided = [json.loads(line.partition(": ")[2]) for line in hosts.signing.decisions().splitlines() if ": {" in line]
    assert [(each["decision"], each["user"], each.get("host")) for each in decided] == [
        ("signed", "nobody", HERE),
        ("signed", "nobody", None),
    ]
    assert {each["plan"] for each in decided} == {found.digest}


@pytest.fixture
def networks():
    """Two network namespaces that reach each other; names and addresses, the signing host's first."""
    names = [f"dc{side}{os.getpid()}" for side in "ab"]
    ends = {name: f"10.97.{os.getpid() % 250}.{place}" for place, name in enumerate(names, 1)}
    with ExitStack() as made:
        for name in names:
            subprocess.run(["ip", "netns", "add", name], check=True)
            made.callback(subprocess.run, ["ip", "netns", "delete", name], check=True)
        a, b = names
        pair = ["ip", "link", "add", a, "netns", a, "type", "veth", "peer", "name", b, "netns", b]
        subprocess.run(pair, check=True)
        for name, address in ends.items():
            inside = ["ip", "--netns", name]
            subprocess.run([*inside, "address", "add", f"{address}/24", "dev", name], check=True)
            subprocess.run([*inside, "link", "set", name, "up"], check=True)
        yield ends


def test_two_hosts_with_networks_of_their_own(hosts, signed, networks):
    (here, address), (there, other) = networks.items()
    hosts.set_address(f"{address}:7411")
    hosts.allow(HERE)
    with hosts.signer(network=here), hosts.relay(network=there):
        assert f"{other} is not among remote_hosts" in signed()
        hosts.allow(other)
        assert bytes.fromhex(signed())
    assert f'"host": "{other}"' in hosts.signing.decisions()


def test_the_other_host_says_which_key_signs(hosts, as_nobody):
    with hosts.both():
        there = as_nobody(lambda: service_key_id(hosts.other))
        assert there == service_key_id(hosts.signing.paths)


def test_root_of_another_host_is_not_root(hosts):
    with hosts.both(), pytest.raises(DenialError, match="root of another host") as caught:
        request_signature(hosts.signing.plan(), hosts.other)
    assert caught.value.code == "remote.root"


def test_refusals_of_the_signing_host_reach_the_user(hosts, signed):
    hosts.signing.policy(f"rules:\n  - users: [daemon]\nremote_hosts: [{HERE}]\n")
    with hosts.both():
        assert "no rule allows user nobody" in signed()


# Only what the signing host has itself can be checked, and with the rights that the user has there.
@pytest.mark.parametrize("kind", ["absent", "other", "closed"])
def test_a_target_that_the_signing_host_cannot_check_is_refused(hosts, as_nobody, kind):
    target = hosts.signing.target()
    plan = hosts.signing.plan_of(replace(target, build_id="ab" * 20) if kind == "other" else target)
    if kind == "absent":
        plan = hosts.signing.plan_of(Target("/nowhere/libtwo.so", target.build_id), hosts.signing.offsets()[0])
    if kind == "closed":
        hosts.signing.library.chmod(0o700)
    with hosts.both():
        text = as_nobody(lambda: request_signature(plan, hosts.other))
    assert text.startswith("DenialError")
    assert hosts.signing.decided() == {"target.changed": 2}


def test_no_host_may_ask_by_default(hosts, signed):
    hosts.allow()
    with hosts.both():
        assert f"{HERE} is not among remote_hosts" in signed()
    assert hosts.signing.decided() == {"remote.host": 2}


def test_a_host_that_the_policy_does_not_name_is_refused(hosts, signed):
    hosts.allow("127.0.0.2", "10.0.0.0/8", "'::1'")
    with hosts.both():
        assert f"{HERE} is not among remote_hosts" in signed()
        hosts.allow("127.0.0.0/29")
        assert bytes.fromhex(signed())


def test_a_user_of_the_other_host_cannot_ask_without_its_relay(hosts):
    with hosts.signer(), socket.create_connection((hosts.where.name, hosts.where.port), BOUND) as connection:
        assert code_of(receive_message(connection, 1 << 16)) == "remote.port"


def test_a_credential_counts_once(hosts):
    used = []

    def once(challenge: bytes) -> bytes:
        used.append((challenge, made_as(NOBODY)(challenge)))
        return used[0][1]

    with hosts.signer():
        assert code_of(ask(hosts.where, once, STATUS)) == "ready"
        assert code_of(ask(hosts.where, lambda _: used[0][1], STATUS)) == "remote.credential"
        # Nor one that munged has not seen, made for another connection.
        fresh = made_as(NOBODY)(used[0][0])
        assert code_of(ask(hosts.where, lambda _: fresh, STATUS)) == "remote.binding"
    assert "Replayed" in hosts.signing.decisions()


def test_what_proves_nothing_is_refused(hosts):
    cases = {
        made_as(NOBODY): "ready",
        made_as(NOBODY, body=b"another"): "remote.binding",
        made_as(NOBODY, reader=4242): "remote.credential",
        made_as(NOBODY, reader=munge.ANYONE): "remote.credential",
        made_as(0): "remote.root",
        lambda _: munge.credential(b"", reader=0, seconds=SECONDS): "remote.binding",
        lambda _: b"MUNGE:AwQFAAD2zq7oMiIO9:": "remote.credential",
        lambda _: b"\0\xff": "remote.credential",
        lambda _: b"": "remote.credential",
        lambda _: b"x" * (CREDENTIAL_LIMIT + 1): "remote.credential",
    }
    with hosts.signer():
        found = [code_of(ask(hosts.where, made, STATUS)) for made in cases]
    assert found == list(cases.values())


def test_an_expired_credential_is_refused(hosts):
    def late(challenge: bytes) -> bytes:
        text = made_as(NOBODY, seconds=1)(challenge)
        over = time.time() + 2
        while time.time() <= over:  # munged counts in whole seconds of this clock
            time.sleep(0.1)
        return text

    with hosts.signer():
        assert code_of(ask(hosts.where, late, STATUS)) == "remote.credential"
    assert "Expired" in hosts.signing.decisions()


def test_a_cluster_with_another_key_proves_nothing(hosts, signed):
    with munged(b"\7" * KEY_BYTES) as other, hosts.signer(), hosts.relay(munged=other):
        assert "Invalid credential" in signed()


@pytest.mark.parametrize(("side", "code"), [("relay", "relay.munge"), ("signer", "remote.munge")])
def test_a_host_without_munge_says_so(hosts, signed, side, code):
    gone = {side: hosts.signing.directory / "gone"}
    with hosts.signer(munged=gone.get("signer")), hosts.relay(munged=gone.get("relay")):
        assert "MUNGE does not answer on this host" in signed()
    assert code in hosts.signing.decided()


def test_a_host_without_munge_is_no_refusal_for_security(hosts):
    with hosts.signer(munged=hosts.signing.directory / "gone"):
        assert json.loads(ask(hosts.where, made_as(NOBODY), STATUS))["exit_code"] == ExitCode.FAILED


def test_a_signing_host_that_is_not_there_is_named(hosts, signed):
    with hosts.relay():
        assert f"the signing host {hosts.address} did not answer: Connection refused" in signed()


# What somebody on the way has exchanged, for instance.
def test_a_reply_that_this_host_does_not_trust_is_no_reply(hosts, signed):
    for key in hosts.other.trusted_keys.glob("*.pem"):
        key.unlink()
    with hosts.both():
        assert "no key is trusted on this host" in signed()
    assert hosts.signing.decided() == {"signed": 1, "relay.reply": 1}


def frames(*messages: bytes) -> bytes:
    return b"".join(LENGTH.pack(len(each)) + each for each in messages)


CHALLENGE = b'{"version":1,"nonce":"' + b"ab" * 32 + b'"}'


# A signing host that is something else, or was taken over.
@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"", "relay.connection"),
        (b"\0", "relay.connection"),
        (LENGTH.pack(0xFFFFFFFF), "relay.connection"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", "relay.connection"),
        (frames(b"[" * 50000), "relay.reply"),
        (frames(b"\xff"), "relay.reply"),
        (frames(b"[]"), "relay.reply"),
        (frames(b"{}"), "relay.reply"),
        (frames(b'{"version":2,"nonce":"ab"}'), "relay.reply"),
        (frames(b'{"version":1,"nonce":"xy"}'), "relay.reply"),
        (frames(CHALLENGE), "relay.connection"),
        (frames(CHALLENGE, b"{}"), "relay.reply"),
        (frames(CHALLENGE, b"[]"), "relay.reply"),
        (frames(CHALLENGE, b'{"status":"signed"}'), "relay.reply"),
        (frames(CHALLENGE, b'{"probe_file":"AAAA","status":"signed"}'), "relay.reply"),
        (frames(CHALLENGE, b'{"probe_file":5,"status":"signed"}'), "relay.reply"),
    ],
)
def test_whatever_the_signing_host_sends_the_user_gets_a_refusal(hosts, sent, code):
    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 16):
                pass

    where = hosts.where
    with socket.create_server((where.name, where.port)) as listener:
        listener.settimeout(BOUND)
        other = threading.Thread(target=serve, args=(listener,))
        other.start()
        caller = Caller(NOBODY, NOBODY, 1, "nobody", frozenset(), (NOBODY,))
        data = answer(lambda: asked(where, caller, STATUS), EXCHANGE, 1 << 20)
        found = answer(lambda: relayed(where, caller, data + STATUS), CHECK, 1 << 20)
        other.join(BOUND)
    (size,) = LENGTH.unpack_from(found)
    report = read_report(found[LENGTH.size : LENGTH.size + size])
    assert (report.decision, report.code, report.fault) == ("refused", code, "")


def asked_by(hosts: TwoHosts, uid: int, held: ExitStack) -> socket.socket:
    """A user's request at the relay."""
    connection = held.enter_context(socket.socket(socket.AF_UNIX))
    connection.settimeout(BOUND)
    with as_user(uid):
        connection.connect(str(hosts.other.signing_socket))
    connection.sendall(frames(STATUS))
    return connection


PATIENT = "from datacrumbs.signer import relay as module; module.CONNECT_SECONDS = 600.0"


def test_who_waits_for_a_signing_host_that_hangs_keeps_no_other_user_waiting(hosts):
    """Three once held all places, as long as the relay waited for the beginning of an answer."""
    users = range(1, LIMITS.checks + 1)  # with accounts: ids without any are one user
    with socket.create_server((hosts.where.name, hosts.where.port)) as listener, ExitStack() as held:
        listener.settimeout(BOUND)
        with hosts.relay(before=PATIENT):
            waiting = []
            for uid in users:
                waiting.append(asked_by(hosts, uid, held))
                held.enter_context(listener.accept()[0])
            last = asked_by(hosts, users.stop, held)
            with listener.accept()[0] as connection:
                connection.sendall(frames(b'{"status":"refused","code":"test","message":"m","hint":"","exit_code":1}'))
                assert code_of(receive_message(last, 1 << 16)) == "test"
            assert not select.select(waiting, [], [], 0)[0]
            held.close()  # nor does the relay wait for these at its end


def test_a_reply_is_judged_without_roots_rights(monkeypatch):
    def refuse(*_: object) -> None:
        raise DenialError("ids", repr(os.getresuid()))

    monkeypatch.setattr(relay_module, "_checked", refuse)
    where = SigningHost("nowhere", 1, Path("/"))
    caller = Caller(NOBODY, NOBODY, 1, "nobody", frozenset(), (NOBODY,))
    found = answer(lambda: relayed(where, caller, frames(ANSWERED + b"{}") + STATUS), CHECK, 1 << 20)
    assert repr((LOOKING_ID,) * 3).encode() in found


def test_the_limits_of_a_relay_add_up_to_less_than_its_units():
    text = unit_text(RELAY_UNIT, SystemPaths(Path("/")))
    most = int(re.search(r"^MemoryMax=(\d+)G$", text, re.MULTILINE)[1]) << 10
    used = LIMITS.memory + LIMITS.checks * LIMITS.check.memory + EXCHANGES * EXCHANGE.memory
    assert used // MIB + 256 < most  # with what the relay itself and its libraries take
    assert LIMITS.memory_per_user >= REQUEST_LIMIT + REPLY_LIMIT
    assert LIMITS.memory_per_user * 2 + REQUEST_LIMIT <= LIMITS.memory
    assert EXCHANGES <= UNPROVEN_OF_A_HOST // 2


def test_connections_that_prove_nothing_are_bounded_and_take_no_users_place(hosts, signed):
    with hosts.signer(PROOF_SECONDS=600), hosts.relay(), ExitStack() as held:
        for _ in range(UNPROVEN_OF_A_HOST):
            last = held.enter_context(connected(hosts.where))
            assert "nonce" in json.loads(receive_message(last, 1 << 16))
        with connected(hosts.where) as one_more:
            assert code_of(receive_message(one_more, 1 << 16)) == "service.busy"
        # Users of the signing host itself notice nothing.
        assert service_key_id(hosts.signing.paths)
        last.close()
        assert bytes.fromhex(signed())  # by trying again, as commands do


def held_by(hosts: TwoHosts, uid: int, held: ExitStack) -> socket.socket:
    """A connection that is proven, and whose request does not come."""
    connection = held.enter_context(connected(hosts.where))
    text = made_as(uid)(receive_message(connection, 1 << 16))
    connection.sendall(LENGTH.pack(len(text)) + text)
    return connection


STRANGER = 2_000_000_000


def test_the_users_of_one_host_are_bounded_together(hosts):
    """Its root can be each of them; those of the signing host notice nothing."""
    with hosts.signer("request_seconds=300", OF_A_HOST=3), ExitStack() as held:
        waiting = {uid: held_by(hosts, uid, held) for uid in (1, 2, 3)}
        end, code = time.monotonic() + BOUND, ""
        while code != "service.busy":
            assert code in {"", "ready"}
            assert time.monotonic() < end
            for uid, connection in waiting.items():
                if select.select([connection], [], [], 0)[0]:  # refused: the one below was there first
                    waiting[uid] = held_by(hosts, uid, held)
            code = code_of(ask(hosts.where, made_as(STRANGER), STATUS))
        assert service_key_id(hosts.signing.paths)
        waiting[1].close()
        while code == "service.busy":
            assert time.monotonic() < end
            code = code_of(ask(hosts.where, made_as(STRANGER), STATUS))


def test_newcomers_of_one_host_are_bounded_together(hosts):
    with hosts.signer(NEWCOMERS_OF_A_HOST=0):
        assert code_of(ask(hosts.where, made_as(STRANGER), STATUS)) == "service.busy"
        assert service_key_id(hosts.signing.paths)


def test_half_of_a_users_connections_are_for_other_hosts(hosts, as_nobody):
    with hosts.signer("connections_per_user=8, request_seconds=300"), ExitStack() as held:
        waiting = [held_by(hosts, NOBODY, held) for _ in range(4)]
        end, code = time.monotonic() + BOUND, ""
        while code != "service.busy":
            assert code in {"", "ready"}
            assert time.monotonic() < end
            refused = select.select(waiting, [], [], 0)[0]  # those that came when the one below was there
            waiting = [held_by(hosts, NOBODY, held) if each in refused else each for each in waiting]
            code = code_of(ask(hosts.where, made_as(NOBODY), STATUS))
        assert as_nobody(lambda: service_key_id(hosts.signing.paths))


# Requests of other hosts are judged without end.
ENDLESS = """
import signal
from datacrumbs.signer.service import Service
judge = Service.judge
Service.judge = lambda self, peer, *rest: (signal.pause() if peer.host else b"") or judge(self, peer, *rest)
"""


def test_a_check_is_left_for_users_of_the_signing_host(hosts):
    with hosts.signer("checks=2", before=ENDLESS, OF_A_HOST=2), ExitStack() as held:

        def asking(uid: int) -> socket.socket:
            connection = held_by(hosts, uid, held)
            connection.sendall(LENGTH.pack(len(STATUS)) + STATUS)
            return connection

        waiting = {uid: asking(uid) for uid in (1, 2)}
        end, code = time.monotonic() + BOUND, ""
        while code != "service.busy":  # both are in
            assert time.monotonic() < end
            for uid, connection in waiting.items():
                if select.select([connection], [], [], 0)[0]:  # refused: the one below was there first
                    waiting[uid] = asking(uid)
            with connected(hosts.where) as third:
                text = made_as(3)(receive_message(third, 1 << 16))
                third.sendall(LENGTH.pack(len(text)) + text)
                if select.select([third], [], [], 1)[0]:
                    code = code_of(receive_message(third, 1 << 16))
        assert service_key_id(hosts.signing.paths)


def test_a_users_connections_of_all_hosts_are_one_share(hosts):
    with hosts.signer(limits="connections_per_user=1, request_seconds=300"), ExitStack() as held:

        def hold() -> socket.socket:
            return held_by(hosts, NOBODY, held)

        first, end, code = hold(), time.monotonic() + BOUND, ""
        while code != "service.busy":
            assert code in {"", "ready"}
            assert time.monotonic() < end
            if select.select([first], [], [], 0)[0]:  # refused: the other one was there first
                first = hold()
            code = code_of(ask(hosts.where, made_as(NOBODY), STATUS))


@pytest.mark.parametrize(
    ("text", "found"),
    [("10.0.0.1:7411", ("10.0.0.1", 7411)), ("[fd00::1]:65535", ("fd00::1", 65535)), ("login1:1", ("login1", 1))],
)
def test_a_host_with_a_port(text, found):
    assert host_and_port(text, "signing_host") == found


@pytest.mark.parametrize("text", ["", "10.0.0.1", "10.0.0.1:", ":7411", "fd00::1:7411", "a:0", "a:65536", "a:7x"])
def test_what_is_no_host_with_a_port(text):
    with pytest.raises(DatacrumbsError, match=r"signing_host: .* expected e\.g\. 10\.0\.0\.1:7411") as caught:
        host_and_port(text, "signing_host")
    assert caught.value.exit_code is ExitCode.USAGE
