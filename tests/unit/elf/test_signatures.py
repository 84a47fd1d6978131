from __future__ import annotations

import pytest

from datacrumbs.elf.c_types import integer_type
from datacrumbs.elf.functions import ElfFunction
from datacrumbs.elf.signatures import args, functions_of, signature
from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.provider import Argument, Result, Role


def test_arguments_stand_at_their_places():
    assert args("fd:int=fd", "-", "count:size_t=count", "offset:off_t=offset") == (
        Argument(0, "fd", "int", Role.FD, 4, signed=True),
        Argument(2, "count", "size_t", Role.COUNT, 8, signed=False),
        Argument(3, "offset", "off_t", Role.OFFSET, 8, signed=True),
    )
    assert [argument.index for argument in args("-3", "a", "-", "b:int")] == [3, 5]


def test_type_and_role_may_be_left_out():
    assert args("what") == (Argument(0, "what", "long", Role.VALUE, 8, signed=True),)


@pytest.mark.parametrize(
    ("specifications", "message"),
    [
        (("Fd:int",), "is not `label:ctype=role`"),
        (("fd:int=file",), "file is not a role; expected one of fd, target_fd, path"),
        (("fd", "fd"), "duplicate label"),
        (tuple("abcdefg"), "7 captured arguments; expected at most 6"),
        (("",), "is not `label:ctype=role`"),
        (("--",), "is not `label:ctype=role`"),
    ],
)
def test_wrong_arguments_are_usage_errors(specifications, message):
    with pytest.raises(DatacrumbsError, match=message) as caught:
        args(*specifications)
    assert caught.value.exit_code == ExitCode.USAGE


def test_names_of_a_signature():
    assert signature("POSIX", "open open64", "fd").symbols == ("open", "open64")
    other = signature("POSIX", "stat: __xstat __xstat64", "status", "-", "path:char *=path")
    assert (other.name, other.symbols, other.result) == ("stat", ("__xstat", "__xstat64"), Result.STATUS)


@pytest.mark.parametrize(("names", "result"), [("", "fd"), ("stat:", "fd"), ("open", "descriptor")])
def test_wrong_signatures_are_usage_errors(names, result):
    with pytest.raises(DatacrumbsError, match="expected") as caught:
        signature("POSIX", names, result)
    assert caught.value.exit_code == ExitCode.USAGE


def test_one_function_for_each_address():
    table = (
        signature("POSIX", "open open64", "fd", "path:char *=path"),
        signature("POSIX", "open: __open_2", "fd", "path:char *=path"),
        signature("POSIX", "creat", "fd"),
    )
    symbols = [
        ElfFunction("open64", 16, 8, ("__open64", "open")),
        ElfFunction("__open_2", 32, 8),
        ElfFunction("creat", 48, 8, ifunc=True),
        ElfFunction("unknown", 64, 8),
    ]
    found = functions_of(table, symbols)
    assert [(function.name, function.symbol, function.offset, function.aliases) for function in found] == [
        ("creat", "creat", 48, ()),  # an indirect one, too: composing puts its implementation in its place
        ("open", "__open_2", 32, ()),
        ("open", "open", 16, ("__open64", "open64")),
    ]


@pytest.mark.parametrize(
    ("ctype", "expected"),
    [
        ("int", (4, True)),
        ("const int", (4, True)),
        ("unsigned", (4, False)),
        ("long unsigned int", (8, False)),
        ("short int", (2, True)),
        ("unsigned long long int", (8, False)),
        ("signed char", (1, True)),
        ("size_t", (8, False)),
        ("mode_t", (4, False)),
        ("char **", (8, False)),
        ("struct stat *restrict", (8, False)),
        ("enum kind", (4, False)),
        ("MPI_Offset", (8, True)),
        ("int (*)(void)", (8, False)),
        ("something_t", (8, True)),
    ],
)
def test_integer_types(ctype, expected):
    assert integer_type(ctype) == expected
