from __future__ import annotations

import grp
import os
import pwd

import pytest

from datacrumbs.serving.caller import Caller, with_account

NOT_TAKEN = 3_999_999_999


def peer(uid: int, gid: int) -> Caller:
    return Caller(uid, gid, 1, str(uid), frozenset(), (gid,), has_account=False)


def name(gid: int) -> str:
    return grp.getgrgid(gid).gr_name


def test_an_account_keeps_its_own_group_whichever_the_process_has_taken() -> None:
    account = pwd.getpwnam("nobody")
    other = pwd.getpwnam("daemon").pw_gid
    assert other != account.pw_gid
    caller = with_account(peer(account.pw_uid, other))
    assert name(account.pw_gid) in caller.groups
    assert {account.pw_gid, other} <= set(caller.group_ids)


# A process can take any group of its user's range in /etc/subgid.
@pytest.mark.parametrize("gid", [grp.getgrnam("daemon").gr_gid, NOT_TAKEN])
def test_a_group_that_only_the_process_has_is_in_no_rule(gid: int) -> None:
    account = pwd.getpwnam("nobody")
    caller = with_account(peer(account.pw_uid, gid))
    assert caller.groups == {name(one) for one in os.getgrouplist("nobody", account.pw_gid)}
    assert gid in caller.group_ids
    assert caller.has_account


def test_an_id_without_an_account_has_no_groups_by_name() -> None:
    caller = with_account(peer(NOT_TAKEN, grp.getgrnam("daemon").gr_gid))
    assert (caller.groups, caller.has_account, caller.user) == (frozenset(), False, str(NOT_TAKEN))
