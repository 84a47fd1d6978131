"""The signing key: made once, root-owned, mode 0400, on the signing host only."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from datacrumbs.errors import DatacrumbsError, refusal
from datacrumbs.secure.files import check_protected, open_regular, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

KEY_MODE = 0o400
KEY_FILE_LIMIT = 16 * 1024


def new_private_key() -> Ed25519PrivateKey:
    """A new key, in memory."""
    return Ed25519PrivateKey.generate()


def write_private_key(path: Path, key: Ed25519PrivateKey) -> None:
    """Write a key with mode 0400."""
    write_atomically(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), KEY_MODE)


def load_private_key(path: Path) -> Ed25519PrivateKey:
    """Read the signing key.

    Raises:
        DatacrumbsError: (exit 3) when anybody else than the owner may read it, or the owner is not
            root; (exit 1) when it is missing.
    """
    if not path.exists() and not path.is_symlink():
        raise DatacrumbsError(f"{path}: no signing key", hint="run datacrumbs_setup --stage login as root")
    descriptor = open_regular(path)
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        check_protected(path, status)
        mode = stat.S_IMODE(status.st_mode)
        if mode & ~KEY_MODE & ~stat.S_IWUSR:
            raise refusal(
                f"{path}: mode {mode:04o}, expected 0400",
                f"chmod 0400 {path}; if others may have read it, replace the key",
            )
        data = stream.read(KEY_FILE_LIMIT)
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError):
        raise refusal(f"{path}: not a private key in PEM form") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise refusal(f"{path}: not an Ed25519 key")
    return key
