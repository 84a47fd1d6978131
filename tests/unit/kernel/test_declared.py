"""What a plan may have recorded of the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.kernel import declared, tracefs, tracepoints
from datacrumbs.kernel.btf import Prototype, TypedValue
from datacrumbs.kernel.declared import check_declared
from datacrumbs.model.plan import Argument, Attach, Function, Group, Plan, Result, Role, Target

if TYPE_CHECKING:
    from pathlib import Path

KMALLOC = """name: kmalloc
ID: 658
format:
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;

	field:unsigned long site;	offset:8;	size:8;	signed:0;
	field:const void * ptr;	offset:16;	size:8;	signed:0;
	field:size_t bytes_req;	offset:24;	size:8;	signed:0;
	field:unsigned long pfn;	offset:32;	size:8;	signed:0;
	field:char rwbs[10];	offset:40;	size:10;	signed:0;
	field:unsigned long args[6];	offset:56;	size:48;	signed:0;
	field:__data_loc char[] name;	offset:104;	size:4;	signed:0;

print fmt: "site=%pS ptr=%p", (void *)REC->site, REC->ptr
"""
READ = Prototype(
    "vfs_read",
    (
        TypedValue("file", "struct file *", 8, signed=False, pointer=True),
        TypedValue("handler", "handler_t", 8, signed=False, pointer=True),
        TypedValue("count", "size_t", 8, signed=False),
        TypedValue("path", "const char *", 8, signed=False, pointer=True),
        TypedValue("fd", "int", 4, signed=True),
    ),
    TypedValue("", "ssize_t", 8, signed=True),
)
OPEN = Prototype("open", (), TypedValue("", "struct file *", 8, signed=False, pointer=True))
NOTHING = Prototype("nothing", (), None)


@pytest.fixture
def events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel with one event."""
    place = tmp_path / "events/kmem/kmalloc"
    place.mkdir(parents=True)
    (place / "format").write_text(KMALLOC)
    monkeypatch.setattr(tracefs, "PLACES", (tmp_path,))
    monkeypatch.setattr(tracepoints, "kernel_btf", lambda: None)


@pytest.fixture
def functions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel with three functions."""
    prototypes = {prototype.name: prototype for prototype in (READ, OPEN, NOTHING)}
    monkeypatch.setattr(declared, "kernel_prototype", prototypes.get)


def _check(symbol: str, attach: Attach, *arguments: Argument, result: Result = Result.VOID) -> str:
    function = Function("f", symbol, "KERNEL", arguments=arguments, result=result)
    try:
        check_declared(Plan((), (Group("sys", "kernel", attach, Target("", "6.1"), (function,)),)))
    except DatacrumbsError as error:
        return error.message if error.exit_code is ExitCode.REFUSED else ""
    return ""


def _field(offset: int, size: int = 8, ctype: str = "long", role: Role = Role.VALUE) -> Argument:
    return Argument(offset, "value", ctype, role, size)


@pytest.mark.parametrize("field", [_field(24), _field(40, 2, "char[2]"), _field(40, 8, "char[8]")])
@pytest.mark.usefixtures("events")
def test_declared_fields(field: Argument) -> None:
    assert not _check("kmem:kmalloc", Attach.TRACEPOINT, field)


@pytest.mark.parametrize(
    "field",
    [
        _field(108),  # behind the last one
        _field(112),
        _field(0),  # the kernel's own: where its registers are
        _field(4, 4),
        _field(8),  # an address by the way it is shown
        _field(16),  # by its type
        _field(32),  # by its name
        _field(24, 4),  # a part
        _field(28, 4),
        _field(20, 8),
        _field(40),  # a text as a number would show what was not written
        _field(42, 8, "char[8]"),
        _field(40, 8, "char[4]"),
        _field(24, 8, "char[8]"),
        _field(56),
        _field(104, 4),
        _field(24, role=Role.STRING),
        _field(24, role=Role.HANDLE),
        _field(24, role=Role.OUT),
    ],
)
@pytest.mark.usefixtures("events")
def test_what_is_no_declared_number_or_text(field: Argument) -> None:
    message = _check("kmem:kmalloc", Attach.TRACEPOINT, _field(24), Argument(**{**_values(field), "label": "other"}))
    assert message.startswith("event kmem:kmalloc: other: ")


def _values(argument: Argument) -> dict[str, object]:
    return {name: getattr(argument, name) for name in Argument.__dataclass_fields__}


@pytest.mark.usefixtures("events")
def test_an_event_without_fields_needs_no_description() -> None:
    assert not _check("kmem:kfree", Attach.TRACEPOINT)
    assert "not known on this host" in _check("kmem:kfree", Attach.TRACEPOINT, _field(8))


@pytest.mark.parametrize(
    ("index", "size", "role", "why"),
    [
        (0, 8, Role.VALUE, "is an address (struct file *)"),
        (0, 8, Role.OUT, "is an address"),
        (0, 8, Role.HANDLE, "is an address"),
        (0, 8, Role.FD, "is an address"),
        (1, 8, Role.VALUE, "is an address (handler_t)"),
        (2, 8, Role.COUNT, ""),
        (2, 4, Role.COUNT, "is not declared"),
        (2, 8, Role.PATH, "is not an address"),
        (2, 8, Role.OUT_HANDLE, "is not an address"),
        (3, 8, Role.PATH, ""),
        (3, 8, Role.STRING, ""),
        (4, 4, Role.FD, ""),
        (4, 8, Role.FD, "is not declared"),
        (5, 8, Role.VALUE, "is not declared"),
    ],
)
@pytest.mark.usefixtures("functions")
def test_arguments_of_kernel_functions(index: int, size: int, role: Role, why: str) -> None:
    argument = Argument(index, "value", "long", role, size)
    message = _check("vfs_read", Attach.KPROBE, argument, result=Result.BYTES)
    assert why in message
    assert bool(message) is bool(why)


@pytest.mark.parametrize(
    ("symbol", "fits", "fits_not"),
    [
        ("vfs_read", (Result.BYTES, Result.VALUE, Result.VOID), (Result.HANDLE, Result.MAPPING)),
        ("open", (Result.POINTER, Result.VOID), (Result.VALUE, Result.BYTES, Result.HANDLE, Result.MAPPING)),
        ("nothing", (Result.VOID,), (Result.VALUE, Result.STATUS)),
        ("unknown", (Result.VOID, Result.POINTER), (Result.VALUE, Result.HANDLE)),
    ],
)
@pytest.mark.usefixtures("functions")
def test_results_of_kernel_functions(symbol: str, fits: tuple[Result, ...], fits_not: tuple[Result, ...]) -> None:
    assert [_check(symbol, Attach.KPROBE, result=result) for result in fits] == [""] * len(fits)
    assert all(_check(symbol, Attach.KPROBE, result=result) for result in fits_not)


def test_a_function_that_this_kernel_does_not_describe() -> None:
    assert not _check("no_such_function", Attach.KPROBE)
    assert "not known on this host" in _check("no_such_function", Attach.KPROBE, _field(0))
    assert not _check("vfs_read", Attach.KPROBE, _field(2), result=Result.BYTES)
    assert "is an address" in _check("vfs_read", Attach.KPROBE, _field(0), result=Result.BYTES)
