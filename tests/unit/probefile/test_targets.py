from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datacrumbs.elf.build_id import file_build_id
from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.model.plan import Target
from datacrumbs.probefile.targets import OpenTargets, open_target, open_target_file

from .served import served_file

SHELL = Path("/bin/sh").resolve()
NOBODY = 65534


def with_target(plan, path, build_id):
    return replace(plan, groups=(replace(plan.groups[0], target=Target(str(path), build_id)),))


def refused(plan, message):
    with pytest.raises(DatacrumbsError, match=message) as caught:
        OpenTargets(plan).close()
    assert caught.value.exit_code == ExitCode.REFUSED


def test_build_id_is_what_readelf_says():
    notes = subprocess.run(["readelf", "-n", str(SHELL)], capture_output=True, text=True, check=True).stdout
    assert file_build_id(SHELL) == re.search(r"Build ID: ([0-9a-f]+)", notes).group(1)


def test_a_file_without_build_id_has_a_digest(tmp_path):
    source, program = tmp_path / "m.c", tmp_path / "m"
    source.write_text("int main(void) { return 0; }")
    subprocess.run(["cc", "-Wl,--build-id=none", "-o", program, source], check=True)
    assert file_build_id(program) == f"sha256:{hashlib.sha256(program.read_bytes()).hexdigest()}"


def test_a_missing_file_and_a_fifo(tmp_path):
    with pytest.raises(DatacrumbsError, match="cannot be read"):
        file_build_id(tmp_path / "absent")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(DatacrumbsError):
        open_target(Target(str(tmp_path / "fifo"), "ab" * 20))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_hostile_elf_files_give_an_identity_in_bounded_time(tmp_path, data):
    content = bytearray(SHELL.read_bytes()[:4096])
    for _ in range(data.draw(st.integers(1, 12))):
        content[data.draw(st.integers(4, 1023))] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
    path = tmp_path / "hostile"
    path.write_bytes(content)
    assert re.fullmatch(r"([0-9a-f]{2}){4,64}|sha256:[0-9a-f]{64}", file_build_id(path))


def test_present_targets_are_accepted(plan):
    OpenTargets(plan).close()


def test_a_moved_build_id(plan, tmp_path):
    copy = tmp_path / "program"
    shutil.copy(SHELL, copy)
    refused(with_target(plan, copy, "ab" * 20), "the build-id changed: the plan was made for abab")


def test_a_missing_target(plan, tmp_path):
    refused(with_target(plan, tmp_path / "absent", "ab" * 20), "cannot be opened: No such file")


def test_a_link_in_the_last_place_and_before_it(plan, tmp_path):
    (tmp_path / "real").mkdir()
    copy = tmp_path / "real" / "program"
    shutil.copy(SHELL, copy)
    (tmp_path / "real" / "link").symlink_to(copy)
    (tmp_path / "way").symlink_to(tmp_path / "real")
    refused(with_target(plan, tmp_path / "real" / "link", file_build_id(copy)), "a symbolic link")
    refused(with_target(plan, tmp_path / "way" / "program", file_build_id(copy)), "expected a path without links")
    OpenTargets(with_target(plan, copy, file_build_id(copy))).close()


def test_what_is_said_of_a_process(plan):
    """Its memory and its environment are files as well."""
    place = f"/proc/{os.getpid()}/environ"
    with pytest.raises(DatacrumbsError, match="a file of /proc; expected a program") as caught:
        open_target_file(replace(plan.groups[0].target, path=place))
    assert caught.value.exit_code is ExitCode.REFUSED


def test_another_kernel(plan):
    group = replace(plan.groups[1], target=Target("", "0.1.2-other"))
    refused(replace(plan, groups=(group,)), "made for release 0.1.2-other, this host runs")


@pytest.mark.parametrize(("uid", "taken"), [(0, True), (999, True), (1000, False)])
def test_a_file_that_a_users_program_serves(plan, tmp_path, uid, taken):
    """The kernel would wait for that program while no process of the host can fork."""
    with served_file(tmp_path, SHELL.read_bytes(), uid) as path:
        served = with_target(plan, path, file_build_id(SHELL))
        if taken:
            OpenTargets(served).close()
        else:
            refused(served, "on a file system that a user's program serves")


def test_files_are_opened_with_the_rights_of_the_user(plan, shared_directory):
    """Root says no more of a closed directory than its user could see."""
    closed, open_to_all = shared_directory / "closed", shared_directory / "open"
    for directory, mode in ((closed, 0o700), (open_to_all, 0o755)):
        directory.mkdir()
        shutil.copy(SHELL, directory / "program")
        directory.chmod(mode)
    words = []
    OpenTargets(with_target(plan, open_to_all / "program", file_build_id(SHELL)), NOBODY).close()
    for name in ("program", "absent"):
        with pytest.raises(DatacrumbsError) as caught:
            OpenTargets(with_target(plan, closed / name, file_build_id(SHELL)), NOBODY)
        words.append(str(caught.value).replace(name, "NAME"))
    assert words[0] == words[1]
    assert "Permission denied" in words[0]
    assert os.geteuid() == 0
