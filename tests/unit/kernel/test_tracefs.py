from __future__ import annotations

import os
from pathlib import Path

import pytest

from datacrumbs.kernel import tracefs
from datacrumbs.kernel.tracefs import kprobes_available, mounted_tracefs, tracefs_directory


def test_kprobes_are_where_the_kernel_says():
    configuration = Path("/boot") / f"config-{os.uname().release}"
    if configuration.exists():
        assert kprobes_available() == ("CONFIG_KPROBES=y" in configuration.read_text())
    assert kprobes_available() == Path("/sys/bus/event_source/devices/kprobe").is_dir()


def test_tracing_files_are_where_they_are_mounted_and_nowhere_else(monkeypatch, tmp_path):
    places = (tmp_path / "first", tmp_path / "second")
    monkeypatch.setattr(tracefs, "PLACES", places)
    assert tracefs_directory() is None
    with pytest.raises(FileNotFoundError, match="tracefs is not mounted"):
        mounted_tracefs()
    (places[1] / "events").mkdir(parents=True)
    places[0].mkdir()  # where it could be mounted
    assert tracefs_directory() == mounted_tracefs() == places[1]
