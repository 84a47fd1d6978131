"""The signed summary of a run: what is read of it, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.probefile.codec import canonical
from datacrumbs.probefile.envelope import PAYLOAD_TYPE as OF_PLANS
from datacrumbs.probefile.envelope import enveloped, key_id
from datacrumbs.probefile.keys import key_file_name, public_key_pem
from datacrumbs.seal.statement import PAYLOAD_TYPE, SealedPart, Summary, read_seal, sealed

if TYPE_CHECKING:
    from pathlib import Path


SUMMARY = Summary(
    run_id="4711",
    uid=1000,
    user="ada",
    host="node7",
    kernel="6.18.1",
    datacrumbs="0.1.0",
    plan="a" * 64,
    key_id="b" * 64,
    begin=1,
    end=2,
    ended_by="signal",
    complete=True,
    counts=(("entered", 23), ("lost_ring_full", 3), ("recorded", 20)),
    parts=(SealedPart("x.pfw.gz", 5, "c" * 64), SealedPart("x.1.pfw.gz", 7, "")),
)


@pytest.fixture
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture
def keys(tmp_path: Path, key: Ed25519PrivateKey) -> Path:
    directory = tmp_path / "seal-keys"
    directory.mkdir(mode=0o755)
    (directory / key_file_name(key.public_key())).write_bytes(public_key_pem(key.public_key()))
    return directory


def refused(path: Path, data: bytes, keys: Path, words: str) -> None:
    path.write_bytes(data)
    with pytest.raises(DatacrumbsError, match=words) as caught:
        read_seal(path, keys)
    assert caught.value.exit_code == ExitCode.REFUSED


def test_what_was_sealed_is_read(tmp_path: Path, key: Ed25519PrivateKey, keys: Path) -> None:
    path = tmp_path / "seal"
    path.write_bytes(sealed(SUMMARY, key))
    assert sealed(SUMMARY, key) == path.read_bytes()
    found = read_seal(path, keys)
    assert found.summary == SUMMARY
    assert found.key_id == key_id(key.public_key())


def test_what_is_no_seal_of_a_node_that_is_believed(tmp_path: Path, key: Ed25519PrivateKey, keys: Path) -> None:
    path, data = tmp_path / "seal", sealed(SUMMARY, key)
    for place in range(len('{"payload":"'), len(data) - 100, 41):
        changed = data[:place] + (b"A" if data[place : place + 1] != b"A" else b"B") + data[place + 1 :]
        refused(path, changed, keys, "not a seal|does not match|not trusted")
    refused(path, data[:-20], keys, "not a seal")
    refused(path, b"", keys, "did not finish")
    refused(path, sealed(SUMMARY, Ed25519PrivateKey.generate()), keys, "not trusted here")
    refused(path, data, tmp_path / "none", "not trusted here")


def test_a_signature_of_one_kind_is_none_of_the_other(tmp_path: Path, key: Ed25519PrivateKey, keys: Path) -> None:
    plan = enveloped(OF_PLANS, canonical({"grant": {}}), key)
    refused(tmp_path / "seal", plan, keys, "not a seal")
    renamed = plan.replace(OF_PLANS.encode(), PAYLOAD_TYPE.encode())
    refused(tmp_path / "seal", renamed, keys, "does not match")


@pytest.mark.parametrize(
    "changed",
    [
        replace(SUMMARY, host="node\x1b[2J"),
        replace(SUMMARY, uid=-1),
        replace(SUMMARY, plan="a"),
        replace(SUMMARY, parts=()),
        replace(SUMMARY, parts=(SealedPart("x\n", 1, ""),)),
        replace(SUMMARY, counts=(("entered", 1 << 70),)),
        replace(SUMMARY, counts=(("\x1b", 1),)),
    ],
)
def test_what_no_daemon_seals(changed: Summary, tmp_path: Path, key: Ed25519PrivateKey, keys: Path) -> None:
    refused(tmp_path / "seal", sealed(changed, key), keys, "not understood")
