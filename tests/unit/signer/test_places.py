from __future__ import annotations

import re
import subprocess
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datacrumbs.signer.places import Places, probe_places

SHELL = Path("/bin/sh").resolve()
NONE = Places(frozenset(), frozenset())


def test_every_function_symbol_of_a_library_is_a_place(installation):
    symbols = subprocess.run(
        ["readelf", "-sW", installation.library], capture_output=True, text=True, check=True
    ).stdout
    addresses = {int(value, 16) for value in re.findall(r"([0-9a-f]{16})\s+\d+ FUNC\s+GLOBAL DEFAULT\s+\d+ ", symbols)}
    assert len(addresses) >= 2
    # The small library is loaded where it lies in the file.
    assert addresses <= set(installation.offsets())


def test_a_stripped_program_has_the_starts_of_its_unwind_entries(installation):
    before = set(installation.offsets())
    subprocess.run(["strip", "--strip-all", installation.library], check=True)
    assert len(before & set(installation.offsets())) >= 2


def test_what_is_no_elf_file_has_no_places(tmp_path):
    (tmp_path / "x").write_bytes(b"#!/bin/sh\n")
    with (tmp_path / "x").open("rb") as stream:
        assert probe_places(stream) == NONE


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_hostile_files_end_in_places_or_none(tmp_path, data):
    content = bytearray(SHELL.read_bytes())
    regions = [(4, 1023), (len(content) - 2000, len(content) - 1)]
    for _ in range(data.draw(st.integers(1, 12))):
        low, high = data.draw(st.sampled_from(regions))
        content[data.draw(st.integers(low, high))] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
    path = tmp_path / "hostile"
    path.write_bytes(content)
    with path.open("rb") as stream:
        places = probe_places(stream)
    assert isinstance(places, Places)
