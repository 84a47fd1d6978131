"""On which file system a call's file is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from datacrumbs.report.mounted import FILE_SYSTEM, by_mount, with_file_systems
from datacrumbs.trace.dataframes import pl
from datacrumbs.trace.reader import read_traces

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from datacrumbs.trace.reader import Traces

FILES = {
    "00000000000000a1": "/x",
    "00000000000000a2": "/home/ada/x",
    "00000000000000a3": "pipe:[23]",
    "00000000000000a4": "/homestead",
    "00000000000000a5": "/home",
}


@pytest.fixture
def traces(made: ModuleType, tmp_path: Path) -> Traces:
    """One of a node with a home on a server, one of a node without."""
    calls = [made.call("write", "POSIX", 10 + 5 * n, 3, ret=7, bytes=7, fhash=name) for n, name in enumerate(FILES)]
    calls.append(made.call("sync", "POSIX", 97, 3))
    mounts = {"one": {"/": "ext4", "/home": "nfs4"}, "two": {"/": "xfs"}, "three": {}}
    paths = []
    for host, points in mounts.items():
        lines = [made.metadata("datacrumbs_mount", {"point": p, "local": 1, "type": k}) for p, k in points.items()]
        paths.append(made.write(tmp_path / f"{host}.pfw.gz", calls, FILES, host=host, before=lines))
    return read_traces(paths)


def test_calls(traces: Traces) -> None:
    found = with_file_systems(traces, traces.calls).sort("trace", "ts").collect()
    kinds = found.group_by("trace", maintain_order=True).agg(FILE_SYSTEM)[FILE_SYSTEM].to_list()
    assert kinds == [["ext4", "nfs4", None, "ext4", "nfs4", None], ["xfs", "xfs", None, "xfs", "xfs", None], [None] * 6]


def test_profiles(traces: Traces) -> None:
    """Their hashes are texts; here there are none."""
    assert with_file_systems(traces, traces.profiles).columns == [*traces.profiles.columns, FILE_SYSTEM]


def test_many_mounts() -> None:
    """Each path is looked up once, and needs no expression as large as the mounts."""
    values = {"/": 0} | {f"/data/{number}": number for number in range(1, 10_007)}
    paths = pl.DataFrame({"path": ["/data/10006/x", "/data/10006", "/data/10007", None, "pipe:[23]"] * 3})
    for frame in (paths, paths.cast(pl.Categorical)):
        found = frame.lazy().select(by_mount(values, pl.Int64).alias("value")).collect(engine="streaming")
        assert found["value"].to_list() == [10_006, 10_006, 0, None, None] * 3
        assert frame.select(by_mount({}, pl.String))["path"].to_list() == [None] * 15
