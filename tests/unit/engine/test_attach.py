"""Which links are made for which functions, and what one that cannot be made costs; the links are made up here."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from datacrumbs.engine import attach, links
from datacrumbs.engine.attach import Attached, Phase, Programs, attach_group, prepare_group
from datacrumbs.engine.methods import AttachMethod
from datacrumbs.model.plan import Attach, Function, Group, Returns, Target, UsdtPlace

if TYPE_CHECKING:
    from collections.abc import Iterable

FIRST = 100
LIBRARY = Target("/lib/made-up.so", "ab")


class FakeKernel:
    """Makes links but for places that it refuses; keeps what was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refused: dict[int, int] = {}
        self.made: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = []
        self.asked = 0
        self.closed: list[str] = []
        monkeypatch.setattr(links, "attach_uprobe_session", lambda p, _, sites: self._link(p, sites))
        monkeypatch.setattr(links, "attach_uprobe_multi", lambda p, _, sites, **__: self._link(p, sites))
        monkeypatch.setattr(links, "attach_uprobe", lambda p, _, site, **__: self._link(p, [site]))
        monkeypatch.setattr(links, "attach_kprobe", self._kernel)
        monkeypatch.setattr(links, "attach_tracepoint", lambda p, c, e, i: self._kernel(p, f"{c}:{e}", i))
        monkeypatch.setattr(links, "close_links", self.closed.extend)
        monkeypatch.setattr(attach, "attach_kernel_return", self._kernel)
        monkeypatch.setattr(attach, "remove_left_definitions", lambda: None)

    def _link(self, program: str, sites: Iterable) -> str:
        self.asked += 1
        for site in sites:
            if number := self.refused.get(int(site["offset"])):
                raise OSError(number, os.strerror(number))
        offsets = tuple(int(site["offset"]) for site in sites)
        self.made.append((program, offsets, tuple(int(site["cookie"]) for site in sites)))
        return f"{program} {offsets}"

    def _kernel(self, program: str, symbol: str, identity: int) -> str:
        if number := self.refused.get(identity):
            raise OSError(number, os.strerror(number))
        self.made.append((program, (), (identity,)))
        return f"{program} {symbol}"

    def places(self, program: str) -> set[int]:
        return {offset for name, offsets, _ in self.made if name == program for offset in offsets}


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    return FakeKernel(monkeypatch)


def function(offset: int, **changes: object) -> Function:
    return Function(f"f{offset}", f"f{offset}", "POSIX", offset=offset, **changes)


def attached(
    kind: Attach, functions: list[Function], method: AttachMethod = AttachMethod.MULTI, skip: tuple[int, ...] = ()
) -> Attached:
    group = Group("posix", "made up", kind, LIBRARY, tuple(functions))
    found = Attached()
    # A program's descriptor is its name here.
    attach_group(prepare_group(group, LIBRARY.path, FIRST, skip, {}), Programs(lambda name: name, method), found)
    return found


@pytest.mark.parametrize("method", [AttachMethod.SESSION, AttachMethod.MULTI, AttachMethod.PERF])
def test_every_function_is_probed_under_its_identity(kernel: FakeKernel, method: AttachMethod) -> None:
    found = attached(Attach.UPROBE, [function(16), function(32), function(48)], method)
    entries = [pair for name, *pair in kernel.made if name != "dc_library_leave"]
    places = [place for offsets, cookies in entries for place in zip(offsets, cookies, strict=True)]
    assert places == [(16, FIRST), (32, FIRST + 1), (48, FIRST + 2)]
    assert (found.functions, found.failures) == (3, [])


def test_returns_are_probed_first_and_only_where_they_may_be(kernel: FakeKernel) -> None:
    attached(Attach.UPROBE, [function(16), function(32, returns=Returns.THROWS)])
    assert [name for name, *_ in kernel.made] == ["dc_library_leave", "dc_library_enter"]
    assert kernel.places("dc_library_leave") == {16}
    assert kernel.places("dc_library_enter") == {16, 32}


def test_functions_to_skip_keep_the_identities_of_the_others(kernel: FakeKernel) -> None:
    found = attached(Attach.UPROBE, [function(16), function(32), function(48)], skip=(FIRST + 1,))
    (cookies,) = {cookies for name, _, cookies in kernel.made if name == "dc_library_enter"}
    assert cookies == (FIRST, FIRST + 2)
    assert found.functions == 2


@pytest.mark.parametrize("method", [AttachMethod.SESSION, AttachMethod.MULTI, AttachMethod.PERF])
def test_a_place_that_is_refused_costs_its_function_only(kernel: FakeKernel, method: AttachMethod) -> None:
    kernel.refused = {16 * 7: errno.EINVAL, 16 * 19: errno.ENOMEM}
    found = attached(Attach.UPROBE, [function(16 * number) for number in range(1, 24)], method)
    expected = {16 * number for number in range(1, 24)} - set(kernel.refused)
    entry = "dc_library_enter" if method is not AttachMethod.SESSION else attach.SESSION
    assert kernel.places(entry) == expected
    assert [(each.symbol, each.number, each.lasts) for each in found.failures] == [
        ("f112", errno.EINVAL, True),
        ("f304", errno.ENOMEM, False),
    ]
    assert found.functions == 21


def test_an_entry_is_not_asked_for_where_the_return_was_refused(kernel: FakeKernel) -> None:
    kernel.refused = {16: errno.EINVAL}
    attached(Attach.UPROBE, [function(16)])
    assert kernel.asked == 1


def test_too_many_open_files_are_named_with_what_helps(kernel: FakeKernel) -> None:
    kernel.refused = {16: errno.EMFILE}
    (failure,) = attached(Attach.UPROBE, [function(16)]).failures
    assert "ulimit -n" in failure.reason
    assert not failure.lasts


def test_all_places_of_a_usdt_probe_are_one_function(kernel: FakeKernel) -> None:
    probe = function(16, more_places=(UsdtPlace(32), UsdtPlace(48)), return_places=(UsdtPlace(64),))
    found = attached(Attach.USDT, [probe])
    assert kernel.places("dc_usdt_enter") == {16, 32, 48}
    assert kernel.places("dc_usdt_leave") == {64}
    assert found.functions == 1


def test_events_and_functions_of_the_kernel_go_by_their_names(kernel: FakeKernel) -> None:
    event = Function("event", "block:block_rq_issue", "BLOCK")
    assert attached(Attach.TRACEPOINT, [event]).links[Phase.ENTRY] == ["dc_kernel_point block:block_rq_issue"]
    kernel.refused = {FIRST + 1: errno.ENOENT}
    found = attached(Attach.KPROBE, [Function("a", "vfs_read", "VFS"), Function("b", "vfs_gone", "VFS")])
    assert found.links[Phase.ENTRY] == ["dc_kernel_enter vfs_read"]
    assert {each.symbol for each in found.failures} == {"vfs_gone"}
    assert found.functions == 1


def test_nothing_begins_any_more_before_what_waits_for_ends_goes(kernel: FakeKernel) -> None:
    found = attached(Attach.UPROBE, [function(16)])
    found.links[Phase.CLIENT].append("client")
    found.links[Phase.LIFE].append("life")
    found.close()
    assert kernel.closed == ["client", "dc_library_enter (16,)", "dc_library_leave (16,)", "life"]
    found.close()
    assert len(kernel.closed) == 4
