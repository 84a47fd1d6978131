from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from datacrumbs.configure import default_site_file, find_site_file, read_site_file
from datacrumbs.configure.site import ProbeKind, ProviderEntry, ReferenceEntry, SourceKind
from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.secure.document import SIZE_LIMIT
from datacrumbs.system import SystemPaths

REFERENCE = """
    capture_probes:
      - name: sys
        probe: syscalls
        type: header
        file: /usr/src/kernels/6.1/include/linux/syscalls.h
        regex: sys_.*
      - name: os_page_cache
        probe: kprobe
        type: header
        file: /usr/src/kernels/6.1/include/linux/pagemap.h
        enable_explorer: false
      - name: lustre
        probe: kprobe
        type: binary
        file: /lib/modules/lustre.ko
        regex: (?!.*__)(?!.*:)(?!.*constprop)(?!.*isra).*
      - name: xfs
        probe: kprobe
        type: ksym
        regex: ^xfs(?!.*cold).*
      - name: mpi
        probe: uprobe
        type: binary
        file: /opt/openmpi/lib/libmpi.so
        regex: .*
        include_offsets: true
      - name: python
        probe: usdt
        type: usdt
        binary_path: /lib64/libpython3.6m.so.1.0
        provider: python
      - name: custom1
        start_event_id: 100000
        probe: custom
        type: custom
        file: /a/sysio.bpf.c
        probes: /a/probes.json
        process_header: /a/sysio_process.h
        event_type: 2
    trace_log_dir: /var/log/traces
    data_dir: /var/lib/dc
    inclusion_path: /lustre/project/
    user: someone
"""


def test_a_file_of_the_reference_system_is_read_unchanged(site):
    read = site(REFERENCE)
    assert [(entry.name, entry.probe, entry.source) for entry in read.entries] == [
        ("sys", ProbeKind.SYSCALLS, SourceKind.HEADER),
        ("os_page_cache", ProbeKind.KPROBE, SourceKind.HEADER),
        ("lustre", ProbeKind.KPROBE, SourceKind.BINARY),
        ("xfs", ProbeKind.KPROBE, SourceKind.KSYM),
        ("mpi", ProbeKind.UPROBE, SourceKind.BINARY),
        ("python", ProbeKind.USDT, SourceKind.USDT),
        ("custom1", ProbeKind.CUSTOM, SourceKind.CUSTOM),
    ]
    assert read.filters.inclusion_path == "/lustre/project"
    notes = "\n".join(read.notes)
    assert "trace_log_dir: ignored: the system configuration decides where traces go" in notes
    assert "user: ignored" in notes
    assert "data_dir: ignored" in notes


def test_our_entries_name_a_provider_and_need_nothing_else(site):
    read = site("""
        providers: [mpi, {provider: hdf5, preset: data}]
        capture_probes:
          - provider: posix
          - {provider: sys, functions: 'open|read', options: {classes: [file], depth: 3}}
        filters: {minimum_duration: 10us, inclusion_path: /data}
    """)
    posix, system, mpi, hdf5 = read.entries
    assert isinstance(posix, ProviderEntry)
    assert (posix.provider, posix.preset, posix.functions) == ("posix", "", None)
    assert system.functions.select(["open", "OPEN", "openat", "read"]) == {"open", "OPEN", "read"}
    assert {key: value.plain for key, value in system.options.items()} == {"classes": ["file"], "depth": 3}
    assert (mpi.provider, hdf5.provider, hdf5.preset) == ("mpi", "hdf5", "data")
    assert (read.filters.minimum_duration_ns, read.filters.inclusion_path) == (10_000, "/data")


def test_command_lines_are_kept_unless_the_file_says_otherwise(site):
    assert site("").filters.command_lines
    assert not site("command_lines: false").filters.command_lines


def test_the_usdt_provider_of_a_reference_entry_is_no_provider_of_ours(site):
    (entry,) = site("capture_probes: [{name: p, probe: usdt, type: usdt, binary_path: /x, provider: sys}]").entries
    assert isinstance(entry, ReferenceEntry)
    assert entry.usdt_provider == "sys"


@pytest.mark.parametrize("text", ["", "# nothing\n", "capture_probes:\n", "capture_probes: []\n"])
def test_an_empty_file_has_no_entries(site, text):
    assert site(text).entries == ()


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [("10us", 10_000), ("1.5ms", 1_500_000), ("7 ns", 7), ("0", 0), ("2s", 2 * 10**9), ("3µs", 3_000)],
)
def test_durations(site, text, nanoseconds):
    assert site(f"filters: {{minimum_duration: '{text}'}}").filters.minimum_duration_ns == nanoseconds


ERRORS = {
    "unknown key": ("capture_probe: []", "1: capture_probe: unknown key; did you mean 'capture_probes'?; expected one"),
    "unknown key of an entry": (
        "capture_probes:\n  - provider: sys\n    presets: data\n",
        "3: capture_probes[0].presets: unknown key; did you mean 'preset'?",
    ),
    "regex": (
        (
            "capture_probes:\n  - {name: x, probe: uprobe, type: binary, file: /x, regex: a}\n"
            "  - name: y\n    probe: uprobe\n    type: binary\n    file: /y\n    regex: '(a'\n"
        ),
        (
            "7: capture_probes[1].regex: not a valid regular expression: missing ), unterminated subpattern "
            "at position 0; "
            "expected a Python regular expression"
        ),
    ),
    "long regex": (f"capture_probes: [{{provider: s, functions: {'a' * 5000}}}]", "5000 characters long; expected at"),
    "key twice": ("user: a\ncapture_probes: []\nuser: b\n", "3: user: the key appears twice, first on line 1"),
    "no list": ("capture_probes: {a: 1}", "1: capture_probes: a mapping is not a list"),
    "no mapping": ("- a", "1: a list is not a mapping"),
    "entry is no mapping": ("capture_probes:\n  - posix\n", "2: capture_probes[0]: 'posix' is not a mapping"),
    "neither form": ("capture_probes: [{name: x}]", "capture_probes[0]: has neither `provider` nor `probe`"),
    "no type": ("capture_probes: [{name: x, probe: uprobe}]", "the key `type` is missing"),
    "unknown probe": (
        "capture_probes: [{name: x, probe: uprob, type: binary}]",
        "did you mean 'uprobe'?",
    ),
    "wrong type": (
        "capture_probes: [{name: x, probe: uprobe, type: header}]",
        "type: 'header' is not known",
    ),
    "no file": ("capture_probes: [{name: x, probe: uprobe, type: binary}]", "the key `file` is missing"),
    "relative file": (
        "capture_probes: [{name: x, probe: uprobe, type: binary, file: a.so}]",
        "'a.so' is not an absolute",
    ),
    "ksym without regex": ("capture_probes: [{name: x, probe: kprobe, type: ksym}]", "the key `regex` is missing"),
    "no number": ("capture_probes: [{provider: 7}]", "provider: 7 is not a string"),
    "wrong boolean": (
        "capture_probes: [{name: x, probe: uprobe, type: binary, file: /x, include_offsets: often}]",
        "include_offsets: 'often' is not a boolean; expected true or false",
    ),
    "duration without unit": ("filters: {minimum_duration: 10}", "10 is not a duration; expected a time with its unit"),
    "endless duration": ("filters: {minimum_duration: 5000s}", "'5000s' is too long"),
    "relative inclusion": ("inclusion_path: data", "'data' is not an absolute path"),
    "climbing inclusion": ("inclusion_path: /data/../etc", "is not an absolute path without . and .."),
    "inclusion twice": ("inclusion_path: /a\nfilters: {inclusion_path: /b}", "1: inclusion_path: also set on line 2"),
    "no YAML": ("a: [1\nb: 2\n", "not valid YAML"),
    "wrong tag": ("user: !!int abc", "not what its tag says"),
    "python tag": ("user: !!python/object/apply:os.system ['true']", "is not allowed; expected plain YAML"),
    "placeholder": ("a: 1\nfile: @DATACRUMBS_LIBC_SO@\n", "2: the placeholder @DATACRUMBS_LIBC_SO@ of a template"),
    "placeholder inside": (
        "capture_probes: [{name: x, probe: uprobe, type: binary, file: /a/@UNAME@/b}]",
        "the placeholder @UNAME@ of a template was never filled in",
    ),
}


@pytest.mark.parametrize("text", [pytest.param(value, id=key) for key, value in ERRORS.items()])
def test_every_error_names_file_line_and_key(write_site, text):
    file = write_site(text[0])
    with pytest.raises(DatacrumbsError) as caught:
        read_site_file(file)
    assert caught.value.exit_code == ExitCode.USAGE
    assert re.match(rf"{re.escape(str(file))}:\d+: ", caught.value.message), caught.value.message
    assert text[1] in caught.value.message, caught.value.message


def test_aliases_that_multiply_end_in_an_error(write_site):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(DatacrumbsError, match="values with aliases followed"):
        read_site_file(write_site("\n".join(lines)))


def test_an_alias_of_itself_ends_in_an_error(write_site):
    with pytest.raises(DatacrumbsError, match="levels deep"):
        read_site_file(write_site("providers: &a [*a]"))


def test_deep_nesting_ends_in_an_error(write_site):
    with pytest.raises(DatacrumbsError, match="nested"):
        read_site_file(write_site("a: " + "[" * 5000 + "]" * 5000))


def test_a_large_file_is_not_read(write_site):
    with pytest.raises(DatacrumbsError, match="larger than"):
        read_site_file(write_site("# " + "x" * SIZE_LIMIT))


@pytest.mark.parametrize("content", [b"\xff\xfe", b"user: \x00"])
def test_a_file_that_is_no_text(tmp_path, content):
    file = tmp_path / "site.yaml"
    file.write_bytes(content)
    with pytest.raises(DatacrumbsError, match=r"site\.yaml"):
        read_site_file(file)


def test_a_missing_file(tmp_path):
    with pytest.raises(DatacrumbsError, match=r"no such site file"):
        find_site_file(str(tmp_path / "none.yaml"), SystemPaths(tmp_path))
    with pytest.raises(DatacrumbsError, match="datacrumbs/configs"):
        find_site_file("none.yaml", SystemPaths(tmp_path))


def test_a_bare_name_is_looked_for_among_the_installed_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = SystemPaths(tmp_path / "root")
    paths.site_files.mkdir(parents=True)
    installed = paths.site_files / "lead.yaml"
    installed.touch()
    assert find_site_file("lead.yaml", paths) == installed
    (tmp_path / "lead.yaml").touch()
    assert find_site_file("lead.yaml", paths).resolve() == tmp_path / "lead.yaml"


@pytest.mark.parametrize("variable", ["HOME", "XDG_CONFIG_HOME"])
def test_a_bare_name_is_looked_for_in_the_users_directory_before(tmp_path, monkeypatch, variable):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "own"))
    paths = SystemPaths(tmp_path / "root")
    own = tmp_path / "own" / (".config/datacrumbs" if variable == "HOME" else "datacrumbs")
    for directory in (own, paths.site_files):
        directory.mkdir(parents=True)
        (directory / "lead.yaml").touch()
    monkeypatch.setattr("datacrumbs.configure.site.first_unprotected", lambda *_, **__: None)
    assert find_site_file("lead.yaml", paths) == own / "lead.yaml"
    with pytest.raises(DatacrumbsError, match=f"no such site file here or in {own}, {paths.site_files}"):
        find_site_file("none.yaml", paths)
    (tmp_path / "lead.yaml").touch()
    assert find_site_file("lead.yaml", paths) == Path("lead.yaml")


@pytest.mark.skipif(os.geteuid() != 0, reason="is root")
def test_root_takes_no_file_that_another_user_could_have_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "own"))
    paths = SystemPaths(tmp_path / "root")
    for directory in (tmp_path / "own/datacrumbs", paths.site_files):
        directory.mkdir(parents=True)
        (directory / "lead.yaml").touch()
    os.chown(tmp_path / "own", 65534, 65534)
    assert find_site_file("lead.yaml", paths) == paths.site_files / "lead.yaml"


@pytest.mark.skipif(os.geteuid() != 0, reason="is root")
@pytest.mark.parametrize("who", ["file", "directory"])
def test_root_takes_no_file_that_another_user_has_put_where_root_works(tmp_path, monkeypatch, capsys, who):
    """Root may work in /tmp, or in a user's directory."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    paths = SystemPaths(tmp_path / "root")
    paths.site_files.mkdir(parents=True)
    for directory in (here, paths.site_files):
        (directory / "lead.yaml").touch()
    assert find_site_file("lead.yaml", paths) == Path("lead.yaml")
    os.chown(here if who == "directory" else here / "lead.yaml", 65534, 65534)
    assert find_site_file("lead.yaml", paths) == paths.site_files / "lead.yaml"
    assert "./lead.yaml: users other than root can change it" in capsys.readouterr().err
    assert find_site_file("./lead.yaml", paths) == Path("lead.yaml")
    (paths.site_files / "lead.yaml").unlink()
    assert find_site_file("lead.yaml", paths) == Path("lead.yaml")


def test_the_shipped_file_is_valid():
    assert [entry.provider for entry in read_site_file(default_site_file()).entries] == ["sys", "posix", "mpi", "hdf5"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("[a:int=wrong]", r"site.yaml:1: capture_probes\[0\].arguments: argument 'a:int=wrong': wrong is not a role"),
        ("[a, a]", r"duplicate label"),
        ("a:int", r"is not a list"),
    ],
)
def test_arguments_of_usdt_probes_are_checked(site, arguments, words):
    entry = f"{{name: p, probe: usdt, type: usdt, binary_path: /bin/sh, arguments: {arguments}}}"
    with pytest.raises(DatacrumbsError, match=words):
        site(f"capture_probes: [{entry}]")
