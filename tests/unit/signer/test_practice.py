"""What a child goes through before its request comes must be what a request takes, and end well."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
from pathlib import Path

import pytest

from datacrumbs.secure.user_rights import LOOKING_ID
from datacrumbs.serving.limited import CHECK, answer
from datacrumbs.signer import authority as authorities
from datacrumbs.signer import practice, private_key, target_check
from datacrumbs.signer.authority import open_authority
from datacrumbs.signer.service import Service

from .test_service import children_of


def test_a_request_is_gone_through_to_its_reply(installation, monkeypatch):
    def never(*_: object) -> None:
        raise AssertionError("the real key")

    steps = []
    monkeypatch.setattr(private_key, "load_private_key", never)
    monkeypatch.setattr(authorities, "load_private_key", never)
    monkeypatch.setattr(practice, "reported", lambda *parts: steps.append(parts))
    practice.practise_request(authorities.Authority(installation.paths, "host"))
    ((report, reply),) = steps
    assert report.decision == "signed"
    assert b"probe_file" in reply


@pytest.mark.parametrize("policy", ["rules: []\n", "rules:\n  - users: [nobody]\n", "no policy"])
def test_a_policy_that_does_not_allow_it_is_no_matter(installation, policy):
    authority = open_authority(installation.paths)
    installation.policy(policy)
    practice.practise_request(authority)


def test_a_look_finds_nothing_wrong(monkeypatch):
    seen = []
    judged = target_check.judged
    monkeypatch.setattr(practice, "judged", lambda *parts: seen.append(judged(*parts)))
    practice.practise_look()
    assert seen == [("", "", "")]


@pytest.mark.skipif(os.geteuid() != 0, reason="gives up root")
def test_a_look_that_is_ready_has_no_rights(installation, monkeypatch):
    monkeypatch.setattr(target_check, "judged", lambda *_: (str(os.getresuid()), str(os.getgroups()), ""))

    def work() -> bytes:
        look = target_check.ReadyLook(lambda: None)
        wanted = {"path": str(installation.library), "build_id": "", "usdt": []}
        with installation.library.open("rb") as stream:
            found = [look.ask(stream, wanted, lambda: ("another", "", "")) for _ in range(2)]
        look.dismiss()
        return json.dumps(found).encode()

    first, second = json.loads(answer(work, CHECK, 10_000))
    assert first == [str((LOOKING_ID,) * 3), "[]", ""]
    assert second == ["another", "", ""]


@pytest.mark.skipif(os.geteuid() != 0, reason="gives up root")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_look_that_was_ended_or_stopped_while_it_waited_is_begun_again(installation, number):
    def work() -> bytes:
        look = target_check.ReadyLook(lambda: None)
        (pid,) = map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
        os.kill(pid, number)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WSTOPPED | os.WNOWAIT)
        with installation.library.open("rb") as stream:
            found = look.ask(stream, {}, lambda: ("", "another", ""))
        return json.dumps([found, Path(f"/proc/{pid}").exists()]).encode()

    assert json.loads(answer(work, CHECK, 10_000)) == [["", "another", ""], False]


@pytest.mark.skipif(os.geteuid() != 0, reason="gives up root")
def test_no_other_process_without_rights_can_stop_a_look_that_waits():
    nobody = 65534

    def work() -> bytes:
        look = target_check.ReadyLook(lambda: None)
        (pid,) = map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
        assert select.select([look._spare.channel], [], [], 60)[0]  # by now it has given up root
        os.setresuid(nobody, nobody, nobody)
        try:
            os.kill(pid, signal.SIGSTOP)
        except PermissionError:
            return b"kept out"
        return b"stopped it"

    assert answer(work, CHECK, 100) == b"kept out"


def test_where_nothing_can_be_practised_no_child_waits(installation, monkeypatch, caplog):
    """A library of numpy may be of a form that is not known here."""
    monkeypatch.setattr(practice, "plan", lambda: 1 // 0)
    before = children_of(os.getpid())
    service = Service(open_authority(installation.paths))
    asyncio.run(service.begin())
    service.judges.fill()
    assert set(children_of(os.getpid())) <= set(before)
    assert "requests will take longer" in caplog.text
