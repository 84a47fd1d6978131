"""Which file a command line runs, and which program's libraries are meant."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from datacrumbs.session.programs import CommandError, executable, program_of


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A virtual environment's folder of commands, whose interpreter is a link."""
    commands = tmp_path / "venv/bin"
    commands.mkdir(parents=True)
    (commands / "python").symlink_to(Path(sys.executable).resolve())
    return commands


def environment(*folders: Path) -> dict[str, str]:
    return {"PATH": ":".join([*map(str, folders), "/usr/bin", "/bin"])}


@pytest.mark.parametrize(
    "first_line",
    ["#!{place}/python -u", "#!/usr/bin/env python", "#!/usr/bin/env -S python -u", "#!/usr/bin/env A=1 python"],
)
def test_a_script_means_the_interpreter_of_its_environment(place: Path, first_line: str) -> None:
    script(place / "tool", f"{first_line.format(place=place)}\nprint()\n")
    assert program_of(["tool"], environment(place)) == place / "python"


def test_what_pip_writes_for_long_paths(place: Path) -> None:
    script(place / "tool", f"#!/bin/sh\n'''exec' {place}/python \"$0\" \"$@\"\n' '''\nimport sys\n")
    assert program_of([str(place / "tool")], environment()) == place / "python"


def test_a_shim_is_asked_what_it_leads_to(place: Path, tmp_path: Path) -> None:
    manager = script(tmp_path / "manager", f'#!/bin/sh\n[ "$1" = which ] && echo {place}/$2\n')
    shim = f'#!/usr/bin/env bash\nset -e\nprogram="${{0##*/}}"\nexec "{manager}" exec "$program" "$@"\n'
    script(tmp_path / "shims/python", shim)
    assert program_of(["python", "x.py"], environment(tmp_path / "shims")) == place / "python"


@pytest.mark.parametrize(
    "before", [["env", "A=1"], ["timeout", "-k", "5", "10"], ["nice", "-n", "3", "env"], ["taskset", "-c", "0"]]
)
def test_a_launcher_means_what_it_runs(place: Path, before: list[str]) -> None:
    assert program_of([*before, str(place / "python"), "x.py"], environment()) == place / "python"


def test_a_launcher_alone_means_itself() -> None:
    assert program_of(["env"], environment()) == Path(shutil.which("env", path="/usr/bin:/bin") or "")


@pytest.mark.parametrize("text", ["#!/no/such/interpreter\n", "no program\n", "", "#!\n"])
def test_what_cannot_be_told_is_no_fault(tmp_path: Path, text: str) -> None:
    assert program_of([str(script(tmp_path / "odd", text))], environment()) is None


def test_statuses_are_those_of_env(tmp_path: Path) -> None:
    closed, found = tmp_path / "first/tool", script(tmp_path / "second/tool", "")
    closed.parent.mkdir()
    closed.write_text("")
    # A file that cannot be executed does not hide one that can.
    assert executable("tool", environment(closed.parent, found.parent)) == found
    for name, folders, status in (
        ("tool", [closed.parent], 126),
        (str(closed), [], 126),
        (str(tmp_path), [], 126),
        ("no-such-command", [closed], 127),
        ("./no-such-command", [], 127),
        ("", [], 127),
        ("a\0b", [], 127),
    ):
        with pytest.raises(CommandError) as caught:
            executable(name, environment(*folders))
        assert caught.value.status == status, name
