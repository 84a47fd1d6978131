"""Where the trace of a recorded command may be made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from datacrumbs.errors import DatacrumbsError
from datacrumbs.session import trace_file
from datacrumbs.session.invoker import Invoker
from datacrumbs.session.trace_file import NewTrace

from ..probefile.served import served_file  # noqa: TID252 - a file system of the tests

GET_ATTRIBUTES = 3  # FUSE_GETATTR in linux/fuse.h
ME = Invoker(os.getuid(), os.getgid(), tuple(os.getgroups()), "me", {})


def test_the_next_free_name_where_it_may_vary(tmp_path):
    traces = [NewTrace(tmp_path / "x.pfw.gz", ME, may_vary=True) for _ in range(3)]
    assert [trace.path.name for trace in traces] == ["x.pfw.gz", "x-2.pfw.gz", "x-3.pfw.gz"]
    with pytest.raises(DatacrumbsError, match="never overwritten"):
        NewTrace(tmp_path / "x.pfw.gz", ME, may_vary=False)
    for trace in traces:
        trace.stream.close()


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/fuse").exists(), reason="mounts")
def test_root_makes_none_where_a_program_of_a_user_could_hold_it(tmp_path):
    asked, link = [], tmp_path.with_name("link")
    with served_file(tmp_path, b"", 1000, asked=asked):
        tmp_path.stat()  # the kernel has asked for what it asks of a new file system
        asked.clear()
        for path in ("x.pfw.gz", "below/x.pfw.gz", "below/../x.pfw.gz"):
            with pytest.raises(DatacrumbsError, match="FUSE") as caught:
                NewTrace(tmp_path / path, ME, may_vary=True)
            assert caught.value.hint
        link.symlink_to(tmp_path / "below")
        with pytest.raises(DatacrumbsError, match="FUSE"):
            NewTrace(link / "x.pfw.gz", ME, may_vary=True)
        assert set(asked) <= {GET_ATTRIBUTES}


@pytest.mark.skipif(os.geteuid() != 0, reason="of root's")
def test_nor_where_one_was_mounted_meanwhile(tmp_path, monkeypatch):
    monkeypatch.setattr(trace_file, "is_served_by_user", lambda _: True)
    with pytest.raises(DatacrumbsError, match="FUSE"):
        NewTrace(tmp_path / "x.pfw.gz", ME, may_vary=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="of root's")
def test_links_on_the_way_lead_where_they_lead(tmp_path):
    (tmp_path / "real" / "below").mkdir(parents=True)
    (tmp_path / "relative").symlink_to("real/../real")
    (tmp_path / "absolute").symlink_to(tmp_path / "relative" / "below")
    trace = NewTrace(tmp_path / "absolute" / "x.pfw.gz", ME, may_vary=False)
    trace.stream.close()
    assert trace.path == tmp_path.resolve() / "real" / "below" / "x.pfw.gz"
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    for place, why in (("loop", "Too many levels"), ("file", "Not a directory"), ("nowhere", "No such file")):
        with pytest.raises(DatacrumbsError, match=f"{place}: {why}"):
            NewTrace(tmp_path / place / "x.pfw.gz", ME, may_vary=False)
