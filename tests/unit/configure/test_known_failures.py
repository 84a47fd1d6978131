from __future__ import annotations

import pytest

from datacrumbs.configure.known_failures import without_failures
from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.model.plan import Argument, Attach, Function, Group, Plan, Provenance, Role, Snippet, Target
from datacrumbs.trace.unattached import Unattached

LIBRARY = Target("/lib/x.so", "ab")
FUNCTIONS = (Function("read", "read", "POSIX", offset=16), Function("write", "write", "POSIX", offset=32))
OTHER = Function("put", "put", "OTHER", offset=48, snippet="one")
PLAN = Plan(
    (
        Provenance("posix", "datacrumbs-posix", "1", "libc", 40),
        Provenance("other", "datacrumbs-other", "1", "libc", 50),
    ),
    (
        Group("posix", "libc", Attach.UPROBE, LIBRARY, FUNCTIONS),
        Group("other", "libc", Attach.UPROBE, LIBRARY, (OTHER,)),
    ),
    (Snippet(name="one", provider="other", text="/* */", fields=(Argument(0, "count", "size_t", Role.COUNT),)),),
)


def failed(symbol: str, offset: int, build_id: str = "ab", attach: str = "uprobe") -> dict[Unattached, str]:
    return {Unattached(build_id, attach, symbol, offset): "kernel 6.1: Invalid argument"}


def test_each_function_that_is_left_out_is_noted() -> None:
    notes: list[str] = []
    plan = without_failures(PLAN, failed("write", 32), notes.append)
    assert [function.symbol for function in plan.functions] == ["read", "put"]
    assert notes == ["write of /lib/x.so is left out: it could not be probed before (kernel 6.1: Invalid argument)"]


def test_what_only_they_needed_goes_with_them() -> None:
    plan = without_failures(PLAN, failed("put", 48), [].append)
    assert [provider.name for provider in plan.providers] == ["posix"]
    assert plan.groups == PLAN.groups[:1]
    assert plan.snippets == ()


@pytest.mark.parametrize(
    "other",
    [
        failed("write", 48),
        failed("writev", 32),
        failed("write", 32, build_id="cd"),
        failed("write", 32, attach="usdt"),
        {},
    ],
)
def test_another_place_file_or_way_is_no_failure(other: dict[Unattached, str]) -> None:
    notes: list[str] = []
    assert without_failures(PLAN, other, notes.append) is PLAN
    assert notes == []


def test_nothing_left_is_an_error() -> None:
    everything = failed("read", 16) | failed("write", 32) | failed("put", 48)
    with pytest.raises(DatacrumbsError, match="every function of the plan") as caught:
        without_failures(PLAN, everything, [].append)
    assert caught.value.exit_code is ExitCode.USAGE
