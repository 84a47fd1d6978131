"""Replacing the signing key without a moment in which a node refuses what is signed.

First the public half of the next key travels to the nodes, then it begins to sign; the old one stays trusted
until the last of its grants has ended.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError, usage_error
from datacrumbs.install.step import Step
from datacrumbs.install.steps import signing_key, trust_public_key
from datacrumbs.probefile.envelope import key_id
from datacrumbs.signer.private_key import load_private_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datacrumbs.system import SystemPaths


def prepare_rotation(paths: SystemPaths) -> Iterator[Step]:
    """Make the next signing key and trust it here; the present one goes on signing until `rotate`.

    Raises:
        DatacrumbsError: When no signing key, or a file cannot be made.
    """
    load_private_key(paths.private_key)
    key, step = signing_key(paths.next_private_key)
    yield step
    step = trust_public_key(paths.trusted_keys, key.public_key(), new=step.state == "made")
    yield replace(step, note="copy it to every compute node, then: datacrumbs_setup --rotate-key")


def rotate(paths: SystemPaths) -> Iterator[Step]:
    """Sign with the next key from now on. The old public key stays trusted, so what it signed goes on to hold.

    Raises:
        DatacrumbsError: (exit 2) when no key was prepared.
    """
    path = paths.next_private_key
    if not path.exists() and not path.is_symlink():
        raise usage_error(f"{path}: no next key", "run datacrumbs_setup --next-key, copy its .pem to the nodes")
    old = key_id(load_private_key(paths.private_key).public_key())
    new = key_id(load_private_key(path).public_key())

    def act() -> None:
        try:
            path.replace(paths.private_key)
        except OSError as error:
            raise DatacrumbsError(f"{path}: cannot be moved: {error.strerror}", hint="run this as root") from None

    note = (
        f"{new[:16]} signs now; when the last grant of {old[:16]} has ended: datacrumbs_trust remove --key {old[:16]}"
    )
    yield Step("made", str(paths.private_key), note, act=act)
