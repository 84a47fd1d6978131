"""Probe files on disk: verify first, parse after; write whole or not at all."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from datacrumbs.errors import RECREATE, refusal, reworded
from datacrumbs.probefile.envelope import COMPRESSED_LIMIT, open_envelope, read_grant, read_payload, verify
from datacrumbs.probefile.keys import trusted_key
from datacrumbs.probefile.revocation import read_revocations
from datacrumbs.secure.files import read_bounded, write_atomically
from datacrumbs.secure.user_rights import rights_of_account

if TYPE_CHECKING:
    from pathlib import Path

    from datacrumbs.probefile.envelope import Grant, SignedPlan

# Clocks of nodes differ; a grant may seem to start this many seconds in the future.
CLOCK_TOLERANCE = 300


def read_probe_file(
    path: Path, trusted_keys_dir: Path, *, now: float, uid: int | None, as_user: int | None = None
) -> SignedPlan:
    """Read and verify a probe file. The file is read once; its targets are not looked at (`OpenTargets`).

    Args:
        path: The file; no symbolic link, at most 16 MiB, expanding to at most 64 MiB.
        trusted_keys_dir: Directory of trusted public keys, and of what was revoked.
        now: Seconds since the epoch.
        uid: The user whose processes are to be traced; None accepts every user's grant.
        as_user: The user with whose rights the file is opened; None for those of this process.

    Raises:
        DatacrumbsError: (exit 3) a message of its own for each refusal; (exit 1) when the file is missing.
    """
    with rights_of_account(as_user):
        data = _bytes(path)
    return verified(data, str(path), trusted_keys_dir, now=now, uid=uid)


def verified(data: bytes, name: str, trusted_keys_dir: Path, *, now: float, uid: int | None) -> SignedPlan:
    """Verify the bytes of a probe file; `read_probe_file` has more.

    Args:
        data: The bytes.
        name: How messages call them.
        trusted_keys_dir: As for `read_probe_file`, with the rest.
        now: Likewise.
        uid: Likewise.

    Raises:
        DatacrumbsError: Likewise.
    """
    envelope = open_envelope(data, name)
    revoked = read_revocations(trusted_keys_dir)
    revoked.check_key(envelope.key_id, name)
    verify(envelope, trusted_key(trusted_keys_dir, envelope.key_id, name), name)
    signed = read_payload(envelope, name)
    _check_grant(signed.grant, name, now, uid)
    revoked.check_grant(signed.grant, name)
    revoked.check_plan(signed.plan, signed.digest, name)
    return signed


def read_unverified(path: Path) -> SignedPlan:
    """Read a probe file only to show it; ``verified`` of the result is False.

    Raises:
        DatacrumbsError: As `read_probe_file` for a file that cannot be read.
    """
    return read_payload(open_envelope(_bytes(path), str(path)), str(path), verified=False)


def unverified_grant(path: Path) -> Grant:
    """For whom and until when a probe file is, only to show it.

    Raises:
        DatacrumbsError: As `read_probe_file` for a file that cannot be read.
    """
    return read_grant(open_envelope(_bytes(path), str(path)), str(path))


def write_probe_file(path: Path, data: bytes) -> None:
    """Write a probe file atomically, readable by all.

    Raises:
        DatacrumbsError: (exit 1) when that fails; then nothing is left behind.
    """
    write_atomically(path, data, 0o644)


def _bytes(path: Path) -> bytes:
    with reworded(hint="give the path of a probe file; datacrumbs_probe_configurator can compose it"):
        return read_bounded(path, COMPRESSED_LIMIT)


def _check_grant(grant: Grant, name: str, now: float, uid: int | None) -> None:
    if now < grant.issued - CLOCK_TOLERANCE:
        raise refusal(f"{name}: not valid before {instant(grant.issued)}", "check this host's clock")
    if now >= grant.expires:
        raise refusal(f"{name}: expired at {instant(grant.expires)}", RECREATE)
    if uid is not None and uid != grant.uid:
        raise refusal(
            f"{name}: granted to {grant.user} (uid {grant.uid}), not to uid {uid}", f"as that user, {RECREATE}"
        )


def instant(seconds: int) -> str:
    """A time of a grant as people read it, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
