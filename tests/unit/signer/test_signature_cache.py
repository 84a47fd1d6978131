"""The service signs a plan once, and again when anything changes by which it decides."""

from __future__ import annotations

import base64
import os
import time
import types

import pytest

from datacrumbs.cache import analysis_cache, inspected_files
from datacrumbs.errors import DatacrumbsError
from datacrumbs.probefile.codec import encode
from datacrumbs.probefile.revocation import Revocations, write_revocations
from datacrumbs.probefile.storage import verified
from datacrumbs.signer import signature_cache
from datacrumbs.signer.signature_cache import signed_plan

MONTH = 30 * 86400
POLICY = "rules:\n  - users: ['*']\n"


@pytest.fixture(autouse=True)
def _keeping(tmp_path, monkeypatch):
    monkeypatch.setattr(inspected_files, "SETTLED_SECONDS", -(1 << 40))
    analysis_cache.keep_in(tmp_path / "cache")


def signed_times(installation, change) -> int:
    """How often the service signs for two requests of the same, with something done in between."""
    plan = installation.plan_bytes().decode()
    with installation.service():
        first = signed_plan(plan, installation.paths)
        change()
        second = signed_plan(plan, installation.paths)
    times = installation.decided()["signed"]
    assert times == 2 or first == second
    return times


def test_the_same_plan_is_signed_once(installation, monkeypatch):
    assert signed_times(installation, lambda: monkeypatch.setenv("SOMETHING_ELSE", "1")) == 1


@pytest.mark.parametrize("what", ["policy", "target", "half of the grant"])
def test_what_changed_is_signed_again(installation, what, monkeypatch):
    def change() -> None:
        if what == "policy":
            installation.policy(POLICY + "    grant_days: 7\n")
        elif what == "target":
            installation.library.chmod(0o700)
        else:
            later = types.SimpleNamespace(time=lambda: time.time() + MONTH / 2 + 60)
            monkeypatch.setattr(signature_cache, "time", later)

    assert signed_times(installation, change) == 2


def test_a_file_of_another_plan_is_not_given(installation, monkeypatch):
    """Whatever has happened to what is kept."""
    plan, other = (installation.plan_of(installation.target(), offset) for offset in installation.offsets()[:2])
    with installation.service():
        foreign = base64.b64encode(signed_plan(encode(other).decode(), installation.paths)).decode()
        monkeypatch.setattr(signature_cache.composition_cache, "recall", lambda *_: foreign)
        given = signed_plan(encode(plan).decode(), installation.paths)
    assert verified(given, "", installation.paths.trusted_keys, now=time.time(), uid=os.geteuid()).plan == plan


def test_what_is_refused_is_not_kept_and_what_was_revoked_is_not_given(installation):
    def revoke() -> None:
        write_revocations(installation.paths.trusted_keys, Revocations(providers=frozenset({"posix"})))

    with pytest.raises(DatacrumbsError, match="revoked"):
        signed_times(installation, revoke)
    assert installation.decided() == {"signed": 1, "plan.revoked": 1}
