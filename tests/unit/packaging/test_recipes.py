"""Recipes that others build from, where their tools are not at hand: as far as a look at them shows."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

import datacrumbs

REPOSITORY = Path(datacrumbs.__file__).parent.parent
SPACK = REPOSITORY / "packaging/spack/spack_repo/datacrumbs/packages"
DISTRIBUTIONS = {
    "py_datacrumbs": REPOSITORY / "pyproject.toml",
    **{f"py_datacrumbs_{path.parent.name}": path for path in REPOSITORY.glob("providers/*/pyproject.toml")},
}
LACKED_BY_SPACK = {"isal"}  # without it, gzip is zlib's
MODULES = Path("/usr/share/modules/init/sh")


def directives(recipe: str) -> list[tuple[str, str, dict[str, str]]]:
    """Each directive of a recipe of Spack: name, first argument, and the named ones as they are written."""
    tree = ast.parse((SPACK / recipe / "package.py").read_text(encoding="utf-8"))
    (described,) = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    assert described.name == "".join(word.capitalize() for word in recipe.split("_"))
    assert [base.id for base in described.bases if isinstance(base, ast.Name)] == ["PythonPackage"]
    calls = [node.value for node in described.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    return [
        (call.func.id, ast.literal_eval(call.args[0]), {each.arg: ast.unparse(each.value) for each in call.keywords})
        for call in calls
        if isinstance(call.func, ast.Name)
    ]


@pytest.mark.parametrize("recipe", DISTRIBUTIONS)
def test_a_recipe_of_spack_says_what_the_distribution_says(recipe):
    project = tomllib.loads(DISTRIBUTIONS[recipe].read_text(encoding="utf-8"))["project"]
    found = directives(recipe)
    assert [value for name, value, _ in found if name == "version"] == [datacrumbs.__version__]
    assert [value for name, value, _ in found if name == "license"] == [project["license"]]
    needed = {re.split(r"[<>=@:]", value)[0]: named for name, value, named in found if name == "depends_on"}
    always = {name for name, named in needed.items() if "when" not in named and "run" in named.get("type", "")}
    wanted = {f"py-{re.split('[<>=]', each)[0].lower()}" for each in project["dependencies"]}
    assert always - {"python"} == wanted - {f"py-{name}" for name in LACKED_BY_SPACK}
    reports = {f"py-{each.lower()}" for each in project.get("optional-dependencies", {}).get("report", ())}
    assert {name for name, named in needed.items() if named.get("when") == "'+report'"} == reports


def test_spack_gets_a_recipe_for_each_distribution_and_for_what_it_lacks():
    assert {path.parent.name for path in SPACK.glob("*/package.py")} == {*DISTRIBUTIONS, "py_capstone"}


@pytest.mark.skipif(not MODULES.exists(), reason="environment-modules is not installed")
def test_the_modulefile_finds_the_environment_that_it_is_in(tmp_path):
    place = tmp_path / "share/modulefiles"
    place.mkdir(parents=True)
    shutil.copy(REPOSITORY / "share/modulefiles/datacrumbs", place)
    script = f". {MODULES}; module use {place}; module load datacrumbs; env; module unload datacrumbs; echo after=$PATH"
    done = subprocess.run(
        ["sh", "-c", script], check=True, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", "HOME": "/root"}
    )
    found = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert found["PATH"] == f"{tmp_path}/bin:/usr/bin:/bin"
    assert found["CPATH"] == f"{tmp_path}/include"
    assert found["LIBRARY_PATH"] == f"{tmp_path}/lib/datacrumbs"
    assert found["after"] == "/usr/bin:/bin"
    assert "rror" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="uninstalls as root")
def test_what_is_installed_for_the_host_goes_again(tmp_path: Path) -> None:
    place, other = tmp_path / "place", tmp_path / "other"
    for environment in (place, other):
        (environment / "bin").mkdir(parents=True)
    (place / "pyvenv.cfg").touch()
    setup = place / "bin/datacrumbs_setup"
    setup.write_text(f"#!/bin/sh\necho $* > {tmp_path}/said\n")
    setup.chmod(0o755)
    link = Path("/usr/local/bin") / f"datacrumbs_{tmp_path.name}_{os.getpid()}"
    foreign = link.with_name(f"{link.name}_foreign")
    link.symlink_to(setup)
    foreign.symlink_to(other)
    try:
        for prefix, status in ((other, 1), (place, 0)):
            words = [REPOSITORY / "scripts/set-up.sh", "uninstall"]
            environment = {**os.environ, "PREFIX": str(prefix)}
            done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == status, done.stderr
        assert (tmp_path / "said").read_text() == "--uninstall\n"
        assert (place.exists(), other.exists()) == (False, True)
        assert (link.is_symlink(), foreign.is_symlink()) == (False, True)
    finally:
        link.unlink(missing_ok=True)
        foreign.unlink(missing_ok=True)
