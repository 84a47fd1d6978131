"""A provider of somebody else, installed from outside the tree, is one like the bundled ones."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[3] / "examples/datacrumbs-zlib"
LOADED = "from datacrumbs.commands._entry import probe_configurator; exit(probe_configurator())"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The distribution in a directory of its own, as pip installs it, built from a copy of its source."""
    source = tmp_path_factory.mktemp("source") / "example"
    shutil.copytree(EXAMPLE, source)
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", target, source], check=True, capture_output=True)
    return target


def python(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(installed)}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)


def test_it_keeps_the_contract_by_its_own_tests(installed):
    tests = EXAMPLE / "tests"
    done = python(installed, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(EXAMPLE), str(tests))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_it_is_listed_with_its_functions(installed):
    done = python(installed, "-c", LOADED, "--list", "--json", "--providers", "zlib")
    assert done.returncode == 0, done.stderr
    (listed,) = json.loads(done.stdout)
    assert (listed["name"], listed["distribution"], listed["version"]) == ("zlib", "datacrumbs-zlib", "1.0.0")
    assert [target["functions"] for target in listed["targets"]] == [8]


def test_its_functions_and_its_snippet_reach_the_plan(installed, tmp_path):
    (tmp_path / "site.yaml").write_text("providers: [zlib]\n")
    code = (
        "import sys; from pathlib import Path\n"
        "from datacrumbs.configure import *; from datacrumbs.plugins import load_providers\n"
        "plan = compose(read_site_file(Path(sys.argv[1])), load_providers(only=['zlib']), current_host())\n"
        "print([f.name for f in plan.functions], [s.name for s in plan.snippets], plan.providers[0].distribution)"
    )
    done = python(installed, "-c", code, str(tmp_path / "site.yaml"))
    assert done.returncode == 0, done.stderr
    # gzopen64 has an address of its own
    names = ["compress2", "deflate", "gzclose", "gzopen", "gzopen", "gzread", "gzwrite", "inflate"]
    assert done.stdout.strip() == f"{names} ['stream'] datacrumbs-zlib"


def test_its_workload_runs_as_its_table_says(tmp_path):
    package = EXAMPLE / "src/datacrumbs_zlib"
    program, file = tmp_path / "workload", tmp_path / "x.gz"
    subprocess.run(["cc", "-Wall", "-Werror", package / "workload.c", "-o", program, "-l:libz.so.1"], check=True)
    subprocess.run([program, file], check=True, capture_output=True)
    table = json.loads((package / "workload.json").read_text())
    assert table["gzwrite"]["bytes"] == table["gzwrite"]["calls"] * 101
    assert subprocess.run(["gzip", "-dc", file], check=True, capture_output=True).stdout == bytes(
        table["gzwrite"]["bytes"]
    )
