from __future__ import annotations

import json

from datacrumbs.serving.caller import Caller
from datacrumbs.serving.decisions import PLANS_LIMIT, WINDOW_SECONDS, Decision, DecisionLog

ALICE = Caller(1001, 1001, 17, "alice", frozenset(), (1001,))


class Clock:
    """An event loop's clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waiting = []

    def later(self, seconds, work) -> None:
        self.waiting.append((self.now + seconds, work))

    def move(self, seconds) -> None:
        self.now += seconds
        due = [entry for entry in self.waiting if entry[0] <= self.now]
        self.waiting = [entry for entry in self.waiting if entry[0] > self.now]
        for _, work in due:
            work()


def refused(code: str = "service.busy") -> Decision:
    return Decision("refused", code, ALICE)


def signed(digest: str) -> Decision:
    return Decision("signed", "", ALICE, digest)


def opened():
    lines = []
    clock = Clock()
    return clock, DecisionLog(clock.later, lambda text: lines.append(json.loads(text))), lines


def test_a_flood_is_one_line_a_second_with_counts():
    clock, log, lines = opened()
    for _ in range(7):
        for _ in range(1009):
            log.add(1001, refused())
        clock.move(WINDOW_SECONDS)
    log.flush()
    assert len(lines) == 1 + 7
    assert sum(1 + line.get("left_out", {}).get("service.busy", 0) for line in lines) == 7 * 1009


def test_what_is_counted_without_a_description_is_as_if_it_had_one():
    clock, log, lines = opened()
    for _ in range(7):
        for _ in range(1009):
            if not log.counts(1001, "service.busy"):
                log.add(1001, refused())
        clock.move(WINDOW_SECONDS)
    log.flush()
    assert len(lines) == 1 + 7
    assert sum(1 + line.get("left_out", {}).get("service.busy", 0) for line in lines) == 7 * 1009
    log.add(1001, refused())
    log.add(1001, signed("b" * 64))
    assert not log.counts(1001, "service.busy")  # its line would be of what was signed
    assert not log.counts(1002, "service.busy")


def test_more_may_be_said_of_a_user_of_whom_nothing_was_said_within_the_second():
    clock, log, _ = opened()
    assert log.is_quiet(1001)
    log.add(1001, refused("service.fault"))
    assert not log.is_quiet(1001)
    assert log.is_quiet(1002)
    clock.move(WINDOW_SECONDS)
    assert log.is_quiet(1001)


def test_what_was_signed_under_a_flood_is_named():
    clock, log, lines = opened()
    log.add(1001, refused())
    digests = [f"{number:064x}" for number in range(PLANS_LIMIT)]
    for digest in digests:
        log.add(1001, signed(digest))
        log.add(1001, refused())
    clock.move(WINDOW_SECONDS)
    assert len(lines) == 2
    assert lines[1]["signed_plans"] == digests
    assert lines[1]["left_out"] == {"service.busy": PLANS_LIMIT - 1, "signed": PLANS_LIMIT}


def test_one_users_flood_holds_back_nobody_elses_line():
    _, log, lines = opened()
    for _ in range(101):
        log.add(1001, refused())
    log.add(1002, signed("b" * 64))
    assert [line["decision"] for line in lines] == ["refused", "signed"]


def test_a_quiet_user_takes_no_memory():
    clock, log, lines = opened()
    for share in range(101):
        log.add(share, refused())
    clock.move(WINDOW_SECONDS)
    log.flush()
    assert clock.waiting == []
    assert len(lines) == 101
    assert all("left_out" not in line for line in lines)
