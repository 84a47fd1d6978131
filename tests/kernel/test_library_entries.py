"""Functions of libraries that are chosen as a program is loaded: indirect ones, and those of several versions."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from datacrumbs.testing import Installation

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the resolver asks for a feature of x86-64 processors"),
]
OUTPUT = str(2 * 21 + 4 * 10 + 6 + (78 + 13 * 13) + (136 + 17 * 11)) + "\n"


@pytest.fixture(scope="module")
def library(build: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    versions = tmp_path_factory.mktemp("versions") / "chosen.map"
    versions.write_text("V1 { global: chosen; exported; plain; fourfold; way; local: *; };\nV2 { global: way; } V1;\n")
    return build("indirect.c", "-shared", "-fPIC", f"-Wl,--version-script={versions}", name="libchosen.so")


@pytest.fixture(scope="module")
def program(build: Callable[..., Path], library: Path) -> Path:
    return build("chooser.c", str(library), f"-Wl,-rpath,{library.parent}", name="chooser")


def site(file: Path, regex: str) -> str:
    return f"capture_probes: [{{name: own, probe: uprobe, type: binary, file: {file}, regex: '{regex}'}}]\n"


@pytest.mark.parametrize(
    ("regex", "calls"),
    [
        (".*", {"chosen": 7, "exported": 5, "plain": 3, "way": 13, "way@V1": 17}),
        ("chosen", {"chosen": 7}),
        ("fourfold", {"fourfold": 5}),
        ("way", {"way": 13, "way@V1": 17}),
        ("way@.*", {"way@V1": 17}),
    ],
)
def test_every_function_is_counted(
    installation: Installation, library: Path, program: Path, regex: str, calls: dict[str, int]
) -> None:
    with installation.daemon(installation.probes(site(library, regex))) as daemon:
        done = daemon.wrap(program, capture_output=True, text=True)
        trace = daemon.lines()
    assert (done.returncode, done.stdout) == (0, OUTPUT)
    assert dict(trace.tally()) == calls
    assert {symbol: counts["entered"] for symbol, counts in trace.counts.items()} == calls
    assert trace.footer["entered"] == trace.footer["recorded"]
