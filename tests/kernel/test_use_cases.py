"""The commands of docs/use-cases.md, run as they are there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import COMMANDS

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/use-cases.md"
SECTIONS = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
SECONDS = 300
SUDO = """#!/bin/sh
# As root there is no need for it.
exec "$@"
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the examples, on a disk, with a `sudo` that needs no password."""
    directory = tmp_path_factory.mktemp("use-cases")
    shutil.copytree(ROOT / "examples/use-cases", directory, dirs_exist_ok=True)
    sudo = directory / "bin/sudo"
    sudo.parent.mkdir()
    sudo.write_text(SUDO)
    sudo.chmod(0o755)
    return directory


def outputs(place: Path, section: str) -> list[str]:
    """What each command of a section prints."""
    environment = os.environ | {"PATH": f"{place}/bin:{COMMANDS}:{os.environ['PATH']}"}
    environment = {name: value for name, value in environment.items() if not name.startswith("SUDO_")}
    printed = []
    for block in re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL):
        for command in block.splitlines():
            done = subprocess.run(
                ["sh", "-ec", command], cwd=place, env=environment, capture_output=True, text=True, check=False,
                timeout=SECONDS,
            )  # fmt: skip
            assert done.returncode == 0, f"{command}: {done.stderr}"
            assert "incomplete" not in done.stdout, f"{command}: {done.stdout}"
            printed.append(done.stdout)
    return printed


def paths(text: str) -> dict[str, list[str]]:
    """First word of each line of a tree -> the other words."""
    return {line.split()[0]: line.split()[1:] for line in text.partition("\nSlow")[0].splitlines() if line.strip()}


def test_every_section_is_tested() -> None:
    assert len(SECTIONS) == 4


def test_page_cache_against_device(place: Path) -> None:
    (*_, text) = outputs(place, SECTIONS[0])
    lines = text.splitlines()
    assert lines[0].startswith("read: 370 calls")  # twice 184 pieces and the end
    assert any(line.split()[:2] == ["block_rq_issue", "read"] for line in lines)
    assert "read > block_rq_issue read" in text


def test_buffered_against_direct(place: Path) -> None:
    _, files, buffered, fsync, direct = outputs(place, SECTIONS[1])
    assert {line.split()[0].rpartition("/")[2] for line in files.splitlines() if ".bin" in line} == {
        "buffered.bin",
        "direct.bin",
    }
    assert buffered.startswith("write: 23 calls")
    assert "block_rq_issue write" not in buffered
    assert "block_rq_issue write" in fsync
    assert direct.startswith("write: 23 calls")
    assert "block_rq_issue write" in direct  # how much of it: a worker of the kernel may issue the rest


def test_one_write_of_hdf5(place: Path) -> None:
    _, small, _, large = outputs(place, SECTIONS[2])
    assert small.startswith("H5Dwrite: 37 calls")
    assert "H5Dwrite > pread" in small
    assert paths(small)["pread"][-2:] == ["72.0", "MiB"]  # 36 rows of 8 chunks
    assert large.startswith("H5Dwrite: 37 calls")
    assert "pread" not in large


def test_a_loader_with_workers(place: Path) -> None:
    *_, processes, text = outputs(place, SECTIONS[3])
    assert sum("STDIO" in line for line in processes.splitlines()) == 2
    assert "fread" in paths(text.replace("fread:", "", 1))
    assert "block_rq_issue read" in text
