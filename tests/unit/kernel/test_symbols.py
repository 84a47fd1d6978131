from __future__ import annotations

from functools import cache

import pytest

from datacrumbs.kernel import symbols
from datacrumbs.kernel.symbols import (
    kernel_function_arguments,
    kernel_functions,
)
from datacrumbs.model.plan import Result


@pytest.fixture
def kallsyms(monkeypatch, tmp_path):
    """Where the kernel's symbols are looked for instead; what is known of the kernel's own is put aside."""
    monkeypatch.setattr(symbols, "KALLSYMS", tmp_path / "kallsyms")
    for known in ("kernel_symbols", "_functions"):
        monkeypatch.setattr(symbols, known, cache(getattr(symbols, known).__wrapped__))
    return tmp_path / "kallsyms"


def test_names_are_there_and_unambiguous():
    names = kernel_functions()
    assert {"vfs_read", "vfs_write", "submit_bio"} <= set(names)
    assert list(names) == sorted(set(names))
    assert not [name for name in names if "." in name or name.startswith("__pfx_")]


def test_names_that_several_functions_have_are_left_out(monkeypatch, kallsyms):
    kallsyms.write_text(
        "0000 T one\n0000 t two\n0000 t two\n0000 D data\n0000 t three.isra.0\n0000 W four\n0000 t five\t[ext4]\n"
    )
    monkeypatch.setattr(symbols, "_traceable_functions", frozenset)
    assert kernel_functions() == ("five", "four", "one")
    assert [symbol.name for symbol in symbols.kernel_symbols() if symbol.weak] == ["four"]
    assert [symbol.module for symbol in symbols.kernel_symbols()][-1] == "ext4"


def test_arguments_come_from_the_kernels_types():
    arguments, result = kernel_function_arguments("vfs_read")
    # Its file, buffer and position are addresses.
    assert [(argument.index, argument.label, argument.size, argument.signed) for argument in arguments] == [
        (2, "count", 8, False)
    ]
    assert result is Result.BYTES
    assert kernel_function_arguments("submit_bio")[1] is Result.VOID
    assert kernel_function_arguments("no_such_function") == ((), Result.VOID)


def test_a_service_that_does_not_see_the_symbols_knows_what_functions_take(request):
    known = symbols.kernel_prototype("vfs_write")
    request.getfixturevalue("kallsyms")
    assert symbols.kernel_functions() == ()
    assert symbols.kernel_prototype("vfs_write") == known
    assert symbols.kernel_prototype("no_such_function") is None
