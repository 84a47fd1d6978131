"""The rule for returns that are not probed, by names and by types."""

from __future__ import annotations

import pytest

from datacrumbs.elf.returns_by_name import returns_by_name
from datacrumbs.model.plan import Returns


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["_ZNSt6vectorIiE4sizeEv"], Returns.THROWS),
        (["plain", "_Z5plainv"], Returns.THROWS),
        (["_RNvC4core3fmt"], Returns.THROWS),
        (["__cxa_throw"], Returns.THROWS),
        (["_D4main4deepFiZi"], Returns.THROWS),
        (["uw_init_context_1", "uw_frame_state_for.part.0"], Returns.UNWINDS),
        (["_start", "__restore_rt"], Returns.NOT_CALLED),
        (["__cxa_atexit"], Returns.PROBED),
        (["_Unwind_RaiseException"], Returns.UNWINDS),
        (["pthread_testcancel"], Returns.UNWINDS),
        (["_setjmp"], Returns.TWICE),
        (["swapcontext"], Returns.TWICE),
        (["siglongjmp"], Returns.NEVER),
        (["dlsym"], Returns.CALLER),
        (["qsort"], Returns.CALLS_BACK),
        (["main.(*File).Write"], Returns.MOVES),
        (["runtime.mallocgc"], Returns.MOVES),
        (["github.com/x/y.F"], Returns.MOVES),
        (["work.part.0", "work.cold", "work.constprop.0.isra.0", "step.17"], Returns.PROBED),
        (["read", "write", "fread", "vfork", "H5Fopen", "MPI_File_open", "_IO_fread", "_Exit2"], Returns.PROBED),
    ],
)
def test_names(names, expected):
    assert returns_by_name(names) is expected


def test_a_function_that_takes_a_function_may_call_it():
    assert returns_by_name(["walk"], ["void *", "int (*)(const char *)"]) is Returns.CALLS_BACK
    assert returns_by_name(["walk"], ["void *", "int (&)[3]"]) is Returns.PROBED
