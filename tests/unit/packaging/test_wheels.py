"""`python -m build` everywhere, and the wheels in a fresh environment, away from the checkout."""

from __future__ import annotations

import configparser
import json
import platform
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import datacrumbs
from datacrumbs.plugins._versions import release

REPOSITORY = Path(datacrumbs.__file__).parent.parent
PROVIDERS = tuple(sorted(file.parent.name for file in REPOSITORY.glob("providers/*/pyproject.toml")))
COMMANDS = (
    "datacrumbs",
    "datacrumbs_doctor",
    "datacrumbs_probe_configurator",
    "datacrumbs_report",
    "datacrumbs_setup",
    "datacrumbs_sign_probes",
    "datacrumbs_track",
    "datacrumbs_trust",
    "datacrumbs_untrack",
    "datacrumbs_wrap",
)
# Left where they are: what is built, what is cached, and the history.
NOT_COPIED = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__")

pytestmark = pytest.mark.slow


def run(*words, **options):
    done = subprocess.run(
        [str(word) for word in words], check=False, capture_output=True, text=True, timeout=600, **options
    )
    assert done.returncode == 0, f"{words}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done


@pytest.fixture(scope="session")
def checkout(tmp_path_factory):
    """A copy, in which nothing was built."""
    copy = tmp_path_factory.mktemp("checkout") / "datacrumbs"
    shutil.copytree(REPOSITORY, copy, ignore=NOT_COPIED)
    return copy


@pytest.fixture(scope="session")
def built(tmp_path_factory, checkout):
    """Archives and wheels, each wheel built from its source archive, which must therefore be complete."""
    output = tmp_path_factory.mktemp("built")
    before = {file.relative_to(checkout) for file in checkout.rglob("*") if file.is_file()}
    for directory in (checkout, *(checkout / "providers" / name for name in PROVIDERS)):
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", output, directory)
    (output / "checkout").write_text("\n".join(map(str, before)))
    return output


@pytest.fixture(scope="session")
def wheels(built):
    """Wheels by distribution."""
    return {file.name.partition("-")[0]: file for file in built.glob("*.whl")}


@pytest.fixture(scope="session")
def environment(tmp_path_factory, wheels):
    """A fresh virtual environment with all of them; bcc comes from the system."""
    directory = tmp_path_factory.mktemp("environment") / "venv"
    run("/usr/bin/python3", "-m", "venv", "--system-site-packages", directory)
    run(directory / "bin/python", "-m", "pip", "install", "--quiet", *wheels.values())
    return directory


def test_every_distribution_has_a_wheel(wheels):
    assert set(wheels) == {"datacrumbs", *(f"datacrumbs_{name}" for name in PROVIDERS)}


def test_the_compiled_client_is_in_the_wheel_of_this_platform(wheels):
    wheel = wheels["datacrumbs"]
    assert f"-py3-none-manylinux_2_17_{platform.machine()}" in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        members = {member.filename: member for member in archive.infolist()}
        data = f"datacrumbs-{datacrumbs.__version__}.data"
        libraries = f"{data}/data/lib/datacrumbs"
        for place in (
            f"{data}/scripts/datacrumbs_wrap",
            f"{libraries}/libdatacrumbs_client.so",
            f"{libraries}/libdatacrumbs_trace.so",
        ):
            assert archive.read(place)[:4] == b"\x7fELF"
        assert members[f"{data}/scripts/datacrumbs_wrap"].external_attr >> 16 & stat.S_IXUSR
        assert f"{data}/data/include/datacrumbs.h" in members


def test_the_wheel_has_all_data_files_of_the_package(wheels):
    package = REPOSITORY / "datacrumbs"
    kinds = ("*.py", "*.c", "*.h", "*.yaml", "*.html", "*.css", "*.js", "*.schema.json", "*.service", "py.typed")
    expected = {str(file.relative_to(REPOSITORY)) for kind in kinds for file in package.rglob(kind)}
    with zipfile.ZipFile(wheels["datacrumbs"]) as archive:
        missing = expected - set(archive.namelist())
    assert not missing


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_providers_wheel_has_its_snippets(wheels, name):
    source = REPOSITORY / "providers" / name / "src"
    expected = {str(file.relative_to(source)) for file in source.rglob("*.bpf.c")}
    with zipfile.ZipFile(wheels[f"datacrumbs_{name}"]) as archive:
        assert not expected - set(archive.namelist())


def archived(archive):
    with tarfile.open(archive) as members:
        return {Path(*Path(member.name).parts[1:]) for member in members if member.isfile()}


def test_the_source_archive_is_the_checkout(built):
    (archive,) = built.glob("datacrumbs-[0-9]*.tar.gz")
    before = set(map(Path, (built / "checkout").read_text().splitlines()))
    assert {path for path in before if path.name != ".gitignore"} <= archived(archive)


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_providers_source_archive_has_its_tests_and_workload(built, checkout, name):
    (archive,) = built.glob(f"datacrumbs_{name}-[0-9]*.tar.gz")
    directory = checkout / "providers" / name
    wanted = {
        file.relative_to(directory)
        for below in ("tests", "workload", "examples", "src")
        for file in (directory / below).rglob("*")
        if file.is_file()
    }
    assert wanted <= archived(archive)


def test_what_is_under_the_gpl_comes_with_its_text(wheels):
    text = (REPOSITORY / "LICENSES/GPL-2.0-only.txt").read_bytes()
    with_text = set()
    for name, wheel in wheels.items():
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            (place,) = (member for member in names if member.endswith(".dist-info/METADATA"))
            expression = Parser().parsestr(archive.read(place).decode())["License-Expression"]
            texts = [archive.read(member) for member in names if member.endswith("/GPL-2.0-only.txt")]
            assert texts == ([text] if "GPL" in expression else []), name
            if any(member.endswith(".bpf.c") for member in names):
                with_text.add(name)
                assert "GPL-2.0-only" in expression, name
    assert with_text == {"datacrumbs", "datacrumbs_mpi", "datacrumbs_posix"}


def requirements(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (place,) = (member for member in archive.namelist() if member.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(place).decode()).get_all("Requires-Dist", [])


def test_core_and_providers_are_of_one_series(wheels):
    major, minor = release(datacrumbs.__version__)[:2]
    series = f"<{major}.{minor + 1},>={major}.{minor}"
    for name in PROVIDERS:
        assert f"datacrumbs{series}" in requirements(wheels[f"datacrumbs_{name}"])
        assert f'datacrumbs-{name}{series}; extra == "all"' in requirements(wheels["datacrumbs"])
    assert 'polars; extra == "report"' in requirements(wheels["datacrumbs"])


def test_a_host_where_programs_are_traced_needs_no_data_frames(environment, tmp_path):
    """Not even to be told that a report needs them."""
    trace = tmp_path / "trace.pfw.gz"
    trace.write_bytes(b"")
    done = subprocess.run(
        [environment / "bin/datacrumbs_report", trace], check=False, capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "datacrumbs_report: the Python package polars, which reads traces, is not installed\n"
        "  hint: pip install 'datacrumbs[report]' into this environment, or read the trace on another host\n"
    )
    modules = [name.removesuffix(".py").replace("/", ".") for name in sources("daemon", "engine", "signer", "install")]
    run(
        environment / "bin/python",
        "-c",
        f"import importlib; list(map(importlib.import_module, {modules}))",
        cwd=tmp_path,
    )


def sources(*stages):
    for stage in stages:
        for file in sorted((REPOSITORY / "datacrumbs" / stage).glob("*.py")):
            yield str(file.relative_to(REPOSITORY))


def test_metadata_is_complete(wheels):
    for name, wheel in wheels.items():
        with zipfile.ZipFile(wheel) as archive:
            (place,) = (member for member in archive.namelist() if member.endswith(".dist-info/METADATA"))
            metadata = Parser().parsestr(archive.read(place).decode())
            assert metadata["Summary"], name
            assert metadata["License-Expression"], f"{name}: no licence expression"
            assert metadata["Requires-Python"] == ">=3.11", name
            assert len(metadata.get_all("Classifier", [])) >= 3, name
            assert metadata.get_payload().strip(), f"{name}: no description"
            if name != "datacrumbs":
                assert any(entry.startswith("datacrumbs") for entry in metadata.get_all("Requires-Dist", [])), name
                points = configparser.ConfigParser()
                points.read_string(archive.read(place.replace("METADATA", "entry_points.txt")).decode())
                assert points.has_section("datacrumbs.providers"), name


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run_from_the_wheels(environment, tmp_path, command):
    done = run(environment / "bin" / command, "--version", cwd=tmp_path)
    assert done.stdout == f"{command} {datacrumbs.__version__}\n"
    assert "\nexample" in run(environment / "bin" / command, "--help", cwd=tmp_path).stdout


def test_the_installed_client_is_found_by_both_ways(environment, tmp_path):
    program = "import datacrumbs, datacrumbs.client as c; print(datacrumbs.__file__, c.client_library(), c.launcher())"
    module, library, launcher = run(environment / "bin/python", "-c", program, cwd=tmp_path).stdout.split()
    assert Path(module).is_relative_to(environment)
    assert (library, launcher) == (
        str(environment / "lib/datacrumbs/libdatacrumbs_client.so"),
        str(environment / "bin/datacrumbs_wrap"),
    )
    seen = run(launcher, "env", cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}).stdout
    assert f"LD_PRELOAD={library}\n" in seen


def test_tracking_uses_the_installed_library(environment, tmp_path):
    program = shutil.copy2("/bin/ls", tmp_path)
    run(environment / "bin/datacrumbs_track", "--executable", program, cwd=tmp_path)
    assert str(environment) in run("patchelf", "--print-needed", program).stdout
    run(program, cwd=tmp_path)


def test_the_installed_providers_are_listed(environment, tmp_path):
    done = run(environment / "bin/datacrumbs_probe_configurator", "--list", "--json", cwd=tmp_path)
    text = json.dumps(json.loads(done.stdout))
    for name in PROVIDERS:
        assert f'"{name}"' in text
