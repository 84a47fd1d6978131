"""Return probes break no program, and whatever crosses a probed call, each call is counted once."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from datacrumbs.elf.functions import elf_functions, elf_target
from datacrumbs.elf.loader_cache import read_loader_cache
from datacrumbs.elf.returns_by_name import returns_by_name
from datacrumbs.engine.methods import TITLES, AttachMethod
from datacrumbs.model.plan import Argument, Attach, Function, Group, Plan, Returns

from .conftest import PROGRAMS, Tracer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from datacrumbs.system import SystemConfiguration

pytestmark = pytest.mark.kernel

LIBC = [
    *("qsort", "dlsym", "_setjmp", "__sigsetjmp", "longjmp", "siglongjmp", "getcontext", "swapcontext", "makecontext"),
    *("raise", "read", "write", "vfork", "waitpid", "sigaction", "pthread_join", "pthread_cancel", "usleep"),
]
# What a program does -> function: entered, of these not returned to the probe.
CROSSED = {
    "leaps": {"cross_call": (7, 7), "cross_leaf": (14, 0), "longjmp": (7, 0)},
    "sorts": {"qsort": (7, 0), "cross_leaf": (7, 0)},
    "jumps": {"cross_jump": (7, 0), "cross_leaf": (7, 0), "cross_again": (35, 0)},
    # While a call waits on a stack further down, returns of others are not probed.
    "far coroutines": {"cross_call": (5, 0), "cross_leaf": (20, 5), "swapcontext": (15, 0)},
    "near coroutines": {"cross_call": (5, 0), "cross_leaf": (20, 0), "makecontext": (5, 0)},
    "signals above": {"cross_read": (5, 0), "read": (5, 0), "cross_leaf": (5, 5), "write": (5, 5)},
    "signals below": {"cross_read": (5, 0), "read": (5, 0), "cross_leaf": (5, 0), "write": (5, 0)},
    "left handlers": {"cross_call": (5, 5), "cross_leaf": (5, 0), "raise": (5, 5)},
    "strict": {"cross_leaf": (7, 0)},
    "filter": {"cross_leaf": (7, 0)},
    "cancels": {"cross_read": (5, 5), "read": (5, 5), "pthread_cancel": (5, 0), "pthread_join": (5, 0)},
    "forks": {"cross_call": (5, 0), "cross_leaf": (5, 0)},
    "vforks": {"cross_call": (5, 0), "cross_leaf": (5, 0)},
    "callers": {"dlsym": (5, 0)},
}


@pytest.fixture(scope="module")
def crossing(build: Callable[..., Path]) -> Path:
    return build("crossing.c", "-shared", "-fPIC", "-fexceptions", "-foptimize-sibling-calls", name="libcrossing.so")


def group(library: Path, names: list[str], **returns: Returns) -> Group:
    offsets = {name: each.offset for each in elf_functions(library) for name in (each.name, *each.aliases)}
    return Group(
        "layer",
        "layer",
        Attach.UPROBE,
        elf_target(library),
        tuple(
            Function(
                name,
                name,
                "X",
                offsets[name],
                arguments=(Argument(0, "first"),),
                returns=returns.get(name, returns_by_name([name])),
            )
            for name in names
        ),
    )


@pytest.fixture(scope="module")
def tracer(crossing: Path, engine_state: Path, configuration: SystemConfiguration):
    names = [each.name for each in elf_functions(crossing) if each.name.startswith("cross_")]
    libc = read_loader_cache()["libc.so.6"][0].resolve()
    # With the return of cross_call() probed, against the rule: the program's other ways across it are to be seen, too.
    with Tracer(Plan((), (group(crossing, names), group(libc, LIBC))), engine_state, configuration) as tracer:
        assert tracer.report.method == TITLES[AttachMethod.SESSION]
        yield tracer


@pytest.mark.parametrize("what", list(CROSSED))
def test_a_program_ends_well_and_each_call_is_counted(tracer, build, crossing: Path, what: str) -> None:
    program = build("returns.c", "-w", "-pthread", str(crossing), f"-Wl,-rpath,{crossing.parent}", name="returns")
    before = tracer.engine.counts()
    trace = tracer.run(str(program), what, timeout=300)
    after = tracer.engine.counts()
    assert trace.status == 0
    assert all(count.balanced for count in after)
    changed = {
        function.symbol: (new.entered - old.entered, new.unmatched - old.unmatched)
        for function, old, new in zip(tracer.plan.functions, before, after, strict=True)
    }
    expected = CROSSED[what]
    assert {name: changed[name] for name in expected} == expected
    assert not any(count.lost for count in after)


@pytest.mark.parametrize("what", ["qsort", "call"])
def test_exceptions_pass_through_functions_that_call_back(
    build, engine_state: Path, configuration: SystemConfiguration, what: str
) -> None:
    # A file of its own: the other engine probes the returns of the first.
    library = build("crossing.c", "-shared", "-fPIC", "-fexceptions", name="libthrowing.so")
    program = library.parent / "throws"
    subprocess.run(["c++", "-o", program, PROGRAMS / "throws.cc", library, f"-Wl,-rpath,{library.parent}"], check=True)
    cpp = ["__cxa_throw", "__cxa_begin_catch", "__cxa_end_catch", "__cxa_allocate_exception"]
    groups = (
        group(library, ["cross_call", "cross_leaf"], cross_call=Returns.CALLS_BACK),
        group(read_loader_cache()["libc.so.6"][0].resolve(), LIBC),
        group(read_loader_cache()["libstdc++.so.6"][0].resolve(), cpp),
    )
    with Tracer(Plan((), groups), engine_state, configuration) as tracer:
        assert tracer.run(str(program), what).status == 0
        counts = tracer.engine.counts()
    entered = {each.symbol: count.entered for each, count in zip(tracer.plan.functions, counts, strict=True)}
    assert entered["__cxa_throw"] == entered["__cxa_begin_catch"] == 5
    assert entered["qsort" if what == "qsort" else "cross_call"] == 5
