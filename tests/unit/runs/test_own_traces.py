from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from shutil import rmtree

import pytest

from datacrumbs.daemon.identity import Owner
from datacrumbs.daemon.run_files import create_trace
from datacrumbs.errors import DatacrumbsError
from datacrumbs.runs import own_traces as own_traces_module
from datacrumbs.runs.own_traces import COMPLETE, INCOMPLETE, UNREAD, WRITTEN, _state, last_trace, own_traces
from datacrumbs.secure import killed
from datacrumbs.system import SystemPaths
from datacrumbs.trace.last_line import footer_of

from ..probefile.served import silent_place  # noqa: TID252 - a file system of the tests

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="makes files of others")
FOOTER = b'{"name":"datacrumbs_footer","cat":"dftracer","ph":"M","pid":0,"tid":0,"args":{"entered":7,"host":"x"}}\n]\n'


def trace(path: Path, moment: int, last: bytes = FOOTER) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(b"[\n") + gzip.compress(last))
    os.utime(path, (moment, moment))
    return path


@pytest.fixture
def paths(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return SystemPaths(tmp_path)


def test_the_last_one_comes_first_and_says_whether_it_is_complete(paths, tmp_path):
    trace(tmp_path / "here/datacrumbs-dd-20260101T000000.pfw.gz", 3000)
    trace(paths.traces / "root/2026-01-01/probes-23-host.pfw.gz", 2000)
    trace(paths.traces / "root/2026-01-01/cut.pfw.gz", 4000, b"{}\n")
    if os.geteuid() != 0:
        pytest.skip("others' traces are root's to see")
    found = [(each.run, each.command, each.state) for each in own_traces(paths)]
    assert found == [
        ("cut", "", INCOMPLETE),
        ("datacrumbs-dd-20260101T000000", "dd", COMPLETE),
        ("probes-23-host", "", COMPLETE),
    ]
    assert last_trace(paths).name == "datacrumbs-dd-20260101T000000.pfw.gz"


def test_one_that_is_open_is_being_written(paths, tmp_path):
    owner = Owner(os.geteuid(), os.getegid(), "me")
    with create_trace(tmp_path / "here", ("t.pfw.gz",), owner) as stream:
        stream.write(gzip.compress(b"[\n"))
        copy = os.dup(stream.fileno())
        assert [each.state for each in own_traces(paths)] == [WRITTEN]
    assert [each.state for each in own_traces(paths)] == [WRITTEN]  # another process of the run has it
    os.close(copy)
    assert [each.state for each in own_traces(paths)] == [INCOMPLETE]


def test_without_a_trace_it_says_so(paths):
    with pytest.raises(DatacrumbsError, match="no trace is given, and you have none"):
        last_trace(paths)


@pytest.mark.parametrize("data", [b"", b"\x1f\x8b\x08", b"text", gzip.compress(b"[1]\n"), gzip.compress(FOOTER)[:-1]])
def test_what_has_no_footer(tmp_path, data):
    path = tmp_path / "t.pfw.gz"
    path.write_bytes(data)
    assert footer_of(path) is None


def test_a_footer_is_numbers(tmp_path):
    assert footer_of(trace(tmp_path / "t.pfw.gz", 1)) == {"entered": 7}


def test_the_place_of_a_trace_that_is_written_elsewhere_is_no_second_run(paths, tmp_path):
    """`record` has it until the run that the service has started for it ends."""
    owner = Owner(os.geteuid(), os.getegid(), "me")
    with create_trace(tmp_path / "here", ("t.pfw.gz",), owner):
        assert own_traces(paths) == []


def test_links_are_not_followed(paths, tmp_path):
    target = trace(tmp_path / "elsewhere/t.pfw.gz", 1)
    (tmp_path / "here/link.pfw.gz").symlink_to(target)
    assert own_traces(paths) == []


@pytest.fixture
def deep_folders(paths):
    """More of them inside each other than Python recurses; pytest could not remove them."""
    paths.traces.mkdir(parents=True)
    place = os.open(paths.traces, os.O_RDONLY)
    for _ in range(sys.getrecursionlimit() + 100):
        os.mkdir("d", dir_fd=place)
        below = os.open("d", os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = below
    os.close(place)
    yield
    subprocess.run(["rm", "-r", paths.traces / "d"], check=True)


@pytest.mark.usefixtures("deep_folders")
def test_what_a_user_can_make_hinders_no_list(paths):
    """Directories deeper than anything recurses, and a time of no year."""
    deep = trace(paths.traces / "deep/t.pfw.gz", 1)
    if os.geteuid() != 0:
        pytest.skip("others' traces are root's to see")
    assert [each.trace for each in own_traces(paths)] == [str(deep)]
    assert last_trace(paths) == deep


@root_only
def test_of_others_traces_nothing_is_read_to_find_ones_own(paths, tmp_path, monkeypatch):
    """They may be as many as their users like, each made to take long."""
    mine = trace(tmp_path / "here/mine.pfw.gz", 1000)
    for number in range(3):
        os.chown(trace(paths.traces / f"other/{number}.pfw.gz", 2000), 1, 1)
    trace(tmp_path / "here/older.pfw.gz", 500)
    read = []
    monkeypatch.setattr(own_traces_module, "footer_of", lambda path: read.append(path) or footer_of(path))
    assert last_trace(paths) == mine
    assert read == [mine]


ANN, BOB = 1, 2  # have accounts everywhere


@pytest.fixture
def of_others(monkeypatch):
    """Traces of two other users, where everyone may go; what root itself looks at is a failure."""
    prefix = Path(tempfile.mkdtemp(prefix="datacrumbs-test-"))  # pytest's own directories are closed to other users
    prefix.chmod(0o755)
    (prefix / "here").mkdir()
    monkeypatch.chdir(prefix / "here")
    paths = SystemPaths(prefix)
    for uid, name in ((ANN, "ann"), (BOB, "bob")):
        for number in range(3):
            path = trace(paths.traces / name / f"{name}{number}.pfw.gz", 1000 + number)
            for made in (path, path.parent):
                os.chown(made, uid, uid)
    for place in (paths.traces, *paths.traces.parents):
        if place.is_relative_to(paths.prefix):
            place.chmod(0o755)

    def state(path):
        assert os.geteuid() == path.lstat().st_uid
        assert os.getresuid() == (os.geteuid(),) * 3
        return _state(path)

    monkeypatch.setattr(own_traces_module, "_state", state)
    yield paths
    rmtree(prefix)


def assert_older_ones_are_left_out(said):
    assert [words.partition(": ")[2] for words in said] == [
        f"user {uid} has more traces than are looked at; older ones are left out" for uid in (ANN, BOB)
    ]


def listed(paths):
    said = []
    found = own_traces(paths, said.append)
    return [(each.run, each.state) for each in found], said


PATIENT = replace(own_traces_module.LOOK, clock_seconds=300)
BOBS = [(f"bob{number}", COMPLETE) for number in (2, 1, 0)]


@root_only
def test_traces_of_others_are_looked_into_as_these(of_others):
    mine = trace(of_others.traces / "root/mine.pfw.gz", 2000)
    found, said = listed(of_others)
    assert found == [("mine", COMPLETE)] + [
        (f"{name}{number}", COMPLETE) for number in (2, 1, 0) for name in ("ann", "bob")
    ]
    assert said == []
    assert last_trace(of_others) == mine


@root_only
@pytest.mark.parametrize("name", ["ann", "root"])
def test_traces_where_root_works_are_listed_once(of_others, monkeypatch, name):
    """Those of others were listed twice there, where the host keeps them."""
    trace(of_others.traces / "root/mine.pfw.gz", 2000)
    before = listed(of_others)
    monkeypatch.chdir(of_others.traces / name)
    assert listed(of_others) == before


@root_only
def test_a_daemon_that_ends_meanwhile_ends_no_list(paths, tmp_path, monkeypatch):
    gone = tmp_path / "gone.pfw.gz"
    monkeypatch.setattr(own_traces_module, "daemons", lambda _: [("gone", 1, str(gone))])
    assert own_traces(paths) == []


@root_only
def test_links_out_of_a_users_directory_show_nothing(of_others, tmp_path):
    """Neither by a file nor by a directory; nor is somebody else's file there shown as the user's."""
    closed = trace(tmp_path / "closed/secret.pfw.gz", 3000)
    closed.parent.chmod(0o700)
    (of_others.traces / "ann/secret.pfw.gz").symlink_to(closed)
    (of_others.traces / "ann/below").symlink_to(closed.parent)
    os.link(closed, of_others.traces / "ann/other.pfw.gz")
    found, _ = listed(of_others)
    assert "secret" not in str(found)
    assert "other" not in str(found)


@root_only
@pytest.mark.parametrize("how", ["hangs", "takes too long", "takes too much"])
def test_one_users_directory_hides_no_others(of_others, monkeypatch, how):
    """As a file system of the user's would do, or files without end."""
    below = own_traces_module.files_below

    def files(directory, suffix):
        if directory.name == "ann":
            if how == "hangs":
                signal.pause()
            while True:
                yield directory / ("x" if how == "takes too long" else "missing")
                if how == "takes too much":
                    files.held.append(bytearray(16 << 20))
        yield from below(directory, suffix)

    files.held = []
    monkeypatch.setattr(own_traces_module, "files_below", files)
    monkeypatch.setattr(own_traces_module, "TOGETHER_SECONDS", 300)  # a second of a processor may take a minute
    limits = {"clock_seconds": 0.5} if how == "hangs" else {"processor_seconds": 1, "clock_seconds": 300}
    monkeypatch.setattr(own_traces_module, "LOOK", replace(own_traces_module.LOOK, **limits))
    if how == "hangs":  # who does not is waited for
        monkeypatch.setattr(own_traces_module.Bounds, "stretched", lambda bounds: bounds)
        limit = own_traces_module.answer
        turns = iter((own_traces_module.LOOK, PATIENT))
        monkeypatch.setattr(own_traces_module, "answer", lambda work, _, most: limit(work, next(turns), most))
    found, said = listed(of_others)
    assert found == BOBS, said
    assert said == [f"{of_others.traces}/ann: traces of user 1 are left out, which take too much time or memory"]


@root_only
@pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="mounts")
def test_a_users_file_system_that_never_answers_holds_up_no_list(of_others, monkeypatch):
    """Not even a signal ends who waits for it."""
    (of_others.traces / "ann/silent").mkdir()
    limits = {ANN: replace(own_traces_module.LOOK, clock_seconds=2), BOB: PATIENT}
    bounded_answer = own_traces_module.answer
    turns = iter(limits.values())
    monkeypatch.setattr(own_traces_module, "answer", lambda work, _, most: bounded_answer(work, next(turns), most))
    monkeypatch.setattr(killed, "END_SECONDS", 0.5)
    monkeypatch.setattr(own_traces_module, "TOGETHER_SECONDS", 300)
    with silent_place(of_others.traces / "ann/silent", ANN):
        assert listed(of_others) == (
            BOBS,
            [f"{of_others.traces}/ann: traces of user 1 are left out, which take too much time or memory"],
        )


@root_only
def test_files_that_are_no_traces_yet_are_not_taken_for_left_out_ones(of_others):
    """As the place of a run that has not begun: it once was said that older ones are left out."""
    place = of_others.traces / "ann/begins.pfw.gz"
    place.touch()
    os.chown(place, ANN, ANN)
    found, said = listed(of_others)
    assert len(found) == 6
    assert said == []


@root_only
def test_of_a_users_many_places_no_more_are_kept_than_are_looked_at(of_others, monkeypatch):
    """Where everyone may make files, root once kept as many as users made."""
    monkeypatch.setattr(own_traces_module, "LOOKED_AT", 2)
    for number in range(5):
        place = trace(of_others.traces / f"more{number}.pfw.gz", 2000)
        os.chown(place, ANN, ANN)
    places = []
    said_by = own_traces_module._said_by
    monkeypatch.setattr(
        own_traces_module, "_said_by", lambda uid, given: places.append(len(given)) or said_by(uid, given)
    )
    found, said = listed(of_others)
    assert places == [2 + 1, 1]  # by the one it is known that there are more
    assert len(found) == 2 + 2
    assert_older_ones_are_left_out(said)


@root_only
def test_of_many_traces_of_a_user_the_last_ones_are_shown(of_others, monkeypatch):
    monkeypatch.setattr(own_traces_module, "SHOWN", 2)
    found, said = listed(of_others)
    assert [run for run, _ in found] == ["ann2", "bob2", "ann1", "bob1"]
    assert_older_ones_are_left_out(said)


@root_only
def test_traces_that_take_long_to_look_into_are_listed(of_others, monkeypatch):
    monkeypatch.setattr(own_traces_module, "READING_SECONDS", 0.0)
    found, said = listed(of_others)
    assert {state for _, state in found} == {UNREAD}
    assert len(found) == 6
    assert said == []


@root_only
def test_all_users_together_take_a_bounded_time(of_others, monkeypatch):
    monkeypatch.setattr(own_traces_module, "TOGETHER_SECONDS", -1.0)
    found, said = listed(of_others)
    assert found == []
    assert len(said) == 2
