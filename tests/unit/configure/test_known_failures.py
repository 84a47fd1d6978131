from __future__ import annotations

from dataclasses import replace

import pytest

from datacrumbs.configure.known_failures import without_failures
from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.model.plan import Argument, Attach, Function, Group, Plan, Provenance, Role, Snippet, Target
from datacrumbs.trace.unattached import Failure, Unattached

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


def failed(
    symbol: str, offset: int, build_id: str = "ab", attach: str = "uprobe", **providers: str
) -> dict[Unattached, Failure]:
    return {Unattached(build_id, attach, symbol, offset): Failure("kernel 6.1: Invalid argument", "/t", providers)}


def test_each_reason_for_which_functions_are_left_out_is_noted() -> None:
    notes: list[str] = []
    plan = without_failures(PLAN, failed("write", 32, posix="datacrumbs-posix 1"), notes.append)
    assert [function.symbol for function in plan.functions] == ["read", "put"]
    why = "could not be probed before (kernel 6.1: Invalid argument; /t); --no-known-failures keeps"
    assert notes == [f"/lib/x.so: 1 function is left out (write): it {why} it"]
    notes.clear()
    without_failures(PLAN, failed("write", 32) | failed("read", 16), notes.append)
    assert notes == [f"/lib/x.so: 2 functions are left out (read, write): they {why} them"]


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
        failed("write", 32, posix="datacrumbs-posix 2"),
        {},
    ],
)
def test_another_place_file_way_or_provider_is_no_failure(other: dict[Unattached, Failure]) -> None:
    notes: list[str] = []
    assert without_failures(PLAN, other, notes.append) is PLAN
    assert notes == []


def test_where_a_moved_probe_fails_one_that_is_not_moved_may_not() -> None:
    moved = replace(PLAN, groups=(replace(PLAN.groups[0], functions=(replace(FUNCTIONS[1], skip=4), OTHER)),))
    assert without_failures(moved, failed("write", 32), [].append) is moved
    assert without_failures(PLAN, failed("write", 36), [].append) is PLAN
    assert [each.symbol for each in without_failures(moved, failed("write", 36), [].append).functions] == ["put"]


def test_nothing_left_is_an_error() -> None:
    everything = failed("read", 16) | failed("write", 32) | failed("put", 48)
    with pytest.raises(DatacrumbsError, match="every function of the plan") as caught:
        without_failures(PLAN, everything, [].append)
    assert caught.value.exit_code is ExitCode.USAGE
