"""What Flux's commands load, in the registry and the validator of flux-core's own Python package."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

import datacrumbs
from datacrumbs.install.units import unit_text
from datacrumbs.system import SystemPaths

from ...conftest import python_environment  # noqa: TID252
from .test_flux_job import jobspec
from .test_metadata import BAD, FILE

PACKAGE = Path(datacrumbs.__file__).parent
CACHE = Path(os.environ.get("DATACRUMBS_FLUX", PACKAGE.parent / ".cache/flux"))
MODULES = {"_core": "libflux-core.so.2", "_hostlist": "libflux-hostlist.so.1", "_idset": "libflux-idset.so.1"}
CONFIGURED = "flux_conf_builtin_get"
OLDEST = (3, 6)
ASKED = {"enable": "yes", "probe_file": FILE}


def stubs(environment: Path) -> Path:
    """Libraries that answer the symbols that the package's modules need: Flux itself is in no package here."""
    made = environment / "stubs"
    made.mkdir(exist_ok=True)
    for module, library in MODULES.items():
        (file,) = environment.glob(f"lib/python3*/site-packages/_flux/{module}*.so")
        listed = subprocess.run(["nm", "-D", "--undefined-only", file], check=True, capture_output=True, text=True)
        names = {line.split()[-1] for line in listed.stdout.splitlines()} - {CONFIGURED}
        text = [f'char *{CONFIGURED}(void) {{ return "/nonexistent"; }}']
        text += [f"void *{name}(void) {{ return 0; }}" for name in sorted(names) if re.fullmatch(r"[a-z]\w+", name)]
        source = made / "stub.c"
        source.write_text("\n".join(text))
        flags = ["-shared", "-fPIC", "-w", "-fno-builtin", f"-Wl,-soname,{library}"]
        subprocess.run(["cc", *flags, "-o", made / library, source], check=True)
    return made


Flux = "Callable[..., subprocess.CompletedProcess[str]]"


@pytest.fixture(scope="module")
def flux(tmp_path_factory: pytest.TempPathFactory) -> Flux:
    """Run one of Flux's commands: `flux("run", *options)`."""
    environment = python_environment(CACHE, "flux-python==0.88.0", "ply")
    libraries = stubs(environment)
    plugins = tmp_path_factory.mktemp("plugins")
    (plugins / "datacrumbs.py").write_text(unit_text("flux_cli.py", SystemPaths(Path("/"))))
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("FLUX_", "DATACRUMBS_"))}
    clean |= {"LD_LIBRARY_PATH": str(libraries), "FLUX_CLI_PLUGINPATH": str(plugins)}

    def run(*words: str, given: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        command = [environment / "bin/python", Path(__file__).with_name("flux_commands.py"), *words]
        return subprocess.run(
            command, check=False, env=clean | variables, input=given, capture_output=True, text=True, timeout=300
        )

    return run


def attribute(done: subprocess.CompletedProcess[str]) -> object:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["attributes"]["system"].get("datacrumbs")


@pytest.mark.parametrize("command", [["run"], ["submit"], ["batch", "-n1", "--wrap"]])
def test_a_job_asks_for_tracing(flux: Flux, command: list[str]) -> None:
    options = [*command, "--dry-run", "--datacrumbs-enable", f"--datacrumbs-probe-file={FILE}", "app"]
    done = flux(*options)
    assert attribute(done) == ASKED
    assert f"{FILE}: not readable here" in done.stderr


def test_the_file_is_from_an_option_or_the_environment(flux: Flux, tmp_path: Path) -> None:
    given = {"DATACRUMBS_PROBE_FILE": FILE}
    assert attribute(flux("run", "--dry-run", "app", **given)) is None
    assert attribute(flux("run", "--dry-run", "--datacrumbs-enable", "app", **given)) == ASKED
    path = tmp_path / "p q.json.gz"
    path.touch()
    done = flux("run", "--dry-run", f"--datacrumbs-probe-file={os.path.relpath(path)}", "app", **given)
    assert attribute(done) == {"enable": "yes", "probe_file": str(path)}
    assert done.stderr == ""


def test_what_cannot_be_submitted(flux: Flux) -> None:
    done = flux("run", "--dry-run", "--datacrumbs-enable", "app")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no probe file: give --datacrumbs-probe-file FILE, or set DATACRUMBS_PROBE_FILE" in done.stderr
    done = flux("run", "--dry-run", "--setattr=datacrumbs.enable=no", f"--datacrumbs-probe-file={FILE}", "app")
    assert done.returncode == 1
    assert "has the attribute system.datacrumbs already" in done.stderr


def test_earlier_versions_name_options_without_the_prefix(flux: Flux) -> None:
    assert attribute(flux("earlier")) is None
    assert attribute(flux("earlier", "--datacrumbs-enable", f"--datacrumbs-probe-file={FILE}")) == ASKED
    assert attribute(flux("earlier", f"--datacrumbs-probe-file={FILE}")) == ASKED


@pytest.mark.parametrize("section", [None, ASKED, {"enable": "no"}])
def test_jobs_that_flux_takes(flux: Flux, section: object) -> None:
    done = flux("validate", given=json.dumps(jobspec(section)))
    assert json.loads(done.stdout) == {"errnum": 0}, done.stderr


def null_section() -> dict:
    document = jobspec({})
    document["attributes"]["system"]["datacrumbs"] = None
    return document


ROWS = ["list", "null", "empty", "true", "no file", "relative", "line", "unknown", "composite", "probes"]


@pytest.mark.parametrize("row", ROWS)
def test_jobs_that_flux_refuses_for_whoever_wrote_their_attributes(flux: Flux, row: str) -> None:
    comment, reason = BAD[row]
    section = json.loads(comment)["datacrumbs"]
    done = flux("validate", given=json.dumps(jobspec(section) if section is not None else null_section()))
    found = json.loads(done.stdout)
    assert found["errnum"] == 1
    assert reason in found["errstr"]


@pytest.mark.parametrize("path", [PACKAGE / "jobs/metadata_section.py", PACKAGE.parent / "systemd/flux_cli.py"])
def test_the_interpreter_of_flux_may_be_old_and_has_none_of_our_packages(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=OLDEST)
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= {"os", "sys", "importlib.util", "flux.cli.plugin"}
