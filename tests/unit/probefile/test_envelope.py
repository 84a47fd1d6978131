from __future__ import annotations

import base64
import gzip
import json
import os
import subprocess
import sys
import zlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.probefile import envelope as envelopes
from datacrumbs.probefile.codec import canonical, digest, encode
from datacrumbs.probefile.envelope import PAYLOAD_TYPE, Grant, key_id, pre_authentication_encoding, seal
from datacrumbs.probefile.keys import public_key_pem
from datacrumbs.probefile.storage import read_probe_file, read_unverified, unverified_grant, write_probe_file


def refused(bench, now, message, uid=1000):
    with pytest.raises(DatacrumbsError, match=message) as caught:
        read_probe_file(bench.path, bench.trust, now=now, uid=uid)
    assert caught.value.exit_code == ExitCode.REFUSED
    return caught.value


def rewrap(bench, change):
    document = json.loads(gzip.decompress(bench.path.read_bytes()))
    change(document)
    bench.path.write_bytes(gzip.compress(canonical(document)))


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


def test_no_key_is_trusted(bench, now):
    bench.key_file.unlink()
    refused(bench, now, "no key is trusted on this host")


def test_there_is_no_trust_directory(bench, now):
    bench.key_file.unlink()
    bench.trust.rmdir()
    refused(bench, now, "no key is trusted on this host")


def test_an_unknown_key(bench, now):
    bench.key = Ed25519PrivateKey.generate()
    bench.write()
    refused(bench, now, "which is not trusted here")


def test_a_wrong_key_that_claims_a_trusted_one(bench, now):
    trusted = key_id(bench.key.public_key())
    bench.key = Ed25519PrivateKey.generate()
    bench.write()
    rewrap(bench, lambda document: document["signatures"][0].update(keyid=trusted))
    refused(bench, now, "the signature does not fit")


def test_a_key_file_under_a_wrong_name(bench, now):
    bench.key_file.write_bytes(public_key_pem(Ed25519PrivateKey.generate().public_key()))
    refused(bench, now, "not the one that its name says")


def test_every_altered_byte_of_the_payload_is_refused(bench, now):
    payload = base64.b64decode(json.loads(gzip.decompress(bench.path.read_bytes()))["payload"])
    original = bench.path.read_bytes()
    for position in range(0, len(payload), 23):
        changed = bytearray(payload)
        changed[position] ^= 1
        bench.path.write_bytes(original)
        rewrap(bench, lambda d, c=changed: d.update(payload=base64.b64encode(c).decode()))
        refused(bench, now, "the signature does not fit")


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
    refused(bench, now, "the signature does not fit", uid=1001)


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


@pytest.mark.parametrize("length", [0, 1, 9, 10, 11, 100, -1, -8, -9])
def test_a_truncated_file(bench, now, length):
    data = bench.path.read_bytes()
    bench.path.write_bytes(data[:length])
    refused(bench, now, "cut short|not gzip")


def test_a_file_that_is_not_gzip(bench, now):
    bench.path.write_bytes(b"#!/bin/sh\nid\n" * 9)
    refused(bench, now, "not gzip")


def test_bytes_after_the_gzip_stream(bench, now):
    bench.path.write_bytes(bench.path.read_bytes() * 2)
    refused(bench, now, "bytes follow the gzip stream")


def test_an_unsigned_plan(bench, now):
    bench.path.write_bytes(gzip.compress(encode(bench.plan)))
    refused(bench, now, "not a probe file: ")


@pytest.mark.parametrize("unit", [b'{"a":', b"[", b"[],", b'"a":1,'])
def test_what_is_not_verified_takes_little_memory(bench, unit):
    """Up to 64 MiB of JSON in 100 KB: a parser would make gigabytes of objects of it."""
    head = b'{"payload":'
    bench.path.write_bytes(gzip.compress(head + unit * ((60 << 20) // len(unit))))
    code = (
        "import resource, sys, time\n"
        "from pathlib import Path\n"
        "from datacrumbs.errors import DatacrumbsError\n"
        "from datacrumbs.probefile.storage import read_probe_file\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n"
        "    read_probe_file(Path(sys.argv[1]), Path(sys.argv[2]), now=time.time(), uid=None)\n"
        "except DatacrumbsError as error:\n"
        "    print(int(error.exit_code), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, bench.path, bench.trust], capture_output=True, text=True, check=True
    )
    status, mebibytes = map(int, done.stdout.split())
    assert status == ExitCode.REFUSED
    assert mebibytes < 160


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


def test_a_zip_bomb_is_refused_in_bounded_memory(bench, now):
    compressor = zlib.compressobj(9, wbits=31)
    bomb = b"".join(compressor.compress(bytes(1 << 20)) for _ in range(256)) + compressor.flush()
    assert len(bomb) < 1 << 20
    bench.path.write_bytes(bomb)
    refused(bench, now, "expands to more than 67108864 bytes")


def test_a_file_that_is_too_large(bench, now):
    with bench.path.open("r+b") as stream:
        stream.truncate((16 << 20) + 1)
    refused(bench, now, "larger than 16777216 bytes")


def test_a_symbolic_link(bench, now, tmp_path):
    real = tmp_path / "real"
    bench.path.rename(real)
    bench.path.symlink_to(real)
    refused(bench, now, "a symbolic link")


def test_a_fifo_does_not_block(bench, now):
    bench.path.unlink()
    os.mkfifo(bench.path)
    refused(bench, now, "not a regular file")


def test_a_directory_and_a_device(bench, now):
    bench.path.unlink()
    bench.path.mkdir()
    refused(bench, now, "not a regular file")
    bench.path.rmdir()
    with pytest.raises(DatacrumbsError, match="not a regular file"):
        read_probe_file(bench.path.__class__("/dev/zero"), bench.trust, now=now, uid=None)


def test_a_missing_file_is_a_mistake_of_the_command_line(bench, now):
    bench.path.unlink()
    with pytest.raises(DatacrumbsError, match="No such file") as caught:
        read_probe_file(bench.path, bench.trust, now=now, uid=None)
    assert caught.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777, 0o1777])
def test_a_trust_directory_that_others_may_write(bench, now, mode):
    bench.trust.chmod(mode)
    refused(bench, now, "writable by others")


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_a_key_file_that_others_may_write(bench, now, mode):
    bench.key_file.chmod(mode)
    refused(bench, now, "writable by others")


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_keys_of_another_owner(bench, now):
    os.chown(bench.key_file, 65534, 65534)
    refused(bench, now, "owned by uid 65534, expected root")
    os.chown(bench.key_file, 0, 0)
    os.chown(bench.trust, 65534, 65534)
    refused(bench, now, "owned by uid 65534, expected root")


def test_links_in_the_place_of_keys(bench, now, tmp_path):
    bench.key_file.rename(tmp_path / "key")
    bench.key_file.symlink_to(tmp_path / "key")
    refused(bench, now, "a symbolic link")
    bench.trust.rename(tmp_path / "elsewhere")
    bench.trust.symlink_to(tmp_path / "elsewhere")
    refused(bench, now, "not a directory")


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_a_key_file_that_is_no_key(bench, now, content):
    bench.key_file.write_bytes(content)
    refused(bench, now, "not a public key in PEM form")


def test_nothing_is_parsed_before_the_signature_is_verified(bench, now, monkeypatch):
    parsed = []
    monkeypatch.setattr(envelopes, "plan_from_document", lambda *_: parsed.append(1))
    rewrap(bench, lambda d: d["signatures"][0].update(sig=base64.b64encode(bytes(64)).decode()))
    refused(bench, now, "the signature does not fit")
    assert parsed == []


def test_unverified_reading_says_so(bench):
    bench.key_file.unlink()
    assert not read_unverified(bench.path).verified


def test_a_name_that_would_act_on_a_terminal_is_no_grant(bench, now):
    bench.grant = Grant(1000, "ada\x1b[2J", "login1", bench.grant.issued, bench.grant.expires)
    bench.write()
    refused(bench, now, "not understood: plan: grant.user")


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
