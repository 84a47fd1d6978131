"""Which directories are of one node alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from datacrumbs.trace import mounts
from datacrumbs.trace.mounts import is_local, node_mounts, read_mount

if TYPE_CHECKING:
    from pathlib import Path

TABLE = r"""
22 1 0:20 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
23 22 0:21 / /proc rw - proc proc rw
24 22 0:22 / /home rw,nosuid shared:2 master:3 - nfs4 server:/home rw,vers=4.2
25 24 0:23 / /home/ada/scratch rw - xfs /dev/nvme0n1 rw
26 22 0:24 / /mnt/with\040space rw - fuse.sshfs host: rw
27 22 0:25 / /lustre rw - tmpfs none rw
28 22 0:26 / /lustre rw - lustre mgs:/scratch rw
29 22 0:27 / /var rw - tmpfs tmpfs rw
not a line of the table
"""


def test_mounts_that_change_what_is_local() -> None:
    assert node_mounts(TABLE) == {
        "/": True,
        "/home": False,
        "/home/ada/scratch": True,
        "/lustre": False,
        "/mnt/with space": False,
    }


@pytest.mark.parametrize("character", ["\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028"])
def test_a_name_does_not_make_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, character: str) -> None:
    """The kernel escapes a newline in a mount point, and nothing else that Python takes for one."""
    point = f"/home/eve/a{character}9 1 0:9 / /home rw - ext4 x rw".replace(" ", "\\040")
    forged = f"/home/eve/b{character}9{character}1{character}0:9{character}/{character}/home{character}rw{character}-"
    lines = [
        "1 0 8:1 / / rw - ext4 /dev/vda rw",
        "2 1 0:22 / /home rw - nfs4 server:/home rw",
        f"3 2 0:30 / {point} rw - tmpfs  rw",
        f"4 2 0:31 / {forged} rw shared:1 - tmpfs - rw",
    ]
    table = tmp_path / "mountinfo"
    table.write_bytes("".join(f"{line}\n" for line in lines).encode())
    monkeypatch.setattr(mounts, "MOUNTS", table)
    assert node_mounts() == {"/": True, "/home": False, point.replace("\\040", " "): True, forged: True}


@pytest.mark.parametrize(
    ("path", "local"),
    [
        ("/", True),
        ("/var/x", True),
        ("/home", False),
        ("/home/ada/x", False),
        ("/home2/x", True),
        ("/home/ada/scratch/x", True),
        ("/lustre/x", False),
    ],
)
def test_the_nearest_mount_decides(path: str, local: bool) -> None:
    assert is_local(path, node_mounts(TABLE)) is local


def test_nothing_is_known_without_a_table() -> None:
    assert is_local("/x", node_mounts("")) is None


def test_damaged_lines_say_nothing() -> None:
    assert read_mount({"point": "/x", "local": 1}) == {"/x": True}
    assert read_mount({"point": 3, "local": 1}) == read_mount({"point": "/x"}) == {}
