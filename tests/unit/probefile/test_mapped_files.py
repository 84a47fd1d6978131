"""Which files a traced program can have root attach to."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datacrumbs.elf.functions import elf_functions, elf_target
from datacrumbs.errors import DatacrumbsError
from datacrumbs.model.plan import Attach, Function, Group
from datacrumbs.probefile.mapped_files import verify_mapped
from datacrumbs.secure import file_systems
from datacrumbs.secure.file_systems import problem_of_mapped

from .served import served_file

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = 4096


@pytest.fixture(autouse=True)
def _first_user_known() -> Iterator[None]:
    file_systems._first_user.cache_clear()
    file_systems._first_user()
    yield
    file_systems._first_user.cache_clear()


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Its first function is in one page, its last in another."""
    source = "int first(void) { return 1; }\n" + "".join(f"int f{n}(int a) {{ return a * {n}; }}\n" for n in range(999))
    path = tmp_path / "libmapped.so"
    flags = ["-O1", "-shared", "-fPIC", "-Wl,--build-id", "-x", "c", "-"]
    subprocess.run(["cc", *flags, "-o", path], input=source + "int last(void) { return 2; }\n", text=True, check=True)
    return path


@pytest.fixture
def copy(library: Path) -> Path:
    return Path(shutil.copy(library, library.with_name("copy")))


def place(library: Path, name: str = "first") -> int:
    (function,) = [function for function in elf_functions(library) if function.name == name]
    return function.offset


def opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def check(library: Path, other: Path, owners: tuple[int, ...] = (0, os.getuid())) -> None:
    target = elf_target(library)
    group = Group("p", "p", Attach.UPROBE, target, (Function("first", "first", "POSIX", place(library)),))
    with closing(opened(other)) as one, closing(opened(library)) as two:
        verify_mapped(next(one), target, next(two), [group], owners)


def refused(library: Path, other: Path, owners: tuple[int, ...] = (0, os.getuid())) -> str:
    with pytest.raises(DatacrumbsError) as caught:
        check(library, other, owners)
    return caught.value.message


def test_a_copy(library: Path, copy: Path) -> None:
    check(library, copy)
    subprocess.run(["strip", "--strip-unneeded", copy], check=True)
    check(library, copy)  # another file, but not where probes are


def test_who_owns_it(library: Path, copy: Path) -> None:
    assert "owned by uid" in refused(library, copy, (12345,))


def test_who_may_write_it(library: Path, copy: Path) -> None:
    copy.chmod(0o777)
    assert refused(library, copy) == "it is writable by all users"


@pytest.mark.parametrize(("name", "harmless"), [("first", False), ("last", True)])
def test_what_differs(library: Path, copy: Path, name: str, *, harmless: bool) -> None:
    """Each byte of the pages with probes counts, and no other one."""
    assert place(library) // PAGE != place(library, "last") // PAGE
    with copy.open("r+b") as stream:
        stream.seek(place(library, name) + 4)
        stream.write(b"\xcc")
    if harmless:
        check(library, copy)
    else:
        assert refused(library, copy) == "it differs from the signed file where probes are"


def test_a_file_that_is_too_short(library: Path, copy: Path) -> None:
    os.truncate(copy, place(library))
    assert refused(library, copy) == "it differs from the signed file where probes are"


def test_another_build_id(library: Path, copy: Path) -> None:
    subprocess.run(["objcopy", "--remove-section=.note.gnu.build-id", copy], check=True)
    assert "build-id" in refused(library, copy)


def test_what_is_no_file(library: Path) -> None:
    assert refused(library, library.parent) == "it is not a regular file"


MOUNTS = """1 0 8:1 / / rw - ext4 /dev/vda rw
2 1 0:44 / /fuse rw - fuse.sshfs served rw,user_id={uid},group_id=0
3 1 0:45 / /layers rw - overlay overlay rw
"""
FUSE = 0x65735546


# Where a file is: on a mount that is seen here, on a file system that is seen here, or on one that is not.
@pytest.mark.parametrize(
    ("mount", "device", "kind", "uid", "problem"),
    [
        ("2", 0, 0, 1000, "serves"),
        ("2", 0, FUSE, 999, ""),
        ("9", os.makedev(0, 44), FUSE, 1000, "serves"),
        ("9", os.makedev(0, 44), FUSE, 999, ""),
        ("9", os.makedev(0, 77), FUSE, 0, "serves"),
        ("3", 0, file_systems.OVERLAY, 0, ""),
        ("9", os.makedev(0, 45), file_systems.OVERLAY, 0, ""),
        ("9", os.makedev(0, 77), file_systems.OVERLAY, 0, "overlay"),
        ("9", os.makedev(0, 77), 0xEF53, 0, ""),
    ],
)
def test_file_systems(  # noqa: PLR0917 - a table
    monkeypatch: pytest.MonkeyPatch, mount: str, device: int, kind: int, uid: int, problem: str
) -> None:
    """What a user's program serves can keep the kernel waiting; of what is mounted elsewhere nothing is known."""
    texts = {"/proc/self/mountinfo": MOUNTS.format(uid=uid), "/proc/self/fdinfo/0": f"pos:\t0\nmnt_id:\t{mount}\n"}
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", lambda path: texts[str(path)].encode())
        patched.setattr(file_systems, "device_of", lambda _: (os.major(device), os.minor(device)))
        patched.setattr(file_systems, "file_system_kind", lambda _: kind)
        found = problem_of_mapped(0)
    assert problem in found
    assert bool(problem) == bool(found)


@pytest.mark.kernel
@pytest.mark.parametrize("seen", [True, False], ids=["mounted-here", "mounted-elsewhere"])
def test_a_users_file_system_is_refused_without_asking_it(
    seen: bool, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could keep the answer back, and a thread of root's would wait in the kernel."""
    directory, asked = tmp_path / "served", []
    directory.mkdir()
    with (
        served_file(directory, library.read_bytes(), 1000, asked=asked) as path,
        path.open("rb", buffering=0) as file,
    ):
        if not seen:
            (connections := tmp_path / "connections").mkdir()
            (connections / str(os.minor(directory.stat().st_dev))).mkdir()
            monkeypatch.setattr(file_systems, "read_mounts", list)
            monkeypatch.setattr(file_systems, "_CONNECTIONS", connections)
            monkeypatch.setattr(Path, "is_mount", lambda place: place == connections)
        asked.clear()
        assert "FUSE" in problem_of_mapped(file.fileno())
        assert asked == []


@pytest.mark.parametrize(
    ("point", "source"),
    [("/home/eve/x", ""), ("/home/eve/a\rb", "served"), ("/home/eve/a\v-\vext4\vx\vrw\r99\v1\v0:1", "served")],
)
def test_names_of_users_say_nothing_of_a_mount(monkeypatch: pytest.MonkeyPatch, point: str, source: str) -> None:
    """Neither a mount point nor a source hides who serves a file system, or stops the look at another one."""
    mounts = f"1 0 8:1 / / rw - ext4 /dev/vda rw\n2 1 0:44 / {point} rw shared:3 - fuse {source} rw,user_id=1000\n"
    found = {}
    for mount in ("1", "2", "99"):
        texts = {"/proc/self/mountinfo": mounts, "/proc/self/fdinfo/0": f"mnt_id:\t{mount}\n"}
        with monkeypatch.context() as patched:
            patched.setattr(Path, "read_bytes", lambda path, texts=texts: texts[str(path)].encode())
            found[mount] = file_systems.is_served_by_user(0)
    assert found == {"1": False, "2": True, "99": False}


@pytest.mark.parametrize(
    ("definitions", "users"),
    [
        ("UID_MAX 60000\n", [1000]),
        ("#UID_MIN 400\nUID_MIN\t\t 500\n", [500, 1000]),
        ("UID_MIN 5000\n", [1000]),
        (None, [1000]),
    ],
)
def test_who_is_a_user_is_the_hosts_to_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, definitions: str | None, users: list[int]
) -> None:
    """Sites that began long ago have users from 500 on: each could hold up the whole host."""
    file = tmp_path / "login.defs"
    if definitions is not None:
        file.write_text(definitions)
    monkeypatch.setattr(file_systems, "_LOGIN_DEFINITIONS", file)
    file_systems._first_user.cache_clear()
    mounts = {
        uid: file_systems.MountLine(b"1", b"0:1", b"/", b"/x", b"fuse", b"user_id=%d" % uid) for uid in (499, 500, 1000)
    }
    assert [uid for uid, mount in mounts.items() if mount.served_by_user] == users
