from __future__ import annotations

import subprocess

from datacrumbs.elf.direct_calls import direct_calls
from datacrumbs.elf.functions import elf_functions

SOURCE = r"""
__attribute__((noinline)) int inner(int a) { __asm__ volatile(""); return a + 1; }
int jumps(int a) { return inner(a); }
int calls(int a) { return inner(a) + 1; }
int neither(int a) { return a; }
int (*table[])(int) = { inner };
int through_table(int a) { return table[a](a); }
"""


def test_calls_and_jumps_are_seen(tmp_path):
    library = tmp_path / "lib.so"
    subprocess.run(
        [
            "gcc",
            "-O2",
            "-fPIC",
            "-shared",
            "-Wl,-Bsymbolic",
            "-fno-semantic-interposition",
            "-x",
            "c",
            "-",
            "-o",
            library,
        ],
        input=SOURCE,
        text=True,
        check=True,
    )
    functions = {function.name: function for function in elf_functions(library)}
    calls = direct_calls(library, functions.values())
    named = {
        name: {other.name for other in functions.values() if other.offset in calls.get(function.offset, ())}
        for name, function in functions.items()
    }
    assert named["jumps"] == named["calls"] == {"inner"}
    assert named["neither"] == named["through_table"] == named["inner"] == set()
