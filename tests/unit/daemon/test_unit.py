from __future__ import annotations

import pwd
import time

import pytest

from datacrumbs.daemon.run_files import FORGOTTEN_SECONDS, RunFiles, remove_forgotten
from datacrumbs.daemon.unit import clean_up, environment_file, log_file, read_instance
from datacrumbs.errors import DatacrumbsError, ExitCode


@pytest.fixture
def read(tmp_path):
    def instance(*lines: str):
        environment_file(tmp_path, "7").write_text("\n".join(["PROBE_FILE=/p.json.gz", *lines, ""]))
        return read_instance(tmp_path, "7")

    return instance


def test_limits_of_one_run(read):
    limits = read("DURATION=2h", "ROTATE_SIZE=512M", "MAX_SIZE=23").limits
    assert limits == {"duration_seconds": 7200, "rotate_megabytes": 536.870912, "max_megabytes": 23}
    assert read().limits == {}


@pytest.mark.parametrize("line", ["DURATION=soon", "MAX_SIZE=0", "ROTATE_SIZE=-1", "MAX_SIZE=", "DURATION=1 G"])
def test_wrong_limits(read, line):
    key = line.partition("=")[0]
    with pytest.raises(DatacrumbsError, match=f"datacrumbs-7.env: {key}: .*; expected ") as caught:
        read(line)
    assert caught.value.exit_code == ExitCode.USAGE


def test_a_number_is_a_user_id_whatever_accounts_are_called(read, monkeypatch):
    monkeypatch.setattr(pwd, "getpwnam", lambda name: pwd.getpwuid(0) if name in {"1000", "alice"} else {}[name])
    assert [read(f"USER={name}").uid for name in ("1000", "alice")] == [1000, 0]
    with pytest.raises(DatacrumbsError, match="no such user on this host"):
        read("USER=bob")


def names(directory):
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize(("result", "left"), [("success", []), ("exit-code", ["datacrumbs-7.env", "datacrumbs-7.log"])])
def test_what_a_unit_leaves(tmp_path, result, left):
    for path in (environment_file(tmp_path, "7"), log_file(tmp_path, "7")):
        path.touch()
    (tmp_path / "datacrumbs-7.ready").touch()
    (tmp_path / "datacrumbs-7.lock").touch()
    clean_up(tmp_path, "7", {"SERVICE_RESULT": result})
    assert names(tmp_path) == left


def test_files_of_runs_that_failed_go_after_a_week_and_those_of_others_stay(tmp_path):
    running = RunFiles(tmp_path, "running")
    kept = {environment_file(tmp_path, "running"), tmp_path / "sign.sock", tmp_path / "datacrumbs-notes.txt"}
    forgotten = {environment_file(tmp_path, "failed"), log_file(tmp_path, "failed"), tmp_path / "datacrumbs-a.b.ready"}
    for path in kept | forgotten:
        path.touch()
    before = set(tmp_path.iterdir())
    remove_forgotten(tmp_path, time.time() + FORGOTTEN_SECONDS - 60)
    assert set(tmp_path.iterdir()) == before
    remove_forgotten(tmp_path, time.time() + FORGOTTEN_SECONDS + 60)
    assert set(tmp_path.iterdir()) == before - forgotten
    running.close()


def test_a_control_group_that_is_awaited(read):
    assert (read().awaited, read().job) == ((), "")
    instance = read("AWAIT_CGROUP=n1_slurmstepd.scope/job_28 slurmstepd.scope/job_28", "JOB=28")
    assert instance.awaited == ("n1_slurmstepd.scope/job_28", "slurmstepd.scope/job_28")
    assert (instance.job, instance.unnamed) == ("28", False)
    for wrong in ("job", "/job", "a/", "a/b/c", "a/b  c/d", "a/" + "b" * 96, " ".join(["a/b"] * 9)):
        with pytest.raises(DatacrumbsError, match="AWAIT_CGROUP: ") as caught:
            read(f"AWAIT_CGROUP={wrong}")
        assert caught.value.exit_code == ExitCode.USAGE


def test_who_makes_that_group(read):
    assert read("AWAIT_CGROUP=app.slice/shell-0-f28.service").maker == 0
    assert read("AWAIT_CGROUP=app.slice/shell-0-f28.service", "CGROUP_MAKER=500").maker == 500
    with pytest.raises(DatacrumbsError, match="CGROUP_MAKER: '-1': no such user") as caught:
        read("CGROUP_MAKER=-1")
    assert caught.value.exit_code == ExitCode.USAGE


def test_a_control_group(read):
    assert read().group is None
    instance = read("CGROUP=/sys/fs/cgroup/job_4711")
    assert (str(instance.group), instance.unnamed) == ("/sys/fs/cgroup/job_4711", False)
    assert read("CGROUP=/sys/fs/cgroup/job_4711", "MARKS=any").unnamed
    with pytest.raises(DatacrumbsError, match="CGROUP: 'job'; expected the absolute path") as caught:
        read("CGROUP=job")
    assert caught.value.exit_code == ExitCode.USAGE
