from __future__ import annotations

import os
import subprocess
from collections import Counter
from pathlib import Path

import datacrumbs_posix
import pytest
from datacrumbs_posix.functions import POSIX, STDIO, TABLE
from datacrumbs_posix.libc import identify

from datacrumbs.elf.functions import elf_functions
from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.provider import CheckState, Host, Role
from datacrumbs.testing import check_provider

HOST = Host(os.uname().release, os.uname().machine, {"PATH": os.defpath})
OPTIONS = {option.name: option.default for option in datacrumbs_posix.datacrumbs_provider().options}
MUSL = "/lib/ld-musl-x86_64.so.1"


def build(
    folder, *flags, compiler="gcc", source='#include <unistd.h>\nint main(void) { return (int)write(1, "", 0); }'
):
    program = folder / "program"
    subprocess.run([compiler, *flags, "-x", "c", "-", "-o", program], input=source, text=True, check=True)
    return program


def host_of(program):
    return Host(HOST.release, HOST.machine, HOST.environment, program)


def targets(host=HOST, **options):
    return list(datacrumbs_posix.datacrumbs_targets(host, OPTIONS | options))


@pytest.fixture(scope="module", params=["glibc", "musl"])
def libc(request):
    named = {"musl": {"libc": (MUSL,)}}.get(request.param, {})
    [target] = targets(**named)
    return target, datacrumbs_posix.datacrumbs_functions(target, OPTIONS)


def test_contract():
    report = check_provider(datacrumbs_posix)
    assert report.functions("pwrite64")


def test_each_symbol_is_described_once():
    symbols = Counter(symbol for signature in TABLE for symbol in signature.symbols)
    assert [symbol for symbol, times in symbols.items() if times > 1] == []


def test_arguments_and_fields_fit_a_record():
    fields = {snippet.name: len(snippet.fields) for snippet in datacrumbs_posix.datacrumbs_snippets()}
    for signature in TABLE:
        count = len(signature.arguments) + fields.get(signature.snippet, fields.get(f"glibc_{signature.snippet}", 0))
        assert count <= 6, signature.name
        assert all(argument.index < 6 for argument in signature.arguments), signature.name


def test_every_function_names_a_snippet_that_is_there(libc):
    snippets = {snippet.name for snippet in datacrumbs_posix.datacrumbs_snippets()}
    assert {function.snippet for function in libc[1]} - {""} <= snippets


def test_one_function_for_each_address(libc):
    target, functions = libc
    by_offset = {symbol.offset: symbol for symbol in elf_functions(target.target.path)}
    assert len({function.offset for function in functions}) == len(functions)
    for function in functions:
        symbol = by_offset[function.offset]
        assert {function.symbol, *function.aliases} == {symbol.name, *symbol.aliases}


def test_the_library_has_what_the_tables_describe(libc):
    target, functions = libc
    missing = {signature.name for signature in TABLE} - {function.name for function in functions}
    only_glibc = {"close_range", "closefrom", "preadv2", "pwritev2", "renameat2", "statx"}
    assert missing == (only_glibc if target.label == "musl" else set())


def test_64_bit_names_are_aliases(libc):
    functions = {function.symbol: function for function in libc[1]}
    for name in ("open", "pread", "lseek", "fopen", "ftruncate", "stat"):
        assert f"{name}64" in functions[name].aliases


def test_wrappers_of_the_same_name_are_not_told_twice():
    [glibc] = targets()
    functions = {function.symbol: function for function in datacrumbs_posix.datacrumbs_functions(glibc, OPTIONS)}
    assert not {"__open_2", "__read_chk", "__recv_chk"} & set(functions)
    assert functions["__fprintf_chk"].name == "fprintf"
    assert functions["__fread_chk"].arguments[0].index == 2


def test_every_stream_function_knows_its_stream(libc):
    layouts = set()
    for function in libc[1]:
        handles = [each.index for each in function.arguments if each.role in {Role.HANDLE, Role.CLOSED}]
        if function.snippet == "stream":
            assert [function.snippet_arguments[0]] == handles, function.name
        if function.snippet in {"stream", "stream_print"}:
            layouts.add(function.snippet_arguments[-2:])
    assert layouts in ({(112, 13)}, {(120, 0)})
    for signature in STDIO:
        if any(each.role is Role.HANDLE for each in signature.arguments) and signature.snippet:
            assert signature.snippet in {"stream", "stream_print"}, signature.name
    assert all(signature.category == "POSIX" for signature in POSIX)


def test_presets_select_what_is_there():
    presets = {preset.name: preset.functions for preset in datacrumbs_posix.datacrumbs_presets()}
    everything = {signature.name for signature in TABLE}
    assert presets["all"] == frozenset()
    assert all(functions <= everything for functions in presets.values())
    assert presets["data"] | presets["metadata"] == everything
    assert presets["data"] & presets["metadata"] == frozenset()
    assert presets["stdio"] == {signature.name for signature in STDIO}


def test_the_hosts_c_library_is_its_shells():
    [target] = targets()
    assert target.label.startswith("glibc 2.")
    assert target.target.path in subprocess.run(
        ["ldd", "/bin/sh"], capture_output=True, text=True, check=True
    ).stdout or (Path(target.target.path).name == "libc.so.6")


def test_the_programs_own_c_library_is_probed(tmp_path):
    [target] = targets(host_of(build(tmp_path, compiler="musl-gcc")))
    assert target.label == "musl"
    assert Path(target.target.path) == Path(MUSL).resolve()


@pytest.mark.parametrize("compiler", ["gcc", "musl-gcc"])
def test_static_programs_are_probed_themselves(tmp_path, compiler):
    source = '#include <stdio.h>\nint main(void) { return !fopen("/", "r"); }'
    program = build(tmp_path, "-static", compiler=compiler, source=source)
    [target] = targets(host_of(program))
    assert target.target.path == str(program)
    assert identify(program).kind == {"gcc": "glibc", "musl-gcc": "musl"}[compiler]
    assert "fopen" in {function.name for function in datacrumbs_posix.datacrumbs_functions(target, OPTIONS)}


def test_stripped_static_programs_have_nothing_to_probe(tmp_path):
    assert targets(host_of(build(tmp_path, "-static", "-s"))) == []


def test_a_named_library_that_is_missing_is_a_usage_error(tmp_path):
    with pytest.raises(DatacrumbsError, match="absent") as caught:
        targets(libc=(str(tmp_path / "absent"),))
    assert caught.value.exit_code == ExitCode.USAGE


def test_checks(tmp_path):
    [check] = datacrumbs_posix.datacrumbs_checks(HOST)
    assert (check.state, check.detail.startswith("glibc 2.")) == (CheckState.OK, True)
    [check] = datacrumbs_posix.datacrumbs_checks(host_of(tmp_path / "absent"))
    assert check.state is CheckState.MISSING
    assert check.fix
