"""Keys that follow each other, and what ends before its time."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from datacrumbs.commands import _installing, setup, trust
from datacrumbs.commands._main import main
from datacrumbs.errors import DatacrumbsError
from datacrumbs.probefile.codec import digest
from datacrumbs.probefile.envelope import key_id
from datacrumbs.probefile.keys import public_key_pem
from datacrumbs.probefile.storage import read_probe_file
from datacrumbs.serving.denial import DenialError
from datacrumbs.signer.private_key import load_private_key, new_private_key
from datacrumbs.signer.signing_client import request_signature

from ...json_forms import read_json  # noqa: TID252 - a helper of all tests


@pytest.fixture
def run(installation, capsys):
    """Run a command on the installation; gives its status and what it printed."""

    def command(module, *arguments):
        status = main(module.COMMAND, ["--prefix", str(installation.paths.prefix), *map(str, arguments)])
        return status, "".join(capsys.readouterr())

    return command


def signed_file(installation, name):
    path = Path(installation.directory) / name
    path.write_bytes(request_signature(installation.plan(), installation.paths))
    return path


def read(installation, path):
    return read_probe_file(path, installation.paths.trusted_keys, now=time.time(), uid=os.getuid())


def identity(path):
    return key_id(load_private_key(path).public_key())


def test_two_keys_overlap_and_the_running_service_changes_over(installation, run):
    paths = installation.paths
    first = identity(paths.private_key)
    with installation.service():
        old = signed_file(installation, "old")
        assert run(setup, "--next-key")[0] == 0
        second = identity(paths.next_private_key)
        # Prepared only: it is trusted, and does not sign.
        assert read(installation, signed_file(installation, "between")).key_id == first
        assert run(setup, "--rotate-key")[0] == 0
        new = signed_file(installation, "new")
    assert not paths.next_private_key.exists()
    assert (read(installation, old).key_id, read(installation, new).key_id) == (first, second)
    assert oct(paths.private_key.stat().st_mode & 0o777) == "0o400"
    assert run(trust, "remove", "--key", first[:12])[0] == 0
    with pytest.raises(DatacrumbsError, match="not trusted here"):
        read(installation, old)
    assert read(installation, new)


def test_what_changes_trust_is_logged_whichever_option_did_it(installation, run, monkeypatch, tmp_path):
    logged = []
    monkeypatch.setattr(_installing, "audit", lambda _paths, action, what: logged.append((action, what)))
    paths = installation.paths
    run(setup, "--next-key")
    assert [action for action, _ in logged] == ["next key"]
    second = identity(paths.next_private_key)
    assert logged.pop()[1] == [str(paths.next_private_key), str(paths.trusted_keys / f"{second}.pem")]
    run(setup, "--next-key")
    run(setup, "--rotate-key", "--dry-run")
    assert not logged
    run(setup, "--rotate-key")
    assert logged.pop() == ("rotate key", [str(paths.private_key)])
    other = new_private_key().public_key()
    pem = tmp_path / "other.pem"
    pem.write_bytes(public_key_pem(other))
    run(setup, "--trust-key", pem)
    run(setup, "--uninstall")
    assert [action for action, _ in logged] == ["trust key", "uninstall"]
    assert all(str(paths.trusted_keys / f"{key_id(other)}.pem") in what for _, what in logged)


def test_the_note_after_a_rotation_names_both_keys(installation, run):
    first = identity(installation.paths.private_key)
    run(setup, "--next-key")
    second = identity(installation.paths.next_private_key)
    text = run(setup, "--rotate-key")[1]
    assert f"{second[:16]} signs now" in text
    assert f"datacrumbs_trust remove --key {first[:16]}" in text


def test_preparing_twice_keeps_the_next_key(installation, run):
    run(setup, "--next-key")
    prepared = identity(installation.paths.next_private_key)
    assert "kept" in run(setup, "--next-key")[1]
    assert identity(installation.paths.next_private_key) == prepared


def test_rotating_without_a_next_key(installation, run):
    before = installation.paths.private_key.read_bytes()
    status, text = run(setup, "--rotate-key")
    assert (status, "no next key" in text) == (2, True)
    assert installation.paths.private_key.read_bytes() == before


def test_a_revoked_key_neither_verifies_nor_signs_nor_comes_back(installation, run):
    paths = installation.paths
    key = identity(paths.private_key)
    with installation.service():
        path = signed_file(installation, "signed")
        assert run(trust, "revoke", "--key", key)[0] == 0
        with pytest.raises(DatacrumbsError, match="which was revoked"):
            read(installation, path)
        with pytest.raises(DenialError, match="which was revoked"):
            signed_file(installation, "more")
    pem = paths.trusted_keys / f"{key}.pem"
    status, text = run(trust, "add", "--key", pem)
    assert (status, "which was revoked" in text) == (3, True)
    run(setup)
    with pytest.raises(DatacrumbsError, match="which was revoked"):
        read(installation, path)
    assert run(trust, "restore", "--key", key[:16])[0] == 0
    assert read(installation, path)


def test_a_revoked_plan_is_not_signed_again(installation, run):
    plan = digest(installation.plan_bytes())
    run(trust, "revoke", "--plan", plan)
    with installation.service(), pytest.raises(DenialError, match="was revoked") as caught:
        request_signature(installation.plan(), installation.paths)
    assert caught.value.code == "plan.revoked"


@pytest.mark.parametrize(
    ("option", "value"), [("--provider", "posix"), ("--target", "/*/libtwo.so"), ("--symbol", "BUILD-ID:OFFSET")]
)
def test_what_is_revoked_is_not_signed_until_it_is_restored(installation, run, option, value):
    if option == "--symbol":
        value = f"{installation.target().build_id}:{installation.offsets()[0]:#x}"
    assert run(trust, "revoke", option, value)[0] == 0
    rows = read_json("trust", run(trust, "list", "--revoked", "--json")[1])
    assert rows == [{"revoked": option.removeprefix("--"), "what": value}]
    with installation.service():
        with pytest.raises(DenialError, match="was revoked") as caught:
            request_signature(installation.plan(), installation.paths)
        assert caught.value.code == "plan.revoked"
        assert run(trust, "restore", option, value)[0] == 0
        assert request_signature(installation.plan(), installation.paths)


def test_what_cannot_be_revoked_is_named(installation, run):
    for option, value in (("--target", "lib/x"), ("--symbol", "a b"), ("--provider", "X"), ("--snippet", "ab")):
        status, text = run(trust, "revoke", option, value)
        assert (status, f"{option}: '{value}'; expected" in text) == (2, True)


def test_a_users_grants_end_and_new_ones_hold(installation, run, monkeypatch):
    with installation.service():
        old = signed_file(installation, "old")
        assert run(trust, "revoke", "--user", os.getuid())[0] == 0
        with pytest.raises(DatacrumbsError, match="of that time were revoked"):
            read(installation, old)
        time.sleep(1.1)  # grants have whole seconds
        assert read(installation, signed_file(installation, "new"))
    assert run(trust, "restore", "--user", os.getuid())[0] == 0
    assert read(installation, old)


def test_lists(installation, run):
    run(setup, "--next-key")
    rows = read_json("trust", run(trust, "list", "--keys", "--json")[1])
    assert {row["state"] for row in rows} == {"signs here", "signs next"}
    run(trust, "revoke", "--snippet", "a" * 64)
    assert read_json("trust", run(trust, "list", "--revoked", "--json")[1]) == [
        {"revoked": "snippet", "what": "a" * 64}
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["revoke"], "--key --plan --snippet --provider --target --symbol --user is required"),
        (["revoke", "--plan", "abc"], "expected 64 hex digits"),
        (["revoke", "--user", "no such"], "no such user on this host"),
        (["revoke", "--key", "zz"], "is the beginning of 0 keys"),
        (["verify", "--key", "zz"], "unrecognized arguments: --key zz"),
        (["add", "--user", "root"], "--provider --distribution --key is required"),
    ],
)
def test_wrong_use(run, arguments, message):
    status, text = run(trust, *arguments)
    assert (status, message in text) == (2, True), text
