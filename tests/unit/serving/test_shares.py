from __future__ import annotations

import pytest

from datacrumbs.serving import shares
from datacrumbs.serving.shares import KNOWN_SECONDS, KnownIds, Limits, Shares

ACCOUNT, OTHER = 1007, 3_000_007


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(shares.time, "monotonic", lambda: now[0])
    return now


def test_an_account_stays_known_and_is_due_once_a_while(clock):
    known = KnownIds()
    assert (known.share(ACCOUNT), known.is_due(ACCOUNT)) == (None, False)
    known.remember(ACCOUNT, ACCOUNT)
    for _ in range(3):
        assert (known.share(ACCOUNT), known.is_due(ACCOUNT)) == (ACCOUNT, False)
        clock[0] += KNOWN_SECONDS
        assert (known.share(ACCOUNT), known.is_due(ACCOUNT)) == (ACCOUNT, True)


def test_other_ids_are_forgotten(clock):
    known = KnownIds()
    known.remember(OTHER, ACCOUNT)
    assert (known.share(OTHER), known.is_due(OTHER)) == (ACCOUNT, False)
    clock[0] += KNOWN_SECONDS
    assert (known.share(OTHER), known.is_due(OTHER)) == (None, False)


def test_an_account_that_is_none_any_more_uses_another_share():
    known = KnownIds()
    known.remember(ACCOUNT, ACCOUNT)
    known.remember(ACCOUNT, -1)
    assert known.share(ACCOUNT) == -1


def test_no_id_is_known_for_ever_among_many(monkeypatch):
    monkeypatch.setattr(shares, "KNOWN_LIMIT", 3)
    known = KnownIds()
    for uid in range(5):
        known.remember(uid, uid)
        known.remember(OTHER + uid, -1)
    assert [uid for uid in range(5) if known.share(uid) == uid] == [2, 3, 4]
    assert [uid for uid in range(5) if known.share(OTHER + uid) == -1] == [2, 3, 4]


def test_a_share_is_full_where_one_more_is_refused():
    taken = Shares(Limits(connections=3, connections_per_user=2))
    first = taken.enter(7)
    assert not taken.is_full(7)
    taken.enter(7)
    assert taken.is_full(7)
    assert taken.enter(7) is None
    assert not taken.is_full(8)
    taken.enter(8)
    assert taken.is_full(0)  # of all
    taken.leave(first)
    assert not taken.is_full(7)
