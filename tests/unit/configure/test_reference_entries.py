from __future__ import annotations

import lzma
import os
import shutil

import pytest

from datacrumbs.configure import Selection, compose
from datacrumbs.configure.compose import Report
from datacrumbs.elf.functions import elf_functions, elf_target
from datacrumbs.elf.usdt import usdt_probes
from datacrumbs.errors import DatacrumbsError
from datacrumbs.kernel.symbols import kernel_functions
from datacrumbs.kernel.tracefs import kprobes_available
from datacrumbs.probefile.show import readable
from datacrumbs.provider import Attach, Function, Layer, ProbeTarget, Role, Target

from .unsigned import unsigned

CALLS = ProbeTarget(Target("", "6.18.0"), Attach.SYSCALL, "system calls")


@pytest.fixture
def system(make_plugin):
    functions = [
        Function(name, name, "POSIX", offset=number) for number, name in enumerate(("read", "write", "openat"))
    ]
    return make_plugin("sys", [(CALLS, functions)], layer=Layer.SYSTEM_CALLS)


def one(text: str) -> str:
    return f"capture_probes: [{{{text}}}]"


def uprobe(file, regex=".*", name="tiny"):
    return f"name: {name}, probe: uprobe, type: binary, file: {file}, regex: '{regex}'"


def test_system_calls_are_chosen_by_the_names_of_the_kernels_header(site, load, host, system):
    entry = "name: sys, probe: syscalls, type: header, file: /not/here/syscalls.h, regex: {}"
    plan = compose(site(one(entry.format("sys_.*"))), load(system), host)
    assert [each.symbol for each in plan.functions] == ["openat", "read", "write"]
    assert [entry.name for entry in plan.providers] == ["sys"]
    plan = compose(site(one(entry.format("SYS_(read|write)"))), load(system), host)
    assert [each.symbol for each in plan.functions] == ["read", "write"]


def test_system_calls_need_a_provider_that_knows_them(site, load, host):
    entry = "name: sys, probe: syscalls, type: header, file: /x/syscalls.h, regex: sys_.*"
    with pytest.raises(DatacrumbsError, match="install datacrumbs-sys"):
        compose(site(one(entry)), load(), host)


def test_a_library_that_no_provider_knows_is_described_by_its_debug_information(site, load, host, tiny_library):
    plan = compose(site(one(uprobe(tiny_library, "tiny_.*", "my lib"))), load(), host)
    functions = {each.symbol: each for each in plan.functions}
    assert sorted(functions) == ["tiny_close", "tiny_open", "tiny_read"]
    assert {each.category for each in functions.values()} == {"my_lib"}
    assert functions["tiny_open"].aliases == ("tiny_open64",)
    assert [(each.label, each.role) for each in functions["tiny_open"].arguments] == [
        ("path", Role.PATH),
        ("flags", Role.VALUE),
    ]
    assert [(entry.name, entry.distribution) for entry in plan.providers] == [("site", "datacrumbs")]
    assert plan.groups[0].target == elf_target(tiny_library)


def test_a_regex_is_matched_against_the_symbol_only(site, load, host, tiny_library):
    """The reference matches ``symbol:0xoffset``, so an expression with an end finds nothing."""
    plan = compose(site(one(uprobe(tiny_library, "^tiny_close$") + ", include_offsets: true")), load(), host)
    assert [each.symbol for each in plan.functions] == ["tiny_close"]
    with pytest.raises(DatacrumbsError, match="the regex matches none"):
        compose(site(one(uprobe(tiny_library, "tiny_close:0x.*"))), load(), host)


def test_function_names_carry_no_offset_and_usdt_ends_are_not_their_beginnings(
    site, load, host, tiny_library, usdt_program
):
    """The reference names ``f:0xoffset`` and attaches the end of a USDT pair where it begins."""
    library = compose(site(one(uprobe(tiny_library) + ", include_offsets: true")), load(), host)
    assert not any(":" in name for each in library.functions for name in (each.name, each.symbol, *each.aliases))
    entry = f"name: steps, probe: usdt, type: usdt, binary_path: {usdt_program}, provider: tiny"
    plan = compose(site(one(entry)), load(), host)
    places = {probe.name: probe.locations for probe in usdt_probes(usdt_program)}
    lonely, step = plan.functions
    assert (lonely.name, lonely.symbol, lonely.return_places) == ("lonely", "tiny:lonely", ())
    assert (step.name, step.symbol) == ("step", "tiny:step__entry")
    assert (step.offset,) == places["step__entry"]
    ends = tuple(place.offset for place in step.return_places)
    assert ends == places["step__return"]
    assert step.offset not in ends
    assert plan.groups[0].attach is Attach.USDT


def test_usdt_probes_of_another_provider_are_named_in_the_error(site, load, host, usdt_program):
    entry = f"name: steps, probe: usdt, type: usdt, binary_path: {usdt_program}, provider: python"
    with pytest.raises(DatacrumbsError, match="no USDT probes of provider 'python'; it has those of: other, tiny"):
        compose(site(one(entry)), load(), host)


def test_usdt_probes_can_be_narrowed(site, load, host, usdt_program):
    entry = f"name: s, probe: usdt, type: usdt, binary_path: {usdt_program}, provider: tiny, regex: lone.*"
    assert [each.name for each in compose(site(one(entry)), load(), host).functions] == ["lonely"]


@pytest.mark.parametrize("regexes", [("step__entry", ".*"), (".*", "step__entry")])
def test_a_usdt_probe_that_one_entry_selects_with_its_end_is_a_call(site, load, host, usdt_program, regexes):
    entry = "{{name: s, probe: usdt, type: usdt, binary_path: {}, provider: tiny, regex: '{}'}}"
    entries = ", ".join(entry.format(usdt_program, regex) for regex in regexes)
    functions = compose(site(f"capture_probes: [{entries}]"), load(), host).functions
    assert [(each.name, bool(each.return_places)) for each in functions] == [("lonely", False), ("step", True)]


def test_a_provider_describes_the_functions_that_it_knows(site, load, host, tiny_library, make_plugin):
    offsets = {symbol.name: symbol.offset for symbol in elf_functions(tiny_library)}
    target = ProbeTarget(elf_target(tiny_library), Attach.UPROBE, "tiny")
    known = make_plugin("tiny", [(target, [Function("read", "tiny_read", "POSIX", offset=offsets["tiny_read"])])])
    plan = compose(site(one(uprobe(tiny_library, "tiny_.*"))), load(known), host)
    assert [(group.provider, [each.name for each in group.functions]) for group in plan.groups] == [
        ("tiny", ["read"]),
        ("site", ["tiny_close", "tiny_open"]),
    ]


def test_a_provider_also_describes_another_build_of_its_library(site, load, host, tiny_library, make_plugin, tmp_path):  # noqa: PLR0917 -- fixtures
    offsets = {symbol.name: symbol.offset for symbol in elf_functions(tiny_library)}
    target = ProbeTarget(elf_target(tiny_library), Attach.UPROBE, "tiny")
    known = make_plugin("tiny", [(target, [Function("read", "tiny_read", "POSIX", offset=offsets["tiny_read"])])])
    own = tmp_path / tiny_library.name
    shutil.copy(tiny_library, own)
    plan = compose(site(one(uprobe(own, "tiny_read"))), load(known), host)
    assert [(group.provider, group.target.path) for group in plan.groups] == [("tiny", str(own))]


def test_probes_stand_behind_the_first_instructions_unless_they_are_told_to_stay(site, load, host, build_elf, tmp_path):
    source = '__asm__(".globl f\\n.type f, @function\\nf: mov %edi, %eax\\npush %rbx\\npop %rbx\\nret\\n");'
    library = build_elf(tmp_path, "libmovable.so", source, "-shared", "-Wl,--build-id")
    text = one(uprobe(library, "f"))
    for moved, plan in (
        (2, compose(site(text), load(), host)),
        (0, compose(site(text + "\nmove_probes: false"), load(), host)),
        (0, compose(site(text), load(), host, Selection(move=False))),
    ):
        (function,) = plan.functions
        assert (function.skip, function.place) == (moved, function.offset + moved)
        assert (f"@{function.offset:#x}+2" in readable(unsigned(plan))) == bool(moved)


def test_functions_of_cpp_have_no_return_probe(site, load, host, cpp_library):
    plan = compose(site(one(uprobe(cpp_library, "_Z.*|plain"))), load(), host)
    assert {each.symbol: each.return_probe for each in plan.functions} == {"_Z7throweri": False, "plain": True}


def test_entries_of_one_file_are_united(site, load, host, tiny_library):
    text = (
        f"capture_probes:\n  - {{{uprobe(tiny_library, 'tiny_o.*', 'a')}}}\n  - {{{uprobe(tiny_library, '.*', 'b')}}}\n"
    )
    plan = compose(site(text), load(), host)
    assert len({each.offset for each in plan.functions}) == len(plan.functions) == len(elf_functions(tiny_library))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (uprobe("/no/such/lib.so"), r"site.yaml:1: capture_probes\[0\].file: /no/such/lib.so: no such file"),
        (uprobe("/etc/passwd"), r"site.yaml:1: capture_probes\[0\].file: .*not a readable ELF file"),
        (
            "name: p, probe: usdt, type: usdt, binary_path: /no/python, provider: python",
            r"site.yaml:1: capture_probes\[0\].binary_path: /no/python: no such file",
        ),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_named_with_its_line(site, load, host, entry, words):
    with pytest.raises(DatacrumbsError, match=words):
        compose(site(one(entry)), load(), host)


CUSTOM = "name: c, probe: custom, type: custom, file: /a.bpf.c, probes: /p.json, process_header: /h.h"


def test_foreign_c_is_refused_and_the_way_on_is_named(site, load, host, system):
    read = site(f"capture_probes: [{{{CUSTOM}}}, {{provider: sys}}]")
    with pytest.raises(DatacrumbsError, match=r"C of a site file cannot be loaded into the kernel") as caught:
        compose(read, load(system), host)
    assert "snippet" in caught.value.hint
    assert "--without custom" in caught.value.hint
    assert len(compose(read, load(system), host, Selection(without=("custom",))).functions) == 3


def test_reference_entries_can_be_selected_by_their_probe(site, load, host, system, tiny_library):
    read = site(f"capture_probes: [{{{uprobe(tiny_library)}}}, {{provider: sys}}]")
    for only in ("uprobe", "site"):
        plan = compose(read, load(system), host, Selection(only=(only,)))
        assert [entry.name for entry in plan.providers] == ["site"]
    plan = compose(read, load(system), host, Selection(only=("sys",)))
    assert [entry.name for entry in plan.providers] == ["sys"]


KSYM = "{name: vfs, probe: kprobe, type: ksym, regex: '^vfs_(read|write)$'}"


def test_kernel_functions_without_kprobes_are_a_note_beside_others_and_an_error_alone(
    site, load, host, system, monkeypatch
):
    monkeypatch.setattr("datacrumbs.configure.reference_entries.kprobes_available", lambda: False)
    notes: list[str] = []
    plan = compose(
        site(f"capture_probes: [{KSYM}, {{provider: sys}}]"), load(system), host, report=Report(notes.append)
    )
    assert len(plan.functions) == 3
    assert notes[0].endswith("capture_probes[0] (vfs): the running kernel has no kprobes (CONFIG_KPROBES)")
    with pytest.raises(DatacrumbsError, match="the running kernel has no kprobes"):
        compose(site(f"capture_probes: [{KSYM}]"), load(system), host)


@pytest.fixture
def with_kprobes(monkeypatch):
    if not kprobes_available():
        monkeypatch.setattr("datacrumbs.configure.reference_entries.kprobes_available", lambda: True)


@pytest.mark.usefixtures("with_kprobes")
def test_kernel_functions_are_chosen_from_the_kernels_own_symbols(site, load, host, tmp_path):
    plan = compose(site(f"capture_probes: [{KSYM}]"), load(), host)
    assert [each.symbol for each in plan.functions] == ["vfs_read", "vfs_write"]
    assert plan.groups[0].attach is Attach.KPROBE
    assert plan.groups[0].target.is_kernel
    header = tmp_path / "fs.h"
    header.write_text("/* vfs_fsync(x) */\nextern ssize_t vfs_read(struct file *, char *);\n#define no_function(x) x\n")
    entry = f"{{name: vfs, probe: kprobe, type: header, file: {header}}}"
    assert [each.symbol for each in compose(site(f"capture_probes: [{entry}]"), load(), host).functions] == ["vfs_read"]


@pytest.mark.usefixtures("with_kprobes")
def test_kernel_functions_of_a_compressed_module(site, load, host, tmp_path, build_elf):
    module = build_elf(tmp_path, "fs.ko", "int vfs_read(void) { return 1; } int not_here(void) { return 2; }", "-c")
    packed = tmp_path / "fs.ko.xz"
    packed.write_bytes(lzma.compress(module.read_bytes()))
    for file in (module, packed):
        entry = f"{{name: vfs, probe: kprobe, type: binary, file: {file}}}"
        plan = compose(site(f"capture_probes: [{entry}]"), load(), host)
        assert [each.symbol for each in plan.functions] == ["vfs_read"]
    packed.write_bytes(b"no xz at all")
    with pytest.raises(DatacrumbsError, match="cannot be decompressed"):
        compose(site(f"capture_probes: [{entry}]"), load(), host)
    assert "vfs_read" in kernel_functions()


def test_one_reason_for_many_entries_is_one_note(site, load, host, system, monkeypatch):
    monkeypatch.setattr("datacrumbs.configure.reference_entries.kprobes_available", lambda: False)
    notes: list[str] = []
    read = site(f"capture_probes: [{KSYM}, {KSYM}, {KSYM}, {{provider: sys}}]")
    compose(read, load(system), host, report=Report(notes.append))
    assert len(notes) == 1
    assert "capture_probes[0] (vfs) and 2 more entries: the running kernel has no kprobes" in notes[0]


VECTORS = """
#include <immintrin.h>
__m256i swap(__m256i a) { return _mm256_shuffle_epi32(a, 0x1b); }
void store(__m256i v, void *p) { _mm256_storeu_si256(p, v); }
void put(__m256i v, void *p) { _mm256_storeu_si256(p, v); }
int plain(int a) { return a + 1; }
"""


def test_functions_that_no_probe_leaves_as_they_are_are_left_out_with_a_note(site, load, host, build_elf, tmp_path):
    flags = ("-shared", "-fPIC", "-mavx2", "-fcf-protection=none", "-Wl,--build-id")
    library = build_elf(tmp_path, "libvectors.so", VECTORS, *flags)
    notes: list[str] = []
    entry = f"{{name: V, probe: uprobe, type: binary, file: {library}, regex: 'swap|store|put|plain'}}"
    plan = compose(site(f"capture_probes: [{entry}]"), load(), host, report=Report(notes.append))
    assert {(each.symbol, each.skip) for each in plan.functions} == {("plain", 0), ("swap", 5)}
    (note,) = notes
    reason = "the instruction there is decoded as another one by the kernel, which would compute something else"
    assert note == f"{library}: 2 functions are left out (put, store): {reason}"


def test_nothing_is_composed_when_nothing_can_be_probed(site, load, host, build_elf, tmp_path):
    flags = ("-shared", "-fPIC", "-mavx2", "-fcf-protection=none", "-Wl,--build-id")
    library = build_elf(tmp_path, "libvectors.so", VECTORS, *flags)
    entry = f"{{name: V, probe: uprobe, type: binary, file: {library}, regex: 'store|swap'}}"
    with pytest.raises(DatacrumbsError, match="no function to probe is left of those that were selected"):
        compose(site(f"move_probes: false\ncapture_probes: [{entry}]"), load(), host)


def test_usdt_probes_obey_the_same_rule(site, load, host, build_elf, tmp_path):
    source = """
    #include <sys/sdt.h>
    int main(int count, char **arguments)
    {
        DTRACE_PROBE1(tiny, good, count);
        asm volatile("990: vzeroupper\\n"
            ".pushsection .note.stapsdt,\\"\\",\\"note\\"\\n .balign 4\\n .4byte 992f-991f,994f-993f,3\\n"
            "991: .asciz \\"stapsdt\\"\\n992: .balign 4\\n993: .8byte 990b\\n .8byte _.stapsdt.base\\n .8byte 0\\n"
            ".asciz \\"tiny\\"\\n .asciz \\"bad\\"\\n .asciz \\"\\"\\n994: .balign 4\\n .popsection\\n");
        return count;
    }
    """
    program = build_elf(tmp_path, "prober", source, "-no-pie", "-Wl,--build-id")
    notes: list[str] = []
    entry = f"{{name: U, probe: usdt, type: usdt, binary_path: {program}, provider: tiny}}"
    plan = compose(site(f"capture_probes: [{entry}]"), load(), host, report=Report(notes.append))
    assert [each.symbol for each in plan.functions] == ["tiny:good"]
    (note,) = notes
    assert note.startswith(f"{program}: 1 function is left out (tiny:bad): the instruction there is decoded as another")


INDIRECT = """
static int zero(void) { return 0; }
static void *resolve(void) { return zero; }
int chosen(void) __attribute__((ifunc("resolve")));
int plain(void) { return 1; }
"""


def test_an_indirect_function_is_the_implementation_that_the_loader_picks(site, load, host, build_elf, tmp_path):
    library = build_elf(tmp_path, "libchosen.so", INDIRECT, "-shared", "-fPIC")
    resolver = {symbol.name: symbol.offset for symbol in elf_functions(library)}["chosen"]
    (function,) = compose(site(one(uprobe(library, "chosen"))), load(), host).functions
    assert (function.name, function.symbol) == ("chosen", "chosen")
    assert function.offset != resolver


def test_indirect_functions_that_cannot_be_resolved_are_left_out_with_the_reason(site, load, host, build_elf, tmp_path):
    program = build_elf(tmp_path, "program", INDIRECT + "int main(void) { return chosen(); }", "-rdynamic")
    notes: list[str] = []
    plan = compose(site(one(uprobe(program, "chosen|plain"))), load(), host, report=Report(notes.append))
    assert [each.symbol for each in plan.functions] == ["plain"]
    reason = f"{program}: 1 indirect function is left out (chosen): the library cannot be loaded: "
    assert reason in notes[0]
    with pytest.raises(DatacrumbsError, match="no function to probe is left") as caught:
        compose(site(one(uprobe(program, "chosen"))), load(), host)
    assert reason in caught.value.message


@pytest.mark.skipif(os.geteuid() != 0, reason="others have no rights to give up")
def test_a_library_is_loaded_without_the_rights_of_root(site, load, host, build_elf, tmp_path):
    """Resolvers and constructors are a stranger's code; what they write is no answer, and a closed folder no bar."""
    begin = f"""
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
__attribute__((constructor)) static void begin(void)
{{
	printf("{{}} uid %u gid %u\\n", geteuid(), getegid());
	fflush(stdout);
	if (!geteuid() || !getegid() || open("{tmp_path}/made", O_CREAT | O_WRONLY, 0666) >= 0)
		_exit(3);
}}
"""
    library = build_elf(tmp_path, "libguest.so", INDIRECT + begin, "-shared", "-fPIC")
    tmp_path.chmod(0o700)
    assert [each.symbol for each in compose(site(one(uprobe(library, "chosen"))), load(), host).functions] == ["chosen"]
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("end", ["_exit(7)", "abort()", "for (;;) pause()"])
def test_a_library_that_does_not_load_holds_nothing_up(site, load, host, build_elf, tmp_path, end, monkeypatch):  # noqa: PLR0917 -- fixtures
    if "pause" in end:
        monkeypatch.setattr("datacrumbs.elf.asked_programs.CLOCK_SECONDS", 2.0)
    text = (
        f"#include <stdlib.h>\n#include <unistd.h>\n__attribute__((constructor)) static void begin(void) {{ {end}; }}"
    )
    library = build_elf(tmp_path, "libnever.so", text + INDIRECT, "-shared", "-fPIC")
    notes: list[str] = []
    plan = compose(site(one(uprobe(library, "chosen|plain"))), load(), host, report=Report(notes.append))
    assert [each.symbol for each in plan.functions] == ["plain"]
    why = "was not loaded" if "pause" in end else "cannot be loaded"
    assert f"1 indirect function is left out (chosen): the library {why}: " in notes[0]
