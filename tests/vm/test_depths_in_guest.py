"""How deep calls are, on the guest's kernel; with the kernel's own functions inside system calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ..kernel.test_depths import *  # noqa: F403, TID252 - the same tests, with this directory's engine
from ..kernel.test_depths import assert_depths_are_those_of_intervals  # noqa: TID252

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.guest("6.1-amd64", "6.1-arm64")
del test_calls_without_records_and_other_layers_do_not_count  # noqa: F821 - it has engines of its own


def test_functions_and_events_of_the_kernel_are_inside_system_calls(
    tracer, program: Callable[[str], Path], ext4: Path
) -> None:
    trace = tracer.run(str(program("layers.c")), "write", str(ext4 / "deep"))
    assert trace.named("write")["depth"].tolist() == [0] * 17
    assert trace.named("vfs_write")["depth"].tolist() == [1] * 17
    assert trace.named("ext4_file_write_iter")["depth"].tolist() == [2] * 17
    assert_depths_are_those_of_intervals(trace.calls)
