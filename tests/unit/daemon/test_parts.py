"""The files of a run, as the process that traces sees them."""

from __future__ import annotations

import errno
import os
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from datacrumbs.daemon.identity import Owner
from datacrumbs.daemon.part_process import PartProcess
from datacrumbs.daemon.parts import Parts
from datacrumbs.errors import DatacrumbsError

if TYPE_CHECKING:
    from pathlib import Path

ME = Owner(os.getuid(), os.getgid(), "me")


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_it_is_full_or_removed(tmp_path: Path) -> None:
    with closing(PartProcess(ME)) as maker:
        parts = Parts(tmp_path, ("x.pfw.gz",), ME, rotate_megabytes=0.001, maker=maker)
        assert (parts.full, parts.removed) == (False, False)
        parts.stream.write(bytes(1009))
        assert (parts.full, parts.removed) == (True, False)
        parts.advance()
        assert (parts.full, parts.current.name, parts.count) == (False, "x.1.pfw.gz", 2)
        parts.current.unlink()
        assert parts.removed
        parts.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_it_goes_on_in_its_file_where_no_other_can_be_made(tmp_path: Path) -> None:
    with closing(PartProcess(ME)) as maker:
        parts = Parts(tmp_path, ("x.pfw.gz",), ME, rotate_megabytes=0.001, maker=maker)
        parts.stream.write(bytes(1009))
        (tmp_path / "x.1.pfw.gz").touch()
        with pytest.raises(DatacrumbsError, match="File exists"):
            parts.advance()
        assert (parts.full, parts.current.name, parts.stream.write(bytes(13))) == (False, "x.pfw.gz", 13)
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
