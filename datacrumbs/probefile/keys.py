"""Public keys: where a host keeps the ones that it trusts, and when it believes that directory."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from datacrumbs.errors import refusal
from datacrumbs.probefile.envelope import key_id
from datacrumbs.secure.files import check_protected, read_bounded

if TYPE_CHECKING:
    from pathlib import Path

KEY_FILE_LIMIT = 16 * 1024


def trusted_key(directory: Path, wanted: str, name: str) -> Ed25519PublicKey:
    """The trusted public key with an identity.

    Args:
        directory: The trust directory, one ``<key id>.pem`` per key.
        wanted: Key id, 64 hex digits, as the envelope claims it.
        name: The probe file, for messages.

    Raises:
        DatacrumbsError: (exit 3) when the directory or the key file is missing, or when somebody
            else than the administrator may change it.
    """
    known = trusted_key_ids(directory)
    if not known:
        raise refusal(
            f"{directory}: no key is trusted on this host, so no probe file can be verified",
            f"copy the signing host's public key <key id>.pem into {directory}, or run datacrumbs_setup",
        )
    if wanted not in known:
        raise refusal(
            f"{name}: signed with key {wanted[:16]}, which is not trusted here; "
            f"trusted: {', '.join(entry[:16] for entry in known)}",
            f"if that signer is yours, copy its {wanted}.pem into {directory}",
        )
    path = directory / f"{wanted}.pem"
    key = parse_public_key(read_bounded(path, KEY_FILE_LIMIT, protected=True), path)
    if key_id(key) != wanted:
        raise refusal(f"{path}: holds key {key_id(key)[:16]}, not the one that its name says")
    return key


def trusted_key_ids(directory: Path) -> list[str]:
    """The identities of the keys in a trust directory, sorted; empty when there is none.

    Raises:
        DatacrumbsError: (exit 3) when somebody else may change the directory.
    """
    try:
        status = directory.lstat()
        if not stat.S_ISDIR(status.st_mode):
            raise refusal(f"{directory}: not a directory")
        check_protected(directory, status)
        return sorted(path.stem for path in directory.glob("*.pem"))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise refusal(f"{directory}: cannot be read: {error.strerror}") from None


def parse_public_key(data: bytes, path: Path) -> Ed25519PublicKey:
    """An Ed25519 public key from PEM.

    Raises:
        DatacrumbsError: (exit 3) for anything else.
    """
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise refusal(f"{path}: not a public key in PEM form") from None
    if not isinstance(key, Ed25519PublicKey):
        raise refusal(f"{path}: not an Ed25519 key")
    return key


def public_key_pem(key: Ed25519PublicKey) -> bytes:
    """The PEM form of a public key."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def key_file_name(key: Ed25519PublicKey) -> str:
    """Name of a key's file in the trust directory."""
    return f"{key_id(key)}.pem"
