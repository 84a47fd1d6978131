"""Strings in memory that only a look at them brings in: known all the same, and never taken for others."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from datacrumbs.configure.site import ProviderEntry
from datacrumbs.elf.functions import elf_functions, elf_target
from datacrumbs.model.plan import Argument, Attach, Function, Group, Plan, Provenance, Returns, Role, Snippet

from .conftest import Tracer, composed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from datacrumbs.system import SystemConfiguration

    from .conftest import Trace

pytestmark = pytest.mark.kernel

SNIPPET = """/* The name that a function takes, as its second field. */
static __always_inline void dc_untouched_name_entry(struct dc_call *call)
{
	DC_SET_FIELD(call, 0, 23);
	DC_SET_FIELD_STRING(call, 1, DC_ARGUMENT(call, 0));
}
"""
FIELDS = (Argument(0, "number", "long", Role.VALUE, 8), Argument(1, "name", "char *", Role.STRING, 8))
UNREADABLE = 2
"""The path of a readlink that wrote over it, and what a function takes of which only entries are probed."""
DESCRIBED = (Argument(0, "path", "const char *", Role.PATH, 8),)
TAKEN = (Argument(0, "name", "const char *", Role.STRING, 8), Argument(1, "other", "const char *", Role.STRING, 8))


def _own_group(program: Path) -> Group:
    places = {function.name: function.offset for function in elf_functions(program)}
    functions = (
        Function("named", "named", "OTHER", places["named"], snippet="name"),
        Function("described", "described", "OTHER", places["described"], arguments=DESCRIBED),
        Function(
            "entered", "entered", "OTHER", places["entered"], arguments=TAKEN, returns=Returns.TWICE, snippet="name"
        ),
    )
    return Group("untouched", "untouched", Attach.UPROBE, elf_target(program), functions)


def _plan(program: Path) -> Plan:
    calls = composed(ProviderEntry("sys", preset="all"))
    provider = Provenance("untouched", "datacrumbs-untouched", "1", "other", 50)
    snippet = Snippet(name="name", text=SNIPPET, provider="untouched", fields=FIELDS)
    return Plan((*calls.providers, provider), (*calls.groups, _own_group(program)), (*calls.snippets, snippet))


@pytest.fixture(scope="module")
def traced(
    engine_state: Path,
    configuration: SystemConfiguration,
    build: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, Trace, int]:
    """The directory of untouched.c, its trace, and how many strings could not be read."""
    directory = tmp_path_factory.mktemp("untouched")
    for name in ("sub", "jail"):
        (directory / name).mkdir()
    shutil.copy("/bin/true", directory / "true")
    script = directory / "script"
    script.write_text("#!/bin/true\n")
    script.chmod(0o755)
    program = build("untouched.c")
    with Tracer(_plan(program), engine_state, configuration) as tracer:
        before = tracer.engine.totals()["names_unread"]
        trace = tracer.run(str(program), str(directory), "true", "script")
        assert trace.status == 0
        return directory, trace, tracer.engine.totals()["names_unread"] - before


# What calls by these symbols are about, in their order: names in the directory, and nothing.
def _names(traced: tuple[Path, Trace, int], *symbols: str) -> list[str]:
    directory, trace, _ = traced
    functions = trace.plan.functions
    calls = sorted(trace.calls, key=lambda call: int(call["start"]))
    names = [trace.path(call["file"]) for call in calls if functions[call["function"]].symbol in symbols]
    return [name.removeprefix(f"{directory}/") for name in names if not name or name.startswith(f"{directory}/")]


def test_paths_are_read_when_the_kernel_has_read_them(traced: tuple[Path, Trace, int]) -> None:
    opened = _names(traced, "open", "openat")
    assert [name for name in opened if name in {"made", "jail/inside"}] == ["made", "jail/inside"]
    assert _names(traced, "rename", "renameat", "renameat2") == ["made", "timed"]
    assert _names(traced, "unlink", "unlinkat")[0] == "moved"
    assert _names(traced, "stat", "newfstatat") == ["missing"]
    assert _names(traced, "mkdir", "mkdirat") == ["sub/inner"]


def test_a_path_starts_where_the_process_was_when_it_called(traced: tuple[Path, Trace, int]) -> None:
    assert _names(traced, "chdir") == ["sub", "sub/.."]
    assert _names(traced, "chroot") == ["jail"]


def test_whether_its_directory_is_the_root_of_a_path_is_read_then_too(traced: tuple[Path, Trace, int]) -> None:
    assert _names(traced, "openat2") == ["jail/rooted", "jail/rooted"]


def test_what_a_call_may_have_written_is_not_taken_for_its_path(traced: tuple[Path, Trace, int]) -> None:
    assert _names(traced, "readlink", "readlinkat") == ["", "link"]
    assert traced[2] == UNREADABLE


def test_a_constant_beside_a_path_does_not_hide_it(traced: tuple[Path, Trace, int]) -> None:
    assert _names(traced, "described") == ["beside"]


def test_a_call_without_a_path_is_about_its_descriptor_unless_it_needs_a_path(traced: tuple[Path, Trace, int]) -> None:
    assert _names(traced, "utimensat") == ["timed", ""]
    assert _names(traced, "unlinkat")[-1:] == [""]


def test_nor_is_a_second_path_that_is_not_given_a_directory(traced: tuple[Path, Trace, int]) -> None:
    assert _names(traced, "renameat") == ["timed"]
    _, trace, _ = traced
    functions = trace.plan.functions
    (call,) = (call for call in trace.calls if functions[call["function"]].symbol == "renameat")
    labels = [argument.label for argument in functions[call["function"]].arguments]
    assert trace.path(call["values"][labels.index("newpath")]) == ""


def test_what_was_executed_has_the_path_that_the_kernel_was_given(traced: tuple[Path, Trace, int]) -> None:
    assert _names(traced, "execve") == ["no-such-program", "true", "script"]
    assert _names(traced, "execveat") == ["script", "script", "true"]


def test_a_string_that_a_snippet_asks_for_is_read_at_the_return(traced: tuple[Path, Trace, int]) -> None:
    trace = traced[1]
    (call,) = trace.named("named")
    number, name = call["values"][-2:]
    assert (int(number), trace.path(name)) == (23, "a field")


def test_of_an_entry_alone_a_string_that_cannot_be_read_is_unknown(traced: tuple[Path, Trace, int]) -> None:
    (call,) = traced[1].named("entered")
    assert call["values"].tolist() == [0, 0, 0, 0, 23, 0]
