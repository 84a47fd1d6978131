from __future__ import annotations

import shutil

import pytest

from datacrumbs.configure import Selection, compose, current_host, read_site_file
from datacrumbs.configure.candidates import Sources, provider_candidates
from datacrumbs.configure.compose import Report
from datacrumbs.elf.functions import elf_functions, elf_target
from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.model.plan import FUNCTION_LIMIT
from datacrumbs.plugins import load_providers
from datacrumbs.probefile.codec import decode, encode
from datacrumbs.provider import (
    Argument,
    Attach,
    Cost,
    Function,
    Layer,
    Option,
    Preset,
    ProbeTarget,
    Result,
    Role,
    Snippet,
    Target,
)

KERNEL = Target("", "6.18.0")
CALLS = ProbeTarget(KERNEL, Attach.SYSCALL, "system calls")
FD = Argument(0, "fd", "int", Role.FD, 4)


def call(name: str, number: int, symbol: str = "", category: str = "POSIX") -> Function:
    return Function(name, symbol or name, category, offset=number, arguments=(FD,), result=Result.BYTES)


@pytest.fixture
def system(make_plugin):
    functions = [call("open", 257, "openat"), call("read", 0), call("futex", 202, category="SYS")]
    presets = [
        Preset("all", "", Cost.HIGH),
        Preset("data", "", Cost.LOW, frozenset({"read"})),
        Preset("default", "", Cost.LOW, frozenset({"read", "open"})),
    ]
    return make_plugin("sys", [(CALLS, functions)], layer=Layer.SYSTEM_CALLS, presets=presets)


@pytest.fixture
def tiny(make_plugin, tiny_library):
    target = ProbeTarget(elf_target(tiny_library), Attach.UPROBE, "tiny")
    functions = [
        Function(
            symbol.name.removeprefix("tiny_"),
            symbol.name,
            "POSIX",
            offset=symbol.offset,
            aliases=symbol.aliases,
            snippet="size" if symbol.name == "tiny_read" else "",
        )
        for symbol in elf_functions(tiny_library)
        if symbol.name.startswith("tiny_")
    ]
    text = "/* one */ static void dc_tiny_{0}_entry(struct dc_call *call) {{}}"
    snippets = [Snippet(name=name, text=text.format(name)) for name in ("unused", "size")]
    presets = [Preset("all", "", Cost.HIGH), Preset("data", "", Cost.LOW, frozenset({"read"}))]
    return make_plugin("tiny", [(target, functions)], layer=Layer.C_LIBRARY, snippets=snippets, presets=presets)


def shape(plan):
    return [(group.provider, group.attach.value, [each.symbol for each in group.functions]) for group in plan.groups]


def test_the_entry_of_a_provider_takes_its_default_preset_or_else_everything(site, load, host, system, tiny):
    plan = compose(site("providers: [sys, tiny]"), load(system, tiny), host)
    assert shape(plan) == [
        ("tiny", "uprobe", ["tiny_close", "tiny_open", "tiny_read"]),
        ("sys", "syscall", ["openat", "read"]),
    ]
    assert [entry.name for entry in plan.providers] == ["tiny", "sys"]
    assert plan.providers[1].distribution == "datacrumbs-sys"
    assert plan.groups[1].layer == "system calls"


def test_a_plan_is_the_same_whatever_the_order_of_entries(site, load, host, system, tiny):
    one = compose(site("providers: [sys, tiny]"), load(system, tiny), host)
    other = compose(site("providers: [tiny, sys]"), load(tiny, system), host)
    assert one == other
    assert decode(encode(one)) == one


def test_only_the_preset_that_is_used_gives_its_names(site, load, host, make_plugin, tiny_library):
    target = ProbeTarget(elf_target(tiny_library), Attach.UPROBE, "tiny")
    functions = [Function(name, name, "TINY", offset) for name, offset in (("one", 16), ("two", 32))]
    used = []
    presets = [
        Preset("other", "", Cost.LOW, lambda: pytest.fail("asked")),
        Preset("one", "", Cost.LOW, lambda: used.append("one") or frozenset({"one"})),
        Preset("none", "", Cost.LOW, frozenset),
    ]
    providers = load(make_plugin("tiny", [(target, functions)], presets=presets))
    found = Sources(providers, host)
    entry = site("capture_probes: [{provider: tiny, preset: one}]").entries[0]
    assert [each.function.name for each in provider_candidates(entry, found, "").candidates] == ["one"]
    assert used == ["one"]
    nothing = provider_candidates(entry, found, "none")
    assert not nothing.candidates
    assert nothing.reason == "preset 'none' select none of 2 functions"


def test_presets_options_and_expressions_narrow_the_selection(site, load, host, system):
    providers = load(system)

    def symbols(entry):
        plan = compose(site(f"capture_probes: [{{provider: sys, {entry}}}]"), providers, host)
        return [each.symbol for each in plan.functions]

    assert symbols("preset: all") == ["futex", "openat", "read"]
    assert symbols("preset: data") == ["read"]
    assert symbols("functions: 'open|fu.*'") == ["futex", "openat"]
    assert symbols("functions: 'OPENAT'") == ["openat"]
    assert symbols("preset: default, functions: 'fut.*|read'") == ["read"]


def test_only_the_snippets_and_providers_that_are_used_are_in_the_plan(site, load, host, system, tiny):
    plan = compose(site("capture_probes: [{provider: tiny}, {provider: sys}]"), load(system, tiny), host)
    assert [snippet.name for snippet in plan.snippets] == ["size"]
    plan = compose(site("capture_probes: [{provider: tiny, functions: tiny_close}]"), load(system, tiny), host)
    assert plan.snippets == ()
    assert [entry.name for entry in plan.providers] == ["tiny"]


def test_one_layer_only_carries_the_category_posix(site, load, host, system, tiny):
    plan = compose(
        site("capture_probes: [{provider: sys, preset: all}, tiny]".replace("tiny", "{provider: tiny}")),
        load(system, tiny),
        host,
    )
    categories = {each.symbol: each.category for each in plan.functions}
    assert categories["tiny_open"] == "POSIX"
    assert categories["openat"] == categories["read"] == categories["futex"] == "SYS"


def test_system_calls_carry_posix_when_libc_is_not_probed(site, load, host, system):
    plan = compose(site("providers: [sys]"), load(system), host)
    assert {each.category for each in plan.functions} == {"POSIX"}


def test_stdio_of_libc_leaves_posix_to_the_system_calls(site, load, host, system, make_plugin, tiny_library):  # noqa: PLR0917 -- fixtures
    target = ProbeTarget(elf_target(tiny_library), Attach.UPROBE, "libc")
    place = elf_functions(tiny_library)[0].offset
    libc = make_plugin("posix", [(target, [Function("fread", "fread", "STDIO", offset=place)])], layer=Layer.C_LIBRARY)
    plan = compose(site("providers: [posix, sys]"), load(system, libc), host)
    assert [each.category for each in plan.functions] == ["STDIO", "POSIX", "POSIX"]


def test_two_providers_at_one_place_are_one_function_with_a_note(site, load, host, tiny, make_plugin, tiny_library):  # noqa: PLR0917 -- fixtures
    symbols = {symbol.name: symbol for symbol in elf_functions(tiny_library)}
    target = ProbeTarget(elf_target(tiny_library), Attach.UPROBE, "tiny")
    outer = make_plugin(
        "outer",
        [(target, [Function("unlock", "outer_close", "X", offset=symbols["tiny_close"].offset)])],
        layer=Layer.APPLICATION,
    )
    notes: list[str] = []
    plan = compose(site("providers: [tiny, outer]"), load(tiny, outer), host, report=Report(notes.append))
    (merged,) = [each for each in plan.functions if each.offset == symbols["tiny_close"].offset]
    assert (merged.name, merged.symbol, merged.aliases) == ("unlock", "outer_close", ("tiny_close",))
    assert notes == ["1 function of tiny is probed as outer describes it: outer_close"]


def test_aliases_of_one_address_are_one_function(site, load, host, tiny):
    plan = compose(site("capture_probes: [{provider: tiny, functions: tiny_open64}]"), load(tiny), host)
    ((symbol, aliases),) = [(each.symbol, each.aliases) for each in plan.functions]
    assert (symbol, aliases) == ("tiny_open", ("tiny_open64",))


def test_a_hard_link_is_the_same_file_and_a_copy_is_another(site, load, host, make_plugin, tiny_library, tmp_path):  # noqa: PLR0917 -- fixtures
    link, copy = tiny_library.parent / "liblink.so", tmp_path / "libcopy.so"
    link.unlink(missing_ok=True)
    link.hardlink_to(tiny_library)
    shutil.copy(tiny_library, copy)
    function = Function("open", "tiny_open", "POSIX", offset=elf_functions(tiny_library)[0].offset)
    found = [
        (ProbeTarget(elf_target(path), Attach.UPROBE, path.name), [function]) for path in (tiny_library, link, copy)
    ]
    plan = compose(site("providers: [tiny]"), load(make_plugin("tiny", found)), host)
    assert [group.target.path for group in plan.groups] == sorted([str(copy), str(link)])
    assert len({group.target.build_id for group in plan.groups}) == 1


def test_the_command_line_narrows_and_widens_the_site_file(site, load, host, system, tiny):
    providers = load(system, tiny)
    both = site("providers: [sys, tiny]")

    def names(only=(), without=(), preset=""):
        return {entry.name for entry in compose(both, providers, host, Selection(only, without, preset)).providers}

    assert names(only=("tiny",)) == {"tiny"}
    assert names(without=("tiny",)) == {"sys"}
    assert names(only=("sys", "tiny")) == {"sys", "tiny"}
    plan = compose(site("providers: [tiny]"), providers, host, Selection(only=("sys",)))
    assert shape(plan) == [("sys", "syscall", ["openat", "read"])]


def test_a_preset_of_the_command_line_replaces_those_of_the_file(site, load, host, system, tiny):
    read = site("providers: [{provider: sys, preset: all}, tiny]")
    plan = compose(read, load(system, tiny), host, Selection(preset="data"))
    assert [each.symbol for each in plan.functions] == ["tiny_read", "read"]
    plan = compose(read, load(system, tiny), host, Selection(preset="default"))
    assert len(plan.functions) == 3 + 2  # tiny has no such preset


def test_a_preset_that_no_provider_has(site, load, host, system):
    with pytest.raises(DatacrumbsError, match="did you mean 'data'") as caught:
        compose(site("providers: [sys]"), load(system), host, Selection(preset="dat"))
    assert "all, data, default" in caught.value.hint


def test_a_preset_of_the_file_that_its_provider_does_not_have(site, load, host, system):
    with pytest.raises(DatacrumbsError, match=r"site.yaml:3: capture_probes\[0\].preset: 'dta' is not known; did you"):
        compose(site("capture_probes:\n  - provider: sys\n    preset: dta\n"), load(system), host)


def test_options_are_checked_where_they_stand(site, load, host, make_plugin):
    chosen = make_plugin("sys", [(CALLS, [call("read", 0)])], options=[Option("classes", "list", (), "", ("file",))])
    with pytest.raises(
        DatacrumbsError, match=r"site.yaml:4: capture_probes\[0\].options.classes: 'fil' is not a choice"
    ):
        compose(site("capture_probes:\n  - provider: sys\n    options:\n      classes: [fil]\n"), load(chosen), host)


def test_a_provider_that_is_not_installed(site, load, host, system):
    with pytest.raises(
        DatacrumbsError, match=r"site.yaml:1: providers\[0\] \(syss\): no provider 'syss' is installed; did you"
    ):
        compose(site("providers: [syss]"), load(system), host)


def test_a_provider_with_nothing_here_is_a_note_unless_it_was_named(site, load, host, system, make_plugin):
    providers = load(system, make_plugin("mpi", []))
    notes: list[str] = []
    compose(site("providers: [sys, mpi]"), providers, host, report=Report(notes.append))
    assert len(notes) == 1
    assert notes[0].endswith("providers[1] (mpi): found nothing to probe on this host")
    with pytest.raises(DatacrumbsError, match="--providers: mpi found nothing to probe on this host"):
        compose(site("providers: [sys, mpi]"), providers, host, Selection(only=("sys", "mpi")))


def test_no_function_at_all_is_an_error_that_says_why_for_each_entry(site, load, host, system, make_plugin):
    read = site("""
        capture_probes:
          - {provider: sys, functions: nothing_like_it}
          - {provider: sys, preset: data, functions: futex}
          - {provider: mpi}
    """)
    with pytest.raises(DatacrumbsError) as caught:
        compose(read, load(system, make_plugin("mpi", [])), host)
    assert caught.value.exit_code == ExitCode.USAGE
    message = caught.value.message
    assert "site.yaml:3: capture_probes[0] (sys): functions 'nothing_like_it' select none of 3 functions" in message
    assert (
        "site.yaml:4: capture_probes[1] (sys): preset 'data' and functions 'futex' select none of 3 functions"
        in message
    )
    assert "site.yaml:5: capture_probes[2] (mpi): found nothing to probe on this host" in message


def handles(make_plugin, library, symbol: str):
    target = ProbeTarget(elf_target(library), Attach.UPROBE, "tiny")
    offsets = {each.name: each.offset for each in elf_functions(library)}
    functions = [
        Function(name, given, "X", offset=offsets[place], arguments=(Argument(0, "handle", "long", role, 8),))
        for name, given, place, role in (
            ("read", symbol, "tiny_read", Role.HANDLE),
            ("close", "tiny_close", "tiny_close", Role.CLOSED),
        )
    ]
    return make_plugin("tiny", [(target, functions)], layer=Layer.C_LIBRARY)


def test_helpers_alone_are_no_plan(site, load, host, make_plugin, tiny_library):
    read = site("capture_probes: [{provider: tiny, functions: read}]")
    notes: list[str] = []
    plan = compose(read, load(handles(make_plugin, tiny_library, "tiny_read")), host, report=Report(notes.append))
    assert notes == ["1 more function is followed, and not written: they open and close what others use"]
    assert [(group.helper, each.name) for group in plan.groups for each in group.functions] == [
        (False, "read"),
        (True, "close"),
    ]
    with pytest.raises(DatacrumbsError, match="no function to probe is left of those that were selected") as caught:
        compose(read, load(handles(make_plugin, tiny_library, "tiny*/read")), host, report=Report(notes.append))
    assert caught.value.exit_code == ExitCode.USAGE
    assert "1 function left out: a probe file cannot carry such a name (tiny*/read)" in notes


@pytest.mark.parametrize("text", ["", "capture_probes: []"])
def test_no_entry_at_all_is_an_error(site, load, host, system, text):
    with pytest.raises(DatacrumbsError, match="nothing to probe: no entry is left"):
        compose(site(text), load(system), host)


def test_the_function_limit_and_the_warning_before_it(site, load, host, make_plugin, tiny_library, monkeypatch):  # noqa: PLR0917 -- fixtures
    monkeypatch.setattr("datacrumbs.elf.placement.refused_places", lambda *_: {})
    target = ProbeTarget(elf_target(tiny_library), Attach.UPROBE, "tiny")

    def composed(count):
        functions = [Function(f"f{n}", f"f{n}", "X", offset=16 + n) for n in range(count)]
        notes: list[str] = []
        compose(
            site("providers: [many]"),
            load(make_plugin("many", [(target, functions)])),
            host,
            report=Report(notes.append),
        )
        return notes

    assert composed(int(FUNCTION_LIMIT * 0.9)) == []
    (warning,) = composed(int(FUNCTION_LIMIT * 0.9) + 1)
    assert warning.startswith("warning: 14746 functions are 90% of the limit of 16384")
    assert composed(FUNCTION_LIMIT)
    with pytest.raises(DatacrumbsError, match="16385 functions are more than the limit of 16384"):
        composed(FUNCTION_LIMIT + 1)


def test_progress_is_told_for_each_entry(site, load, host, system, tiny):
    told: list[tuple[str, int, int]] = []
    compose(
        site("providers: [sys, tiny]"),
        load(system, tiny),
        host,
        report=Report(progress=lambda *step: told.append(step)),
    )
    assert [step[1:] for step in told] == [(0, 2), (1, 2), (2, 2)]


def test_an_expression_that_never_ends_is_stopped(site, load, host, make_plugin, tiny_library, monkeypatch):  # noqa: PLR0917 -- fixtures
    monkeypatch.setattr("datacrumbs.configure.pattern.TIME_LIMIT", 0.2)
    target = ProbeTarget(elf_target(tiny_library), Attach.UPROBE, "tiny")
    slow = make_plugin("slow", [(target, [Function("a" * 60 + "b", "a" * 60 + "b", "X", offset=16)])])
    with pytest.raises(DatacrumbsError, match=r"capture_probes\[0\].functions: takes more than 0 s of processor time"):
        compose(site("capture_probes: [{provider: slow, functions: '(a+)+c'}]"), load(slow), host)


def test_options_without_a_preset_select_what_they_name(tmp_path):
    site = tmp_path / "site.yaml"
    site.write_text("capture_probes:\n  - {provider: sys, options: {classes: [network]}}\n")
    plan = compose(read_site_file(site), load_providers(only=["sys"]), current_host())
    assert {"sendto", "recvfrom", "connect"} <= {function.symbol for function in plan.functions}
