"""Programs compute the same whether they are probed, traced, or only map a file that is probed."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datacrumbs.configure import compose, current_host
from datacrumbs.configure.compose import Report
from datacrumbs.configure.site import read_site_file
from datacrumbs.plugins import load_providers

from .conftest import Tracer

if TYPE_CHECKING:
    from collections.abc import Callable

    from datacrumbs.system import SystemConfiguration

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the instructions are those of x86-64"),
]

SITE = """
capture_probes:
  - {{name: V, probe: uprobe, type: binary, file: {program}, regex: '(vector|below)_.*|main'}}
  - {{name: U, probe: usdt, type: usdt, binary_path: {program}, provider: vectors}}
"""
ROUNDS, SUMS = 23, 1009
MISTAKEN = "is decoded as another one by the kernel, which would compute something else"
RED_ZONE = "is replaced by a call on Linux 6.18, which writes below the stack pointer"


@pytest.fixture
def program(build: Callable[..., Path]) -> Path:
    if "avx2" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this processor has no AVX2")
    return build("avx.c", "-O2", "-mavx2", "-mfma", "-fcf-protection=none", "-no-pie", "-Wl,--build-id")


@pytest.mark.parametrize("move", [True, False])
def test_vector_functions_and_stacks_are_left_as_they_are(
    program: Path, engine_state: Path, configuration: SystemConfiguration, tmp_path: Path, move: bool
) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(SITE.format(program=program) + ("" if move else "move_probes: false\n"))
    notes: list[str] = []
    plan = compose(read_site_file(site), load_providers(only=["sys"]), current_host(), report=Report(notes.append))
    assert any(MISTAKEN in note and "vector_compare" in note for note in notes)
    assert any(RED_ZONE in note and "vectors:five_bytes" in note for note in notes)
    bare = subprocess.run([program], capture_output=True, check=True)
    with Tracer(plan, engine_state, configuration) as tracer:
        untraced = subprocess.run([program], capture_output=True, check=True)
        traced = tracer.run(str(program), stdout=subprocess.PIPE)
        counts = dict(zip([each.symbol for each in plan.functions], tracer.engine.counts(), strict=True))
    assert untraced.stdout == bare.stdout
    assert (traced.output, traced.status) == (bare.stdout, 0)
    assert counts["vector_sum"].entered == counts["vector_sum"].recorded == ROUNDS
    assert counts["below_the_stack"].entered == counts["vectors:one_byte"].entered == SUMS
    assert ("vector_swap" in counts) == move
    assert "vector_store" not in counts
