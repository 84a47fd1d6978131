"""A provider that is none of ours, installed from outside the tree, goes the whole way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from datacrumbs.testing import Installation

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

SOURCE = Path(__file__).parents[2] / "examples/datacrumbs-zlib"


@pytest.fixture
def distribution(shared_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example, installed in a directory of its own that this process and its children look into."""
    copy, target = shared_directory / "zlib-source", shared_directory / "zlib-site"
    shutil.copytree(SOURCE, copy)
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--target", target, copy], check=True, capture_output=True)
    monkeypatch.setenv("PYTHONPATH", os.fspath(target))
    return target


def test_untrusted_then_trusted_then_exact(
    distribution: Path, installation: Installation, shared_directory: Path, tmp_path: Path
) -> None:
    site = "providers: [zlib]\n"
    site_file = shared_directory / "zlib.yaml"
    site_file.write_text(site)
    output = shared_directory / "zlib.json.gz"
    refused = installation.command("datacrumbs_probe_configurator", site_file, output)
    assert refused.returncode == 3, refused.stderr
    assert "zlib" in refused.stderr
    assert not output.exists()

    trusted = installation.command("datacrumbs_trust", "add", "--distribution", "datacrumbs-zlib")
    assert trusted.returncode == 0, trusted.stderr
    probes = installation.probes(site)
    table = json.loads((SOURCE / "src/datacrumbs_zlib/workload.json").read_text())
    program = tmp_path / "workload"
    source = SOURCE / "src/datacrumbs_zlib/workload.c"
    subprocess.run(["cc", source, "-o", program, "-l:libz.so.1"], check=True)
    trace = installation.trace(probes, [program, tmp_path / "x.gz"], stdout=subprocess.DEVNULL)

    tally = trace.tally()
    assert {name: tally[name] for name in table} == {name: row["calls"] for name, row in table.items()}
    moved = sum(call["args"]["ret"] for call in trace.named("gzwrite"))
    assert moved == table["gzwrite"]["bytes"]
    assert {trace.file(call) for call in trace.named("gzread")} == {str(tmp_path / "x.gz")}
    assert trace.footer["entered"] == trace.footer["recorded"]
    assert distribution.is_dir()
