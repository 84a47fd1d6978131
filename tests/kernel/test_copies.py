"""Calls that read one file and write another name both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from datacrumbs.configure.site import ProviderEntry

from .conftest import Trace, Tracer, composed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.kernel

COPIES = ("copy_file_range", "sendfile", "splice", "tee")


@pytest.fixture(scope="module", params=["sys", "posix"])
def tracer(request: pytest.FixtureRequest, engine_state: Path, configuration):
    """An engine for system calls, and one for the C library."""
    with Tracer(composed(ProviderEntry(request.param, preset="data")), engine_state, configuration) as tracer:
        yield tracer


def _copies(trace: Trace, directory: Path) -> list[tuple[str, int, str, str]]:
    found = []
    for call in trace.calls:
        function = trace.plan.functions[call["function"]]
        if function.name in COPIES:
            (slot,) = [slot for slot, argument in enumerate(function.arguments) if argument.label == "to"]
            paths = [trace.path(call["file"]), trace.path(call["values"][slot])]
            named = [path.removeprefix(f"{directory}/").partition("[")[0] for path in paths]
            found.append((function.name, int(call["result"]), *named))
    return found


def test_source_and_destination(tracer: Tracer, build: Callable[..., Path], tmp_path: Path) -> None:
    trace = tracer.run(str(build("copies.c")), str(tmp_path))
    assert trace.status == 0
    assert _copies(trace, tmp_path) == [
        ("copy_file_range", 90001, "source", "copied"),
        ("sendfile", 80021, "source", "sent"),
        ("splice", 30011, "source", "pipe:"),
        ("tee", 20011, "pipe:", "pipe:"),
        ("splice", 30011, "pipe:", "spliced"),
        ("copy_file_range", -1, "source", ""),
    ]
