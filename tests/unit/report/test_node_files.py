"""Files of several nodes: those that only one of them has are apart, those that they share are one."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datacrumbs.report import node_files
from datacrumbs.report.call_selection import CallSelection, select, select_profiles
from datacrumbs.report.mounted import by_mount
from datacrumbs.report.summary import table
from datacrumbs.trace.reader import read_traces

if TYPE_CHECKING:
    from types import ModuleType

    import pytest

FILES = {"00000000000000a1": "/local/x", "00000000000000a2": "/shared/x", "00000000000000a3": "pipe:[23]"}


def trace(made: ModuleType, path: Path, host: str, mounts: dict[str, int]) -> Path:
    lines = [made.metadata("datacrumbs_mount", {"point": point, "local": local}) for point, local in mounts.items()]
    calls = [made.call("write", "POSIX", 10 + 5 * n, 3, ret=7, bytes=7, fhash=name) for n, name in enumerate(FILES)]
    return made.write(path, calls, FILES, host=host, before=lines)


def rows(paths: list[Path], view: str) -> dict[str, int]:
    traces = read_traces(paths)
    everything = CallSelection()
    calls, profiles = select(traces, everything), select_profiles(traces, everything)
    return {row["path"]: row["count"] for row in table(traces, calls, profiles, view)}


def test_files_of_one_node_are_apart(made: ModuleType, tmp_path: Path) -> None:
    mounts = {"/": 1, "/shared": 0}
    both = [trace(made, tmp_path / f"{host}.pfw.gz", host, mounts) for host in ("one", "two")]
    assert rows(both, "file") == {"one:/local/x": 1, "two:/local/x": 1, "/shared/x": 2}
    assert rows(both, "channel") == {"one:pipe:[23]": 1, "two:pipe:[23]": 1}
    assert rows(both[:1], "file") == {"/local/x": 1, "/shared/x": 1}


def test_what_a_trace_does_not_say_may_be_shared(made: ModuleType, tmp_path: Path) -> None:
    both = [trace(made, tmp_path / f"{host}.pfw.gz", host, {}) for host in ("one", "two")]
    assert rows(both, "file") == {"/local/x": 2, "/shared/x": 2}


def test_what_is_mounted_in_local_directories_makes_no_other_kind_of_node(
    made: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a user's directory below /run: the paths of all nodes were looked at once for each of them."""
    looked = set[str]()

    def seen(values: dict[str, bool], kind: Any) -> Any:
        looked.add(str(sorted(values)))
        return by_mount(values, kind)

    monkeypatch.setattr(node_files, "by_mount", seen)
    users = {"one": 1000, "two": 1001, "three": 1002}
    both = [
        trace(made, tmp_path / f"{host}.pfw.gz", host, {"/": 1, "/shared": 0, f"/run/user/{user}": 1})
        for host, user in users.items()
    ]
    assert rows(both, "file") == {f"{host}:/local/x": 1 for host in users} | {"/shared/x": 3}
    assert looked == {"['/', '/shared']"}


def test_the_command_says_which_node(made: ModuleType, tmp_path: Path) -> None:
    both: list[Any] = [trace(made, tmp_path / f"{host}.pfw.gz", host, {"/": 1}) for host in ("one", "two")]
    command = Path(sysconfig.get_path("scripts")) / "datacrumbs_report"
    done = subprocess.run([command, *both, "--by", "file"], capture_output=True, text=True, check=True)
    assert "two:/local/x" in done.stdout
