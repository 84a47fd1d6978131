from __future__ import annotations

from datacrumbs.kernel import symbols
from datacrumbs.kernel.symbols import (
    kernel_function_arguments,
    kernel_functions,
    kernel_symbols,
)
from datacrumbs.model.plan import Result


def test_names_are_there_and_unambiguous():
    names = kernel_functions()
    assert {"vfs_read", "vfs_write", "submit_bio"} <= set(names)
    assert list(names) == sorted(set(names))
    assert not [name for name in names if "." in name or name.startswith("__pfx_")]


def test_names_that_several_functions_have_are_left_out(monkeypatch, tmp_path):
    (tmp_path / "kallsyms").write_text(
        "0000 T one\n0000 t two\n0000 t two\n0000 D data\n0000 t three.isra.0\n0000 W four\n0000 t five\t[ext4]\n"
    )
    monkeypatch.setattr(symbols, "KALLSYMS", tmp_path / "kallsyms")
    monkeypatch.setattr(symbols, "_traceable_functions", frozenset)
    symbols.forget_symbols()
    try:
        assert kernel_functions() == ("five", "four", "one")
        assert [symbol.name for symbol in kernel_symbols() if symbol.weak] == ["four"]
        assert [symbol.module for symbol in kernel_symbols()][-1] == "ext4"
    finally:
        symbols.forget_symbols()


def test_arguments_come_from_the_kernels_types():
    arguments, result = kernel_function_arguments("vfs_read")
    # Its file, buffer and position are addresses.
    assert [(argument.index, argument.label, argument.size, argument.signed) for argument in arguments] == [
        (2, "count", 8, False)
    ]
    assert result is Result.BYTES
    assert kernel_function_arguments("submit_bio")[1] is Result.VOID
    assert kernel_function_arguments("no_such_function") == ((), Result.VOID)


def test_a_service_that_does_not_see_the_symbols_knows_what_functions_take(monkeypatch, tmp_path):
    known = symbols.kernel_prototype("vfs_write")
    monkeypatch.setattr(symbols, "KALLSYMS", tmp_path / "hidden")
    symbols.forget_symbols()
    try:
        assert symbols.kernel_functions() == ()
        assert symbols.kernel_prototype("vfs_write") == known
        assert symbols.kernel_prototype("no_such_function") is None
    finally:
        symbols.forget_symbols()
