from __future__ import annotations

import os
import pty
import shutil
import stat
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from datacrumbs.client import replacing, tracking
from datacrumbs.client.executable import open_executable
from datacrumbs.errors import DatacrumbsError, ExitCode

COMMANDS = Path(sys.executable).parent


NOBODY = 65534


def run(*words, **options):
    return subprocess.run(
        [str(word) for word in words], check=False, capture_output=True, text=True, timeout=300, **options
    )


def track(executable, *output):
    return run(COMMANDS / "datacrumbs_track", "--executable", executable, *output)


def untrack(executable, *output):
    return run(COMMANDS / "datacrumbs_untrack", "--executable", executable, *output)


def needed_of(program):
    with open_executable(program) as (_, executable):
        return executable.needed


def copy_of(name, directory):
    return Path(shutil.copy2(Path(shutil.which(name)).resolve(), directory / name))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ls", ("-l", "/usr")),  # its times stand still, unlike those of /tmp
        ("dd", ("if=/etc/passwd", "status=none")),
        ("sqlite3", (":memory:", "create table t(a); insert into t values (23); select * from t;")),
        ("git", ("--version",)),
        ("true", ()),
    ],
)
def test_real_programs_do_the_same_tracked_and_untracked(tmp_path, library, name, arguments):
    program = copy_of(name, tmp_path)
    expected = run(program, *arguments)
    needed = needed_of(program)
    done = track(program)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr == f"datacrumbs_track: {program}: tracked\n"
    assert needed_of(program) == (str(library), *needed)
    tracked = run(program, *arguments)
    assert (tracked.returncode, tracked.stdout, tracked.stderr) == (0, expected.stdout, expected.stderr)
    assert untrack(program).returncode == 0
    assert needed_of(program) == needed
    assert run(program, *arguments).stdout == expected.stdout
    assert list(tmp_path.iterdir()) == [program]


def test_a_tracked_program_loads_the_library(tmp_path, library):
    program = copy_of("cat", tmp_path)
    assert track(program).returncode == 0
    assert str(library) in run(program, "/proc/self/maps").stdout


def test_musl_programs_are_tracked(tmp_path, compiled, library):
    program = Path(shutil.copy2(compiled("musl-gcc", "reporter"), tmp_path))
    assert track(program).returncode == 0
    assert run(program).returncode == 23
    assert str(library) in needed_of(program)


def test_the_forms_of_the_command_line(tmp_path, library):
    program = copy_of("ls", tmp_path)
    assert track(program, program).returncode == 0  # the form of the page on using it
    assert str(library) in needed_of(program)
    original = program.read_bytes()
    other = tmp_path / "other"
    assert untrack(program, other).returncode == 0
    assert program.read_bytes() == original
    assert str(library) not in needed_of(other)
    assert run(other, tmp_path).returncode == 0


def test_what_is_done_already_is_said_and_nothing_is_written(tmp_path):
    program = copy_of("ls", tmp_path)
    before = program.stat()
    done = untrack(program)
    assert (done.returncode, done.stderr) == (0, f"datacrumbs_untrack: {program}: not tracked\n")
    assert program.stat().st_ino == before.st_ino
    track(program)
    before = program.stat()
    done = track(program)
    assert (done.returncode, done.stderr) == (0, f"datacrumbs_track: {program}: already tracked\n")
    assert program.stat().st_ino == before.st_ino
    other = tmp_path / "other"
    assert track(program, other).returncode == 0
    assert other.read_bytes() == program.read_bytes()


@pytest.mark.parametrize("change", [track, untrack])
@pytest.mark.parametrize("output", [False, True])
def test_a_dry_run_says_what_would_become_of_it(tmp_path, change, output):
    program = copy_of("true", tmp_path)
    if change is untrack:
        assert track(program).returncode == 0
    before = program.read_bytes()
    target = [tmp_path / "output"] if output else []
    done = change(program, *target, "--dry-run")
    words = "tracked" if change is track else "no longer tracked"
    assert done.returncode == 0
    assert f"dry run, nothing is changed; then {(target or [program])[0]}: {words}\n" in done.stderr
    assert program.read_bytes() == before
    assert list(tmp_path.iterdir()) == [program]


def test_another_installations_library_gives_way(tmp_path, library):
    program = copy_of("ls", tmp_path)
    needed = needed_of(program)
    subprocess.run(["patchelf", "--add-needed", "/gone/libdatacrumbs_client.so", program], check=True)
    assert track(program).returncode == 0
    assert needed_of(program) == (str(library), *needed)


def test_mode_owner_and_attributes_are_kept_and_the_date_is_new(tmp_path):
    program = copy_of("ls", tmp_path)
    program.chmod(0o750)
    os.setxattr(program, "user.note", b"kept")
    if os.geteuid() == 0:
        os.chown(program, 12, 34)
    os.utime(program, (1, 1))
    before = program.stat()
    assert track(program).returncode == 0
    after = program.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert os.getxattr(program, "user.note") == b"kept"
    assert after.st_mtime > before.st_mtime


def test_a_file_without_write_permission_keeps_that(tmp_path):
    program = copy_of("ls", tmp_path)
    program.chmod(0o555)
    assert track(program).returncode == 0
    assert stat.S_IMODE(program.stat().st_mode) == 0o555


def test_a_running_program_is_replaced(tmp_path):
    program = copy_of("sleep", tmp_path)
    process = subprocess.Popen([program, "60"])
    try:
        assert track(program).returncode == 0
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_a_link_stays_and_its_file_is_changed(tmp_path, library):
    program = copy_of("ls", tmp_path)
    link = tmp_path / "link"
    link.symlink_to("ls")
    assert track(link).returncode == 0
    assert link.is_symlink()
    assert str(library) in needed_of(program)


@pytest.mark.parametrize(("bits", "word"), [(0o4755, "setuid"), (0o2755, "setgid")])
def test_programs_with_raised_privileges_are_refused(tmp_path, bits, word):
    program = copy_of("ls", tmp_path)
    program.chmod(bits)
    content = program.read_bytes()
    for command in (track, untrack):
        done = command(program)
        assert done.returncode == 3
        assert word in done.stderr
        assert "not traced in any way" in done.stderr
    assert program.read_bytes() == content


@pytest.mark.kernel
def test_file_capabilities_are_refused(tmp_path):
    program = copy_of("ls", tmp_path)
    subprocess.run(["setcap", "cap_net_raw+ep", program], check=True)
    done = track(program)
    assert done.returncode == 3
    assert "file capabilities" in done.stderr


def static_program(compiled, directory, _library):
    return compiled("cc", "reporter", "-static")


def static_pie_program(compiled, directory, _library):
    return compiled("cc", "reporter", "-static-pie")


def script(_compiled, directory, _library):
    path = directory / "script"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def text(_compiled, directory, _library):
    path = directory / "text"
    path.write_text("some text\n")
    return path


def empty(_compiled, directory, _library):
    path = directory / "empty"
    path.touch()
    return path


def truncated(_compiled, directory, _library):
    path = copy_of("ls", directory)
    os.truncate(path, 1000)
    return path


def foreign(_compiled, directory, _library):
    path = copy_of("ls", directory)
    with path.open("r+b") as stream:
        stream.seek(18)  # e_machine
        stream.write(b"\xf3\x00")  # RISC-V
    return path


def library_file(_compiled, directory, library):
    return Path(shutil.copy2(library, directory))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (static_program, ("static executable", "datacrumbs_wrap")),
        (static_pie_program, ("static executable", "datacrumbs_wrap")),
        (script, ("a script", "interpreter")),
        (text, ("not a readable ELF file",)),
        (empty, ("not a readable ELF file",)),
        (truncated, ("not a readable ELF file",)),
        (foreign, ("RISCV", "this installation's library")),
        (library_file, ("a library",)),
    ],
)
def test_what_is_no_dynamic_executable_of_this_machine_is_refused(tmp_path, compiled, library, make, words):
    path = make(compiled, tmp_path, library)
    content = path.read_bytes()
    done = track(path)
    assert (done.returncode, done.stdout) == (1, "")
    assert str(path) in done.stderr
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert path.read_bytes() == content


def test_paths_that_are_no_file_are_usage_errors(tmp_path):
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    for path in (tmp_path / "missing", tmp_path, Path("/dev/null"), loop):
        done = track(path)
        assert done.returncode == 2, path
        assert str(path) in done.stderr
    program = copy_of("ls", tmp_path)
    for output in (tmp_path, tmp_path / "missing" / "ls"):
        assert track(program, output).returncode == 2


def test_a_missing_patchelf_is_named(tmp_path):
    program = copy_of("ls", tmp_path)
    done = run(COMMANDS / "datacrumbs_track", "--executable", program, env={"PATH": str(tmp_path)})
    assert done.returncode == 1
    assert "patchelf" in done.stderr


@pytest.fixture
def users_directory():
    """Below /tmp, where no other user can exchange it."""
    with tempfile.TemporaryDirectory(prefix="datacrumbs-track-") as name:
        directory = Path(name)
        os.chown(directory, NOBODY, NOBODY)
        yield directory


# A PATH whose patchelf first runs these lines, in the user's directory.
def with_patchelf(directory, lines):
    spy = directory / "bin/patchelf"
    spy.parent.mkdir()
    spy.write_text(f'#!/bin/sh\ncd "{directory}" || exit 1\n{lines}\nexec {shutil.which("patchelf")} "$@"\n')
    spy.chmod(0o755)
    return f"{spy.parent}:{os.environ['PATH']}"


@pytest.mark.kernel
def test_root_becomes_the_owner_of_a_users_directory(users_directory, library):
    """There its owner can exchange any name at any moment: what root does would be done for the user."""
    program = copy_of("ls", users_directory)
    os.chown(program, NOBODY, NOBODY)
    path = with_patchelf(users_directory, "id -u >who")
    done = run(COMMANDS / "datacrumbs_track", "--executable", program, env={"PATH": path})
    assert done.returncode == 0, done.stderr
    assert (users_directory / "who").read_text() == f"{NOBODY}\n"
    assert program.stat().st_uid == NOBODY
    assert str(library) in needed_of(program)
    assert sorted(path.name for path in users_directory.iterdir()) == ["bin", "ls", "who"]


@pytest.mark.kernel
def test_the_owner_gets_neither_roots_terminal_nor_its_environment(users_directory, library):
    """Its owner can look into what is executed there, and have it do anything."""
    program = copy_of("ls", users_directory)
    os.chown(program, NOBODY, NOBODY)
    look = """cat /proc/$$/environ >environment
(echo hello >/dev/tty) 2>/dev/null && echo terminal >seen
readlink /proc/$$/fd/* >>seen"""
    path = with_patchelf(users_directory, look)
    status, shown = in_terminal(
        COMMANDS / "datacrumbs_track", "--executable", program, env={"PATH": path, "TOKEN": "of root's"}
    )
    assert (status, shown) == (0, f"datacrumbs_track: {program}: tracked\r\n")
    seen = (users_directory / "seen").read_text().splitlines()
    assert "terminal" not in seen
    assert not [each for each in seen if each.startswith(("/dev/pts", "/dev/tty"))]
    assert b"TOKEN" not in (users_directory / "environment").read_bytes()
    assert str(library) in needed_of(program)


# A command of which a new terminal is the controlling one; gives its exit status and what it showed there.
def in_terminal(*words, env):
    process, terminal = pty.fork()
    if not process:
        os.execve(words[0], [str(word) for word in words], env)  # noqa: S606 - no shell
    shown = b""
    with suppress(OSError):  # EIO: nothing has the terminal open any more
        while part := os.read(terminal, 4096):
            shown += part
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), shown.decode()


@pytest.mark.kernel
def test_an_output_in_a_users_directory_is_the_users(users_directory, tmp_path):
    output = users_directory / "mine"
    assert track("/bin/ls", output).returncode == 0
    assert output.stat().st_uid == NOBODY
    secret = copy_of("ls", tmp_path)  # pytest's directories are closed to others
    link = users_directory / "link"
    link.symlink_to(secret)
    done = track(link, users_directory / "read")
    assert done.returncode == 1
    assert "cannot be read: Permission denied" in done.stderr
    assert not (users_directory / "read").exists()


@pytest.mark.kernel
def test_root_does_not_write_where_a_group_may(users_directory):
    os.chown(users_directory, 0, NOBODY)
    users_directory.chmod(0o775)
    program = copy_of("ls", users_directory)
    content = program.read_bytes()
    done = track(program)
    assert done.returncode == 3
    assert f"{users_directory}: users other than root can change it" in done.stderr
    assert program.read_bytes() == content


@pytest.mark.kernel
def test_what_root_judged_is_what_it_changes(users_directory, tmp_path, library):
    """The user's link led to root's directory when it was judged, and is the user's own directory afterwards."""
    roots = tmp_path / "bin"
    roots.mkdir()
    program, link = copy_of("ls", roots), users_directory / "link"
    link.symlink_to(roots)
    places = tracking.become_owner(link / "ls")
    assert places == (program, None)
    link.unlink()
    link.mkdir()
    content = copy_of("cat", link).read_bytes()
    copy_of("cat", link).rename(link / "ls")
    assert tracking.track(*places) == tracking.Tracking(program, changed=True)
    assert run(program, "--version").stdout.startswith("ls ")
    assert (link / "ls").read_bytes() == content


def exchange(directory, other):
    directory.rename(directory.with_name("before"))
    directory.symlink_to(other)


@pytest.mark.parametrize("moment", ["opened", "written"])
@pytest.mark.parametrize("has_output", [False, True])
def test_a_link_that_was_put_into_the_path_is_not_followed(tmp_path, library, monkeypatch, moment, has_output):
    directory, victims = tmp_path / "bin", tmp_path / "victims"
    directory.mkdir()
    victims.mkdir()
    program, other = copy_of("ls", directory), copy_of("cat", victims).rename(victims / "ls")
    content = other.read_bytes()
    places = tracking.become_owner(program, directory / "output" if has_output else None)
    if moment == "opened":
        exchange(directory, victims)
    else:
        monkeypatch.setattr(tracking, "_library_entries", lambda _: exchange(directory, victims) or ())
    with pytest.raises(DatacrumbsError, match="Not a directory"):
        tracking.track(*places)
    assert list(victims.iterdir()) == [other]
    assert other.read_bytes() == content


def test_a_room_that_was_exchanged_is_not_used(tmp_path, library, monkeypatch):
    program = copy_of("ls", tmp_path)
    content = program.read_bytes()
    rooms = []

    def make(name, mode, *, dir_fd):
        os_mkdir(name, mode, dir_fd=dir_fd)
        rooms.append(tmp_path / name)
        (tmp_path / name).rmdir()
        os_mkdir(name, 0o755, dir_fd=dir_fd)  # another's: open to others
        (tmp_path / name / "new").touch()

    os_mkdir = os.mkdir
    monkeypatch.setattr(replacing.os, "mkdir", make)
    with pytest.raises(DatacrumbsError, match="another user's, or open to others") as caught:
        tracking.track(program)
    assert caught.value.exit_code == ExitCode.REFUSED
    assert (rooms[0] / "new").exists()
    assert program.read_bytes() == content


def test_a_directory_that_cannot_be_written_is_told(compiled):
    # /proc/self/fd is writable by nobody, root included.
    program = compiled("cc", "reporter")
    done = track(program, "/proc/self/fd/../tracked")
    assert done.returncode == 1
    assert "cannot be written" in done.stderr


@pytest.mark.parametrize("name", ["track", "untrack"])
def test_help_version_and_usage(name):
    command = COMMANDS / f"datacrumbs_{name}"
    assert "example:" in run(command, "--help").stdout
    assert run(command, "--version").stdout.startswith(f"datacrumbs_{name} ")
    assert run(command).returncode == 2
