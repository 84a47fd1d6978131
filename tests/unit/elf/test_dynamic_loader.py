"""What the loader itself says, when it may be asked, and that nothing else is ever run."""

from __future__ import annotations

import json
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from datacrumbs.elf import dynamic_loader
from datacrumbs.elf.dependencies import Loader
from datacrumbs.elf.dynamic_loader import loaded_files
from datacrumbs.elf.file import Elf
from datacrumbs.elf.loader_cache import read_loader_cache

NOBODY = 65534
ASK = """
import json, sys
from pathlib import Path
from datacrumbs.elf.dynamic_loader import loaded_files
program, environment, modules = json.loads(sys.argv[1])
found = loaded_files(Path(program), environment, [Path(module) for module in modules])
print(json.dumps(found if found is None else [str(path) for path in found]))
"""


@pytest.fixture
def folder():
    """A folder that every user may read; an ordinary user's."""
    path = Path(tempfile.mkdtemp(prefix="datacrumbs-loading-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def compiled(path, *flags, source="int main(void) { return 0; }", shared=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = ["-shared", "-fPIC", f"-Wl,-soname,{path.name}"] if shared else []
    command = ["gcc", *kind, "-x", "c", "-", "-x", "none", "-o", path, "-Wl,--no-as-needed", *flags]
    subprocess.run(command, input=source, text=True, check=True)
    return path


# By an ordinary user, as which root becomes nobody here.
def as_a_user(program, environment=None, modules=()):
    arguments = json.dumps([str(program), environment or {}, [str(module) for module in modules]])
    rights = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    done = subprocess.run([sys.executable, "-c", ASK, arguments], check=True, capture_output=True, **rights)
    found = json.loads(done.stdout)
    return found if found is None else [Path(path) for path in found]


def by_the_loader(program, environment):
    done = subprocess.run(
        [program], env={**environment, "LD_TRACE_LOADED_OBJECTS": "1"}, check=True, capture_output=True, text=True
    )
    words = [line.split() for line in done.stdout.splitlines()]
    paths = [row[2] if len(row) > 2 else row[0] for row in words]
    return [Path(path) for path in paths if path.startswith("/")]


@pytest.mark.parametrize("program", ["/bin/sh", "/usr/bin/tar", "/usr/bin/gcc"])
def test_what_the_system_has_is_asked_about_by_root_and_by_users(program):
    expected = by_the_loader(Path(program).resolve(), {})
    assert as_a_user(program) == expected
    assert list(loaded_files(Path(program), {}) or ()) == expected
    worked_out = Loader(Path(program), {}, read_loader_cache()).load_all([Path(program)])
    assert {path.resolve() for path in worked_out} == {path.resolve() for path in expected}


def test_folders_for_this_processor_are_the_loaders(folder):
    plain = compiled(folder / "lib/libdatum.so", shared=True, source="int f(void) { return 1; }")
    special = folder / "lib/glibc-hwcaps/x86-64-v2/libdatum.so"
    special.parent.mkdir(parents=True)
    shutil.copy(plain, special)
    program = compiled(folder / "program", plain)
    environment = {"LD_LIBRARY_PATH": str(plain.parent)}
    found = as_a_user(program, environment)
    assert found == by_the_loader(program, environment)
    if platform.machine() == "x86_64":
        assert special in found
    assert plain not in (as_a_user(program) or ())


def test_preloaded_files_and_modules_come_with_what_they_load(folder):
    below = compiled(folder / "below/libbelow.so", shared=True, source="int g(void) { return 1; }")
    modules = [
        compiled(folder / f"module{number}.so", below, f"-Wl,-rpath,{below.parent}", shared=True, source=";")
        for number in range(3)
    ]
    program = compiled(folder / "program")
    environment = {"LD_PRELOAD": str(modules[0])}
    found = as_a_user(program, environment, modules[1:])
    assert found is not None
    assert {*modules, below} <= set(found)
    assert as_a_user(program, {}, [folder / "a module.so"]) is None


def test_many_modules_are_asked_about_in_parts():
    modules = [Path(f"/{'x' * 100}/{number}") for number in range(2000)]
    parts = list(dynamic_loader.preload_lists("/own.so", modules))
    assert all(len(part) < 100_000 and part.startswith("/own.so ") for part in parts)
    assert [text for part in parts for text in part.split()[1:]] == list(map(str, modules))
    assert list(dynamic_loader.preload_lists("", ())) == [""]


@pytest.mark.parametrize("name", ["program", "ld-linux-x86-64.so.2"])
@pytest.mark.parametrize("link", [False, True], ids=["file", "link"])
def test_no_program_is_run_because_a_file_names_it_as_its_loader(folder, name, link):
    ran = folder / "ran"
    script = folder / "script"
    script.write_text(f"#!/bin/sh\n: > {ran}\n")
    script.chmod(0o755)
    folder.chmod(0o777)  # whoever ran it could say so
    named = folder / "named" / name
    named.parent.mkdir()
    if link:
        named.symlink_to(script)
    else:
        shutil.copy(script, named)
    program = compiled(folder / "linked", f"-Wl,--dynamic-linker={named}")
    assert as_a_user(program) is None
    assert loaded_files(program, {}) is None
    assert not ran.exists()


def test_other_programs_of_the_system_are_no_loaders(folder):
    program = compiled(folder / "linked", "-Wl,--dynamic-linker=/bin/echo")
    assert as_a_user(program) is None


def with_machine(path):
    content = bytearray(path.read_bytes())
    content[18] = 243 if content[18] != 243 else 62
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("flags", "change"),
    [
        (["-static"], None),
        (["-Wl,--audit=libwatch.so"], None),
        (["-Wl,--depaudit=libwatch.so"], None),
        ([], with_machine),
        ([], lambda path: path.chmod(0o4755)),
        ([], lambda path: path.chmod(0o2755)),
        ([], lambda path: path.write_text("#!/bin/sh\n")),
        ([], Path.unlink),
    ],
    ids=["static", "audit", "depaudit", "machine", "setuid", "setgid", "script", "absent"],
)
def test_programs_that_the_loader_is_not_asked_about(folder, flags, change):
    program = compiled(folder / "program", *flags)
    if change is not None:
        change(program)
    assert as_a_user(program) is None


def test_audited_programs_really_name_what_watches_the_loader(folder):
    with compiled(folder / "program", "-Wl,--audit=libwatch.so").open("rb") as stream:
        assert Elf(stream).dynamic_values(dynamic_loader.Tag.AUDIT)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives up rights")
def test_root_does_not_ask_about_files_that_others_can_change(folder):
    program = compiled(folder / "program")
    os.chown(program, 1000, 1000)
    assert as_a_user(program) is not None
    assert loaded_files(program, {}) is None
    assert loaded_files(Path("/bin/sh"), {}, [program]) is None


@pytest.fixture
def fake_loader(folder, monkeypatch):
    """Takes the text of a script that is asked in the place of the loader."""
    script = folder / "loader"
    monkeypatch.setattr(dynamic_loader, "_loader_of", lambda _: str(script))
    monkeypatch.setattr(dynamic_loader, "_is_protected", lambda _: True)

    def make(text):
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)

    return make


def test_the_loader_gets_no_rights_of_root_and_little_of_the_environment(fake_loader):
    fake_loader(
        'say() { printf "\\t/%s (0x1)\\n" "$*"; }\n'
        "say user $(id -u); say groups $(id -G); say others $(env | grep -c -e SECRET -e HOME)\n"
        "say folders $LD_LIBRARY_PATH"
    )
    found = loaded_files(Path("/bin/sh"), {"SECRET": "1", "HOME": "/", "LD_LIBRARY_PATH": "a"})
    assert found is not None
    root = os.geteuid() == 0
    user, groups = (NOBODY, NOBODY) if root else (os.geteuid(), " ".join(map(str, os.getgroups())))
    assert [path.name for path in found] == [f"user {user}", f"groups {groups}", "others 0", "folders a"]


@pytest.mark.parametrize(
    "text",
    ["while :; do echo x; done", "sleep 1000", "exec >&-; sleep 1000", "printf '\\t/a (0x1)\\n'; exit 1", "kill -9 $$"],
    ids=["endless", "silent", "closed", "failed", "killed"],
)
def test_a_loader_that_does_not_answer_properly_is_no_answer(fake_loader, monkeypatch, text):
    monkeypatch.setattr(dynamic_loader, "_OUTPUT_LIMIT", 1 << 16)
    monkeypatch.setattr(dynamic_loader, "CLOCK_SECONDS", 0.5)
    fake_loader(text)
    assert loaded_files(Path("/bin/sh"), {}) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root asks as somebody else")
def test_what_nobody_does_not_find_root_does_not_leave_out(fake_loader):
    fake_loader("printf '\\t/a (0x1)\\n\\tlibdatum.so => not found\\n'")
    assert loaded_files(Path("/bin/sh"), {}) is None


def test_musl_is_asked_as_well(folder):
    compiled_program = folder / "program"
    source = "int main(void) { return 0; }"
    subprocess.run(["musl-gcc", "-x", "c", "-", "-o", compiled_program], input=source, text=True, check=True)
    found = as_a_user(compiled_program)
    assert found is not None
    assert [path.name for path in found] == [f"ld-musl-{platform.machine()}.so.1"]
