"""Which file systems a node has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from datacrumbs.trace import mounts
from datacrumbs.trace.mounts import Mount, mount_fields, node_mounts, read_mount, value_at

if TYPE_CHECKING:
    from pathlib import Path

TABLE = r"""
22 1 0:20 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,stripe=23,rsize=many
23 22 0:21 / /proc rw - proc proc rw
24 22 0:22 / /home rw,nosuid shared:2 master:3 - nfs4 server:/home rw,vers=4.2,rsize=1048576,wsize=524288
25 24 0:23 / /home/ada/scratch rw - xfs /dev/nvme0n1 rw,sunit=512,swidth=2048
26 22 0:24 / /mnt/with\040space rw - fuse.sshfs host: rw
27 22 0:25 / /lustre rw - tmpfs none rw
28 22 0:26 / /lustre rw - lustre mgs:/scratch rw
29 22 0:27 / /var rw - tmpfs tmpfs rw
not a line of the table
"""


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The mount points that are asked how large their blocks are."""
    points: list[str] = []

    def answer(point: str) -> int:
        points.append(point)
        return 4096

    monkeypatch.setattr(mounts, "_block_bytes", answer)
    return points


def test_mounts_that_differ_from_the_one_above() -> None:
    assert node_mounts(TABLE) == {
        "/": Mount(local=True, kind="ext4", block_bytes=4096, stripe_bytes=23 * 4096),
        "/proc": Mount(local=True, kind="proc", block_bytes=4096),
        "/home": Mount(local=False, kind="nfs4", read_bytes=1048576, write_bytes=524288),
        "/home/ada/scratch": Mount(local=True, kind="xfs", stripe_bytes=2048 * 512),
        "/lustre": Mount(local=False, kind="lustre"),
        "/mnt/with space": Mount(local=False, kind="fuse.sshfs"),
        "/var": Mount(local=True, kind="tmpfs", block_bytes=4096),
    }


def test_what_is_the_same_as_above_is_left_out() -> None:
    table = "1 0 8:1 / / rw - ext4 /dev/vda rw\n2 1 8:2 / /home rw - ext4 /dev/vdb rw\n"
    assert list(node_mounts(table)) == ["/"]


def test_no_server_is_asked(asked: list[str]) -> None:
    """Nor is a local file system whose mount point is below one of a server, nor what may be laid over one."""
    table = TABLE + "30 22 0:28 / /image rw - overlay overlay rw\n31 30 0:29 / /image/run rw - tmpfs tmpfs rw\n"
    node_mounts(table)
    assert asked == ["/", "/proc", "/var"]


def test_the_host_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    found = node_mounts("1 0 0:21 / /proc rw - proc proc rw\n2 0 0:22 / /no/such rw - tmpfs tmpfs rw\n")
    assert found["/proc"] == Mount(local=True, kind="proc", block_bytes=4096)
    assert found["/no/such"] == Mount(local=True, kind="tmpfs")


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
    local = {point: mount.local for point, mount in node_mounts().items()}
    assert local == {"/": True, "/home": False, point.replace("\\040", " "): True, forged: True}


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
    found = value_at(path, node_mounts(TABLE))
    assert found is not None
    assert found.local is local


def test_nothing_is_known_without_a_table() -> None:
    assert value_at("/x", node_mounts("")) is None


@pytest.mark.parametrize("name", ["pipe:[23]", "", "relative/x"])
def test_what_is_no_path_is_on_no_mount(name: str) -> None:
    assert value_at(name, {"/": 1}) is None


@pytest.mark.parametrize(
    "mount",
    [
        Mount(local=True),
        Mount(local=False, kind="nfs4", read_bytes=23, write_bytes=29),
        Mount(local=True, kind="xfs", block_bytes=7, stripe_bytes=11),
    ],
)
def test_a_line_says_what_is_known(mount: Mount) -> None:
    assert read_mount({"point": "/x", **dict(mount_fields(mount))}) == {"/x": mount}


def test_damaged_lines_say_nothing() -> None:
    assert read_mount({"point": "/x", "local": 1}) == {"/x": Mount(local=True)}
    assert read_mount({"point": 3, "local": 1}) == read_mount({"point": "/x"}) == {}
    assert read_mount({"point": "/x", "local": 1, "type": 3}) == {}
    sizes = {"block_bytes": "many", "stripe_bytes": -1, "read_bytes": True, "write_bytes": 7}
    assert read_mount({"point": "/x", "local": 0, **sizes}) == {"/x": Mount(local=False, write_bytes=7)}
