"""Which keys a host trusts."""

from __future__ import annotations

import os

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from datacrumbs.probefile.envelope import key_id
from datacrumbs.probefile.keys import public_key_pem

from .refusing import refused, rewrap


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
    refused(bench, now, "the signature does not match")


def test_a_key_file_under_a_wrong_name(bench, now):
    bench.key_file.write_bytes(public_key_pem(Ed25519PrivateKey.generate().public_key()))
    refused(bench, now, "not the one that its name says")


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
