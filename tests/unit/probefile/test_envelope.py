from __future__ import annotations

import base64
import gzip
import json

import pytest

from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.probefile import envelope as envelopes
from datacrumbs.probefile.codec import digest, encode
from datacrumbs.probefile.envelope import PAYLOAD_TYPE, Grant, key_id, pre_authentication_encoding, seal
from datacrumbs.probefile.storage import read_probe_file, unverified_grant, write_probe_file

from .refusing import refused, rewrap


def test_a_signed_file_is_read(bench, now):
    signed = read_probe_file(bench.path, bench.trust, now=now, uid=1000)
    assert signed.plan == bench.plan
    assert signed.grant == bench.grant
    assert signed.key_id == key_id(bench.key.public_key())
    assert signed.digest == digest(encode(bench.plan))
    assert signed.verified
    assert unverified_grant(bench.path) == bench.grant


def test_the_same_inputs_give_the_same_bytes(bench):
    assert bench.write() == bench.write()


def test_pre_authentication_encoding_is_the_standards_own_example():
    # The example in protocol.md of DSSE 1.0.0.
    encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_the_envelope_is_dsse(bench):
    document = json.loads(gzip.decompress(bench.path.read_bytes()))
    assert sorted(document) == ["payload", "payloadType", "signatures"]
    assert document["payloadType"] == PAYLOAD_TYPE
    payload = base64.b64decode(document["payload"])
    bench.key.public_key().verify(
        base64.b64decode(document["signatures"][0]["sig"]), pre_authentication_encoding(PAYLOAD_TYPE, payload)
    )


def test_every_altered_byte_of_the_payload_is_refused(bench, now):
    payload = base64.b64decode(json.loads(gzip.decompress(bench.path.read_bytes()))["payload"])
    original = bench.path.read_bytes()
    for position in range(0, len(payload), 23):
        changed = bytearray(payload)
        changed[position] ^= 1
        bench.path.write_bytes(original)
        rewrap(bench, lambda d, c=changed: d.update(payload=base64.b64encode(c).decode()))
        refused(bench, now, "the signature does not match")


@pytest.mark.parametrize("grant", [b"[" * 4000, b'{"a":' * 700, b"1", b"", b"\xff"])
def test_a_grant_that_is_none_is_refused(bench, grant):
    payload = b'{"grant":' + grant
    rewrap(bench, lambda document: document.update(payload=base64.b64encode(payload).decode()))
    with pytest.raises(DatacrumbsError, match="not understood") as caught:
        unverified_grant(bench.path)
    assert caught.value.exit_code == ExitCode.REFUSED


def test_an_altered_grant_is_refused(bench, now):
    payload = base64.b64decode(json.loads(gzip.decompress(bench.path.read_bytes()))["payload"])
    changed = payload.replace(b'"uid":1000', b'"uid":1001')
    assert changed != payload
    rewrap(bench, lambda document: document.update(payload=base64.b64encode(changed).decode()))
    refused(bench, now, "the signature does not match", uid=1001)


def test_no_change_of_any_byte_of_the_file_gives_another_plan(bench, now):
    original = bench.path.read_bytes()
    for position in range(len(original)):
        changed = bytearray(original)
        changed[position] ^= 0x41
        bench.path.write_bytes(changed)
        try:
            signed = read_probe_file(bench.path, bench.trust, now=now, uid=1000)
        except DatacrumbsError as error:
            assert error.exit_code == ExitCode.REFUSED  # noqa: PT017 - some bytes of gzip's header mean nothing
        else:
            assert (signed.plan, signed.grant) == (bench.plan, bench.grant)


def test_expired(bench):
    refused(bench, bench.grant.expires, "expired at 2023-11-14 23:13:20 UTC")


def test_not_yet_valid(bench):
    refused(bench, bench.grant.issued - 301, "not valid before 2023-11-14 22:13:20 UTC")


def test_a_clock_that_is_five_minutes_behind_is_forgiven(bench):
    assert read_probe_file(bench.path, bench.trust, now=bench.grant.issued - 300, uid=1000)


def test_another_users_grant(bench, now):
    refused(bench, now, r"granted to ada \(uid 1000\), not to uid 1001", uid=1001)


def test_any_users_grant_when_no_user_is_asked_for(bench, now):
    assert read_probe_file(bench.path, bench.trust, now=now, uid=None).grant.uid == 1000


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(payloadType="text/plain"),
        lambda d: d.update(signatures=[]),
        lambda d: d.update(signatures=d["signatures"] * 2),
        lambda d: d.update(payload="%%%"),
        lambda d: d.update(payload=7),
        lambda d: d["signatures"][0].update(keyid="../../etc/passwd"),
        lambda d: d["signatures"][0].update(sig="A" * 4000),
        lambda d: d.pop("payloadType"),
    ],
)
def test_what_is_no_envelope(bench, now, change):
    rewrap(bench, change)
    refused(bench, now, "not a probe file: ")


def test_a_signed_payload_that_is_no_plan(bench, now):
    bench.path.write_bytes(seal(b'{"format":"other/1"}', bench.grant, bench.key))
    refused(bench, now, "not understood: plan: ")


def test_a_signed_payload_that_is_not_canonical(bench, now):
    bench.path.write_bytes(seal(encode(bench.plan) + b" ", bench.grant, bench.key))
    refused(bench, now, "not in canonical form")


def test_nothing_is_parsed_before_the_signature_is_verified(bench, now, monkeypatch):
    parsed = []
    monkeypatch.setattr(envelopes, "plan_from_document", lambda *_: parsed.append(1))
    rewrap(bench, lambda d: d["signatures"][0].update(sig=base64.b64encode(bytes(64)).decode()))
    refused(bench, now, "the signature does not match")
    assert parsed == []


def test_a_name_that_would_act_on_a_terminal_is_no_grant(bench, now):
    bench.grant = Grant(1000, "ada\x1b[2J", "login1", bench.grant.issued, bench.grant.expires)
    bench.write()
    refused(bench, now, "not understood: grant.user")


class TestWriting:
    def test_replaces_whole_and_leaves_nothing_behind(self, tmp_path):
        path = tmp_path / "p.json.gz"
        write_probe_file(path, b"one")
        write_probe_file(path, b"two")
        assert path.read_bytes() == b"two"
        assert list(tmp_path.iterdir()) == [path]
        assert path.stat().st_mode & 0o777 == 0o644

    def test_does_not_follow_a_link(self, tmp_path):
        victim, path = tmp_path / "victim", tmp_path / "p.json.gz"
        victim.write_bytes(b"mine")
        path.symlink_to(victim)
        write_probe_file(path, b"new")
        assert victim.read_bytes() == b"mine"
        assert not path.is_symlink()

    def test_a_failed_write_is_an_error_and_leaves_no_file(self, tmp_path):
        with pytest.raises(DatacrumbsError, match="cannot be written: No such file or directory; nothing was written"):
            write_probe_file(tmp_path / "absent" / "p.json.gz", b"x")
        (tmp_path / "p.json.gz").mkdir()
        with pytest.raises(DatacrumbsError, match="not a regular file; nothing was written"):
            write_probe_file(tmp_path / "p.json.gz", b"x")
        assert [entry.name for entry in tmp_path.iterdir()] == ["p.json.gz"]

    def test_names_with_dollars_and_newlines_are_only_names(self, tmp_path):
        path = tmp_path / "$(touch x)\n`id`.gz"
        write_probe_file(path, b"x")
        assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
