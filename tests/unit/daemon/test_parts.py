"""The files of a run, as the process that traces sees them."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from datacrumbs.daemon.identity import Owner
from datacrumbs.daemon.parts import Parts

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

ME = Owner(os.getuid(), os.getgid(), "me")


def test_it_is_full_or_removed(tmp_path: Path) -> None:
    parts = Parts(tmp_path, ("x.pfw.gz",), ME, rotate_megabytes=0.001)
    assert (parts.full, parts.removed) == (False, False)
    parts.stream.write(bytes(1009))
    assert (parts.full, parts.removed) == (True, False)
    parts.advance()
    assert (parts.full, parts.current.name, parts.count) == (False, "x.1.pfw.gz", 2)
    parts.current.unlink()
    assert parts.removed
    parts.close()


def test_a_file_system_that_does_not_know_this_process_ends_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> os.stat_result:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with Parts(tmp_path, ("x.pfw.gz",), ME, rotate_megabytes=1).stream as stream:
        parts = Parts(tmp_path, ("x.pfw.gz",), ME, rotate_megabytes=1, stream=stream)
        with monkeypatch.context() as patched:
            patched.setattr(os, "fstat", refuse)
            assert (parts.full, parts.removed) == (False, False)
