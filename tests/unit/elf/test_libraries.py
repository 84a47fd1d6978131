from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from datacrumbs.configure.host import current_host
from datacrumbs.elf.libraries import find_libraries, interpreter_of, named_libraries, program_libraries
from datacrumbs.elf.roots import Root
from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.provider import Host

PLAIN = {"PATH": os.defpath}


def host(environment=None, program=None):
    return Host(os.uname().release, os.uname().machine, environment or {}, program)


def compile_library(folder, name, *flags, source="int f(void) { return 1; }"):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    subprocess.run(
        [
            "gcc",
            "-shared",
            "-fPIC",
            "-x",
            "c",
            "-",
            "-x",
            "none",
            "-o",
            path,
            f"-Wl,-soname,{name}",
            "-Wl,--no-as-needed",
            *flags,
        ],
        input=source,
        text=True,
        check=True,
    )
    return path


def compile_program(path, *flags, compiler="gcc"):
    subprocess.run(
        [compiler, "-x", "c", "-", "-x", "none", "-o", path, "-Wl,--no-as-needed", *flags],
        input="int main(void) { return 0; }",
        text=True,
        check=True,
    )
    return path


def loaded_by_the_loader(program, environment=PLAIN):
    """What the dynamic loader itself says that it loads."""
    done = subprocess.run(
        [program], env={**environment, "LD_TRACE_LOADED_OBJECTS": "1"}, check=True, capture_output=True, text=True
    )
    words = [line.split() for line in done.stdout.splitlines()]
    paths = [row[2] if len(row) > 2 and row[1] == "=>" else row[0] for row in words]
    return {Path(path).resolve() for path in paths if path.startswith("/")}


@pytest.mark.parametrize("program", ["/bin/sh", "/usr/bin/python3", "/usr/bin/git", "/usr/bin/gcc", "/usr/bin/tar"])
def test_programs_load_what_the_loader_says(program):
    found = {path.resolve() for path in program_libraries(Path(program), PLAIN)}
    expected = loaded_by_the_loader(program)
    if "python" in program:  # its extension modules come as well
        assert expected <= found
    else:
        assert found == expected


@pytest.mark.parametrize("tags", ["--disable-new-dtags", "--enable-new-dtags"])
def test_search_order_is_the_loaders(tmp_path, tags):
    """RPATH comes before LD_LIBRARY_PATH and holds for libraries of libraries; RUNPATH neither."""
    inner = compile_library(tmp_path / "own", "libinner.so")
    compile_library(tmp_path / "own", "libouter.so", inner)
    for name in ("libinner.so", "libouter.so"):
        shutil.copytree(tmp_path / "own", tmp_path / "other", dirs_exist_ok=True)
        assert (tmp_path / "other" / name).exists()
    compile_library(tmp_path / "other", "libinner.so", source="int f(void) { return 2; }")
    program = compile_program(
        tmp_path / "program",
        tmp_path / "own/libouter.so",
        f"-Wl,{tags},-rpath,$ORIGIN/own",
        f"-Wl,-rpath-link,{tmp_path}/own",
    )
    for environment in (PLAIN | {"LD_LIBRARY_PATH": str(tmp_path / "other")}, PLAIN | {"LD_PRELOAD": str(inner)}):
        found = {path.resolve() for path in program_libraries(program, environment)}
        assert found == loaded_by_the_loader(program, environment)


def test_scripts_stand_for_their_interpreter(tmp_path):
    script = tmp_path / "script"
    script.write_text("#!/usr/bin/env -S sh -e\n")
    assert interpreter_of(script, PLAIN).name == "sh"
    script.write_text("#!/bin/sh\n")
    assert interpreter_of(script, {}) == Path("/bin/sh")
    script.write_text("#!/no/such/interpreter\n")
    with pytest.raises(DatacrumbsError) as caught:
        interpreter_of(script, {})
    assert caught.value.exit_code == ExitCode.USAGE


def test_a_program_on_the_path_may_be_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert interpreter_of(Path("env"), PLAIN).resolve() == Path(shutil.which("env", path=os.defpath)).resolve()


def test_libraries_that_an_option_names(tmp_path):
    (tmp_path / "libone.so.1").touch()
    (tmp_path / "libone.so").symlink_to("libone.so.1")
    named = tuple(str(tmp_path / name) for name in ("libone.so", "libone.so.1"))
    assert named_libraries("hdf5", {"libraries": named}, "libraries") == ((tmp_path / "libone.so.1").resolve(),)
    assert named_libraries("hdf5", {}, "libraries") == ()
    with pytest.raises(DatacrumbsError, match="hdf5: option libraries: /missing is not a file") as caught:
        named_libraries("hdf5", {"libraries": ("/missing",)}, "libraries")
    assert caught.value.exit_code == ExitCode.USAGE


def test_only_the_programs_libraries_are_found(tmp_path):
    compile_library(tmp_path / "lib", "libdatum.so.3")
    environment = {"DATUM_ROOT": str(tmp_path)}
    assert find_libraries(["libdatum.so.*"], host(environment)) == (tmp_path / "lib/libdatum.so.3",)
    assert find_libraries(["libdatum.so.*"], host(environment, Path("/bin/sh"))) == ()
    program = compile_program(tmp_path / "program", tmp_path / "lib/libdatum.so.3", f"-Wl,-rpath,{tmp_path}/lib")
    assert find_libraries(["libdatum.so.*"], host({}, program)) == (tmp_path / "lib/libdatum.so.3",)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LD_LIBRARY_PATH", "/nowhere:{root}/lib"),
        ("LIBRARY_PATH", "{root}/lib"),
        ("DATUM_DIR", "{root}"),
        ("DATUM_HOME", "{root}"),
        ("EBROOTDATUM", "{root}"),
        ("CMAKE_PREFIX_PATH", "/nowhere:{root}"),
    ],
)
def test_environments_lead_to_libraries(tmp_path, variable, value):
    library = compile_library(tmp_path / "lib", "libdatum.so.3")
    assert find_libraries(["libdatum.so.3"], host({variable: value.format(root=tmp_path)})) == (library,)


def test_spack_views_and_virtual_environments_lead_to_libraries(tmp_path):
    library = compile_library(tmp_path / ".spack-env/view/lib", "libdatum.so.3")
    assert find_libraries(["libdatum.so.*"], host({"SPACK_ENV": str(tmp_path)})) == (library,)
    bundle = tmp_path / "lib/python3.11/site-packages/datum.libs"
    bundled = compile_library(bundle, "libdatum-1a2b3c.so.3", source="int g(void) { return 3; }")
    assert find_libraries(["libdatum-*.so.*"], host({"VIRTUAL_ENV": str(tmp_path)})) == (bundled,)


def test_copies_of_one_build_are_one_library(tmp_path):
    library = compile_library(tmp_path / "lib", "libdatum.so.3", "-Wl,--build-id=sha1")
    shutil.copy(library, tmp_path / "lib/libdatum.so.3.1")
    (tmp_path / "lib/libdatum.so.4").symlink_to("libdatum.so.3")
    assert len(find_libraries(["libdatum.so.*"], host({"DATUM_DIR": str(tmp_path)}))) == 1


def test_linker_scripts_and_broken_links_are_no_libraries(tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/libdatum.so").write_text("INPUT(-ldatum)")
    (tmp_path / "lib/libdatum.so.9").symlink_to("absent")
    assert find_libraries(["libdatum.so*"], host({"DATUM_DIR": str(tmp_path)})) == ()


def test_the_cache_knows_the_c_library():
    [libc] = find_libraries(["libc.so.6"], host())
    assert libc in loaded_by_the_loader("/bin/sh")


def test_python_brings_the_libraries_of_its_extension_modules(tmp_path):
    package = tmp_path / "package"
    library = compile_library(package / "datum.libs", "libdatum-9f.so.1")
    module = compile_library(package / "datum", "_core.cpython-311.so", library, "-Wl,-rpath,$ORIGIN/../datum.libs")
    environment = PLAIN | {"PYTHONPATH": str(package)}
    found = program_libraries(Path(sys.executable), environment)
    assert library.resolve() in {path.resolve() for path in found}
    assert module in found


def test_musl_programs_load_musl(tmp_path):
    program = compile_program(tmp_path / "program", compiler="musl-gcc")
    [loaded] = program_libraries(program, PLAIN)
    assert loaded.name.startswith("ld-musl-")


@pytest.mark.parametrize("place", ["program", "interpreter"])
def test_a_program_that_is_no_file_is_not_waited_for(tmp_path, place):
    """In an image of a container anything can be anywhere; a FIFO holds up who opens it until another does."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "script").write_text(f"#!{tmp_path}/fifo\n")
    with pytest.raises(DatacrumbsError, match="not a regular file") as caught:
        interpreter_of(tmp_path / {"program": "fifo", "interpreter": "script"}[place], {})
    assert caught.value.exit_code is ExitCode.USAGE


@pytest.mark.skipif(shutil.which("musl-gcc") is None, reason="needs musl")
@pytest.mark.parametrize("content", [b"/own\n/\xff", b"/" * (64 << 20), None], ids=["no-text", "large", "fifo"])
def test_the_folders_of_an_images_musl_can_be_anything(tmp_path, content):
    program = compile_program(tmp_path / "program", compiler="musl-gcc")
    (tmp_path / "etc").mkdir()
    listed = tmp_path / "etc" / f"ld-musl-{platform.machine()}.path"
    if content is None:
        os.mkfifo(listed)
    else:
        listed.write_bytes(content)
    assert program_libraries(program, {}, Root(tmp_path)) == ()  # none of its libraries is in the image


def test_missing_programs_are_a_clear_error(tmp_path):
    for program in (tmp_path / "absent", tmp_path):
        with pytest.raises(DatacrumbsError) as caught:
            program_libraries(program, {})
        assert caught.value.exit_code == ExitCode.USAGE


@pytest.fixture
def closed_folder(tmp_path):
    """A folder that this test's user may not enter."""
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield folder
    if root:
        os.seteuid(0)
    folder.chmod(0o700)


def test_folders_of_others_in_the_environment_are_passed_over(closed_folder):
    variables = ("HDF5_DIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
    environment = {name: str(closed_folder) for name in variables} | {"PATH": f"{closed_folder}:{os.defpath}"}
    assert find_libraries(["libc.so.6"], host(environment)) == find_libraries(["libc.so.6"], host())
    assert program_libraries(Path("sh"), environment) == program_libraries(Path("sh"), PLAIN)


def test_the_program_of_a_virtual_environment_brings_the_libraries_of_that_environment(tmp_path):
    """Its interpreter is a link out of the environment. Packages bundle libraries, or put them beside all modules."""
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (packages,) = environment.glob("lib/python3*/site-packages")
    bundled = compile_library(packages / "datum.libs", "libdatum-3fd74b7.so.3", source="int g(void) { return 1; }")
    beside = compile_library(environment / "lib", "libdatum.so.12", source="int h(void) { return 1; }")
    program = environment / "bin/python"
    assert program.resolve().parent != program.parent
    found = find_libraries(["libdatum*.so*"], replace(current_host(str(program)), environment=PLAIN))
    assert set(found) == {bundled, beside}
    script = environment / "bin/tool"
    script.write_text(f"#!{program}\n")
    script.chmod(0o755)
    assert set(find_libraries(["libdatum*.so*"], replace(current_host(str(script)), environment=PLAIN))) == set(found)
