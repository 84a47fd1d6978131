from __future__ import annotations

import re
import subprocess

import pytest

from datacrumbs.elf.usdt import usdt_probes
from datacrumbs.errors import DatacrumbsError

SOURCE = r"""
#include <sys/sdt.h>
__extension__ unsigned short layer_gated_semaphore __attribute__((unused)) __attribute__((section(".probes")));
int work(int a, long b)
{
	DTRACE_PROBE2(layer, twice, a, b);
	DTRACE_PROBE(layer, bare);
	DTRACE_PROBE1(other, twice, b);
	DTRACE_PROBE2(layer, twice, a, b);
	return a;
}
"""


@pytest.fixture(scope="module", params=[("-shared", "-fPIC"), ("-no-pie",)], ids=["library", "program"])
def probed(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("usdt")
    (folder / "probed.c").write_text(SOURCE + "int main(void) { return work(1, 2); }\n")
    subprocess.run(["gcc", "-O0", *request.param, "-o", "probed", "probed.c"], check=True, cwd=folder)
    return folder / "probed"


def test_probes_with_places_and_arguments(probed):
    probes = {(probe.provider, probe.name): probe for probe in usdt_probes(probed)}
    assert set(probes) == {("layer", "bare"), ("layer", "twice"), ("other", "twice")}
    assert len(probes["layer", "twice"].locations) == 2
    assert re.fullmatch(r"-4@\S+ -8@\S+", probes["layer", "twice"].arguments)
    assert probes["layer", "bare"].arguments == ""
    assert probes["layer", "bare"].semaphore == 0


def test_each_place_is_a_nop(probed):
    content = probed.read_bytes()
    for probe in usdt_probes(probed):
        assert all(content[location] == 0x90 for location in probe.locations)


def test_semaphores_of_a_real_program():
    probes = usdt_probes("/usr/bin/python3")
    assert "function__entry" in {probe.name for probe in probes}
    assert all(probe.semaphore for probe in probes)
    assert len({probe.semaphore for probe in probes}) == len({probe.name for probe in probes})


def test_files_without_probes_have_none():
    assert usdt_probes("/bin/true") == ()


def test_missing_files_are_a_clear_error(tmp_path):
    with pytest.raises(DatacrumbsError, match="absent"):
        usdt_probes(tmp_path / "absent")
