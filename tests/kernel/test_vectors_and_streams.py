"""What the C library's calls move by vectors, and streams that have no file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from datacrumbs.configure.site import ProviderEntry
from datacrumbs.model.record import SLOTS

from .conftest import Trace, Tracer, composed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.kernel

ENTRIES = (1, 7, 8, 9, 11, 255, 256, 257, 523, 1021, 1024)
FOUNT = "standard-input"


@pytest.fixture(scope="module")
def tracer(engine_state: Path, configuration):
    """An engine for the C library."""
    with Tracer(composed(ProviderEntry("posix", preset="all")), engine_state, configuration) as tracer:
        yield tracer


@pytest.fixture(scope="module")
def trace(tracer: Tracer, build: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Trace:
    path = tmp_path_factory.mktemp("streams") / FOUNT
    path.write_text("one line\n")
    with path.open() as standard_input:
        trace = tracer.run(str(build("vectors.c", "-fno-builtin")), stdin=standard_input)
    assert trace.status == 0
    return trace


def test_bytes_asked_for_by_vectors_of_any_length(trace: Trace) -> None:
    asked = [int(count) for count in trace.named("writev")["values"][:, SLOTS - 1].view("<i8")]
    assert asked == [count * (count + 1) // 2 for count in ENTRIES] + [-1]
    assert trace.named("writev")["result"].tolist() == asked
    (sent,) = trace.named("sendmsg")
    assert sent["values"][SLOTS - 1] == 13 * 14 // 2


@pytest.mark.parametrize("name", ["fprintf", "fwrite", "fflush", "rewind"])
def test_streams_in_memory_have_no_file(trace: Trace, name: str) -> None:
    calls = trace.named(name)
    assert len(calls) == 103
    assert set(calls["file"].tolist()) == {0}


def test_streams_of_files_have_theirs(trace: Trace) -> None:
    assert [trace.path(call["file"]) for call in trace.named("fputs")] == ["/dev/null", ""] * 103
    paths = [trace.path(call["file"]) for call in trace.named("fgets")]
    assert paths[:-1] == [""] * 103
    assert paths[-1].endswith(FOUNT)
    assert [trace.path(call["file"]) for call in trace.named("fclose")] == ["/dev/null", "", "", ""] * 103
