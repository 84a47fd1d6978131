"""The process that makes the further files of a run, as its user."""

from __future__ import annotations

import os
import signal
import stat
from contextlib import closing
from pathlib import Path

import pytest

from datacrumbs.daemon import part_process
from datacrumbs.daemon.channel import Received
from datacrumbs.daemon.identity import Owner
from datacrumbs.daemon.messages import PartMade
from datacrumbs.daemon.part_process import PartProcess
from datacrumbs.errors import DatacrumbsError
from datacrumbs.secure import file_systems
from datacrumbs.trace.last_line import is_being_written

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
USER = Owner(997, 991, "user")
DAC_OVERRIDE = 1 << 1


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is."""
    monkeypatch.setattr(part_process, "_ANSWER_SECONDS", 300)


@pytest.fixture
def place(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, int]:
    directory = tmp_path / "traces"
    directory.mkdir(0o700)
    os.chown(directory, request.param, request.param)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    request.addfinalizer(lambda: os.close(descriptor))  # noqa: PT021 - beside the parameter
    return directory, descriptor


def status_of(maker: PartProcess) -> dict[str, list[str]]:
    lines = Path(f"/proc/{maker._pid}/status").read_text().splitlines()
    return {line.split(":")[0]: line.split()[1:] for line in lines}


@pytest.mark.parametrize(
    ("place", "capabilities"), [(USER.uid, 0), (0, DAC_OVERRIDE), (3, DAC_OVERRIDE)], indirect=["place"]
)
def test_what_is_made_is_the_users_wherever(place: tuple[Path, int], capabilities: int) -> None:
    directory, descriptor = place
    with closing(PartProcess(USER)) as maker:
        for name in ("a.1.pfw.gz", "a.2.pfw.gz"):
            part = maker.make(name, descriptor)
            os.write(part, b"x")
            assert is_being_written(directory / name)
            os.close(part)
            made = (directory / name).stat()
            assert (made.st_uid, made.st_gid, stat.S_IMODE(made.st_mode), made.st_size) == (997, 991, 0o600, 1)
        status = status_of(maker)
        assert set(status["Uid"]) == {"997"}
        assert set(status["Gid"]) == {"991"}
        assert status["Groups"] == []
        assert [int(status[key][0], 16) for key in ("CapEff", "CapPrm", "CapBnd", "CapInh")] == [capabilities] * 2 + [
            0
        ] * 2
        assert (status["NoNewPrivs"], status["Seccomp"]) == (["1"], ["2"])


@pytest.mark.parametrize("place", [USER.uid], indirect=True)
def test_nothing_is_overwritten_and_no_link_followed(place: tuple[Path, int]) -> None:
    directory, descriptor = place
    (directory / "there").write_text("kept")
    (directory / "link").symlink_to(directory / "elsewhere")
    with closing(PartProcess(USER)) as maker:
        for name in ("there", "link"):
            with pytest.raises(DatacrumbsError, match=f"{name}: cannot be made: File exists"):
                maker.make(name, descriptor)
        os.close(maker.make("other", descriptor))  # it goes on
    assert (directory / "there").read_text() == "kept"
    assert not (directory / "elsewhere").exists()


@pytest.mark.parametrize("place", [USER.uid], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_its_user_keeps_nobody_waiting(
    place: tuple[Path, int], number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part_process, "_ANSWER_SECONDS", 0.1)
    with closing(PartProcess(USER)) as maker:
        os.kill(maker._pid, number)
        for _ in range(2):
            with pytest.raises(DatacrumbsError, match="ended, or took too long"):
                maker.make("a", place[1])


@pytest.mark.parametrize("place", [USER.uid], indirect=True)
@pytest.mark.parametrize("path", ["/etc/passwd", "/dev/null"])
def test_what_is_not_the_users_file_is_not_taken(
    place: tuple[Path, int], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(PartProcess(USER)) as maker:
        monkeypatch.setattr(maker, "_answer", lambda *_: Received(PartMade(), (os.open(path, os.O_RDONLY),)))
        before = len(list(Path("/proc/self/fd").iterdir()))
        with pytest.raises(DatacrumbsError, match="no file of user's"):
            maker.make("a", place[1])
        assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("place", [USER.uid], indirect=True)
def test_what_is_served_in_a_namespace_of_the_users_is_not_asked(
    place: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(file_systems, "_by_identity", lambda *_: None)
    monkeypatch.setattr(file_systems, "read_mounts", lambda: asked.append("mounts") or [])
    monkeypatch.setattr(file_systems, "_problem_of_unseen", lambda *_: asked.append("unseen") or "it is served")
    made = os.open(place[0] / "a", os.O_WRONLY | os.O_CREAT)
    os.chown(made, USER.uid, USER.gid)
    with closing(PartProcess(USER)) as maker:
        monkeypatch.setattr(maker, "_answer", lambda *_: Received(PartMade(), (made,)))
        with monkeypatch.context() as patched:
            patched.setattr(os, "fstat", asked.append)
            with pytest.raises(DatacrumbsError, match="no file of user's"):
                maker.make("a", place[1])
    assert asked == ["mounts", "unseen"]


@pytest.mark.parametrize("place", [USER.uid], indirect=True)
def test_a_file_that_cannot_be_looked_at_is_not_taken(place: tuple[Path, int], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> str:
        raise PermissionError

    monkeypatch.setattr(part_process, "problem_of_mapped", refuse)
    with closing(PartProcess(USER)) as maker, pytest.raises(DatacrumbsError, match="no file of user's"):
        maker.make("a", place[1])
