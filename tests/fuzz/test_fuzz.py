"""A short run of every door, with inputs made from valid ones; `make fuzz` is the long one."""

from __future__ import annotations

import resource
import time
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datacrumbs.errors import DatacrumbsError

from .feeds import DOORS

SLOWEST_SECONDS = 5.0
"""Of the processor: what other programs take does not count. A wait is ended by the time limit of each test."""
MOST_MIB = 512
"""What the process may have grown by, with the libraries that a door loads."""
FRAGMENTS = [b"", b"0", b"-1", b"null", b"[]", b"{}", b'""', b"1e999", b"9" * 20, b"\xff", b"\n", b",", b"[" * 200]
SEEDS = {name: door.seeds() for name, door in DOORS.items()}

# (where, how much is cut out there, what is put in)
EDITS = st.lists(
    st.tuples(st.integers(0, 1 << 16), st.integers(0, 9), st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=4))),
    max_size=6,
)


@pytest.mark.parametrize("name", DOORS)
@settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_bytes_end_in_an_answer(name, data):
    content = SEEDS[name][data.draw(st.integers(0, len(SEEDS[name]) - 1))]
    for place, cut, put in data.draw(EDITS):
        begin = place % (len(content) + 1)
        content = content[:begin] + put + content[begin + cut :]
    before, started = peak_mib(), time.process_time()
    with suppress(DatacrumbsError):
        DOORS[name].feed(content)
    assert time.process_time() - started < SLOWEST_SECONDS
    assert peak_mib() - before < MOST_MIB


def peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


@pytest.mark.parametrize("name", DOORS)
def test_valid_inputs_are_taken(name):
    taken = 0
    for seed in SEEDS[name]:
        try:
            DOORS[name].feed(seed)
        except DatacrumbsError:
            continue
        taken += 1
    assert taken
