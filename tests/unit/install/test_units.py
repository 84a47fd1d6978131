from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from datacrumbs.errors import DatacrumbsError
from datacrumbs.install.units import (
    PACKAGED,
    RELAY_UNIT,
    RELAY_UNITS,
    RUN_UNIT,
    RUN_UNITS,
    RUNS_UNIT,
    SIGNING_UNIT,
    SIGNING_UNITS,
    drop_in_directory,
    unit_text,
)
from datacrumbs.system import SystemPaths

from ...waiting import until  # noqa: TID252 - a helper of all tests
from .installing import files_below, install, states, uninstall


class TestPackagedUnits:
    """A distribution's package owns its units; a copy below /etc would hide them."""

    NAMES = (*SIGNING_UNITS, *RUN_UNITS)

    @pytest.fixture(params=PACKAGED)
    def packaged(self, paths, request):
        directory = paths.prefix / request.param
        for name in self.NAMES:
            self.write(directory / "systemd/system" / name, unit_text(name, paths))
        self.write(directory / "tmpfiles.d/datacrumbs.conf", unit_text("tmpfiles.conf", paths))
        return directory

    def write(self, path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def test_no_copy_is_made_and_uninstalling_leaves_them(self, paths, packaged):
        before = files_below(packaged)
        notes = {step.what: step.note for step in install(paths, "all")}
        for name in self.NAMES:
            assert notes[str(packaged / "systemd/system" / name)] == "of the package"
        assert not (paths.prefix / "etc/systemd").exists()
        assert not (paths.prefix / "etc/tmpfiles.d").exists()
        assert states(uninstall(paths)) == {"removed"}
        assert files_below(packaged) == before

    def test_a_copy_that_set_up_had_made_is_removed(self, paths, packaged):
        copy = paths.prefix / "etc/systemd/system" / RUN_UNIT
        self.write(copy, unit_text(RUN_UNIT, paths))
        notes = {step.what: step.note for step in install(paths, "all") if step.state == "removed"}
        assert notes == {str(copy): f"it hid {packaged / 'systemd/system' / RUN_UNIT}"}
        assert not copy.exists()

    def test_an_administrators_copy_stays_and_is_named(self, paths, packaged):
        copy = paths.prefix / "etc/systemd/system" / SIGNING_UNIT
        self.write(copy, "[Unit]\nDescription=another\n")
        notes = {step.what: step.note for step in install(paths, "all") if step.state == "kept"}
        assert notes[str(copy)].startswith(f"hides {packaged / 'systemd/system' / SIGNING_UNIT}")
        assert copy.exists()

    @pytest.mark.usefixtures("packaged")
    def test_another_place_of_traces_is_a_drop_in(self, paths):
        list(install(paths, "all"))
        paths.system_file.write_text("trace_log_dir: /scratch/traces\n")
        (made,) = (step.what for step in install(paths, "all") if step.state == "made")
        assert Path(made) == drop_in_directory(paths) / "datacrumbs-traces.conf"
        assert Path(made).read_text() == "[Service]\nReadWritePaths=-/scratch/traces\n"
        paths.system_file.unlink()
        assert made in [step.what for step in install(paths, "all") if step.state == "removed"]
        paths.system_file.write_text("trace_log_dir: /scratch/traces\n")
        list(install(paths, "all"))
        list(uninstall(paths))
        assert not drop_in_directory(paths).exists()


class TestUnits:
    @pytest.mark.parametrize("name", [*SIGNING_UNITS, *RELAY_UNITS, *RUN_UNITS])
    def test_systemd_accepts_the_units(self, paths, name, tmp_path):
        assert verified(_unit(paths, name, tmp_path)) == (0, "")

    # systemd-analyze takes tenths as whole numbers, and lets what is equal pass. Of a run's unit, 3 are for two system
    # calls that are asked how wrong the clock may be; CAP_SYS_TIME, with which they set it, is not in its bounding set.
    # Of services, 2 are for setpriority, by which children give precedence up; CAP_SYS_NICE, with which they could take
    # more of it, is not there either.
    @pytest.mark.parametrize(
        ("name", "exposure"), [(SIGNING_UNIT, 16 + 2), (RELAY_UNIT, 22 + 2), (RUN_UNIT, 24 + 3), (RUNS_UNIT, 15 + 2)]
    )
    def test_units_are_confined(self, paths, name, exposure, tmp_path):
        unit = _unit(paths, name, tmp_path)
        security = ["systemd-analyze", "security", "--offline=true", "--no-pager"]
        found = subprocess.run(
            [*security, f"--threshold={exposure}", unit], capture_output=True, text=True, check=False
        )
        assert found.returncode == 0, found.stdout
        assert exposure < 28

    def test_a_run_may_write_where_traces_go(self, paths):
        paths.configuration.mkdir(parents=True)
        paths.system_file.write_text("trace_log_dir: /scratch/traces\n")
        assert "ReadWritePaths=-/scratch/traces\n" in unit_text(RUN_UNIT, paths)

    def test_a_prefix_that_a_unit_cannot_hold(self):
        with pytest.raises(DatacrumbsError, match="without spaces, quotes"):
            unit_text(SIGNING_UNIT, SystemPaths(Path("/opt/$(id) x")))


# The unit as installed; the commands' own paths depend on where this tree is.
def _unit(paths, name, directory):
    for stage in ("all", "relay"):
        list(install(paths, stage))
    text = (paths.prefix / "etc/systemd/system" / name).read_text()
    for mark in ("@SCRIPTS@", "@PREFIX@", "@TRACES@"):
        assert mark not in text
    # Those of a service name each other.
    for neighbour in {*SIGNING_UNITS, *RELAY_UNITS, *RUN_UNITS}:
        text = (paths.prefix / "etc/systemd/system" / neighbour).read_text()
        unit = directory / neighbour.replace("@", "@run1")
        unit.write_text(re.sub(r"(?m)^(Exec\w+)=.*", r"\1=/bin/true", text))
    return directory / name.replace("@", "@run1")


def verified(unit):
    found = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    return found.returncode, found.stdout + found.stderr


LATER = 1 << 32
"""When a broker began, in seconds since the epoch: after the notes were written."""


def hook(directory, name, environment, **programs):
    """Run a scheduler's hook, with programs that stand in; gives its messages."""
    text = (Path(__file__).parents[3] / "systemd" / name).read_text()
    text = text.replace("PATH=/usr/sbin", f"PATH={directory}:/usr/sbin", 1)
    for mark, filling in {"PREFIX": f"{directory}/", "PYTHON": f"{directory}/python", "SCRIPTS": "/scripts"}.items():
        text = text.replace(f"@{mark}@", filling)
    text = re.sub("@[A-Z]+_SECONDS@", "60", text)
    scripts = {program: f"#!/bin/sh\n{script}\n" for program, script in programs.items()}
    for file, content in {**scripts, "hook": text}.items():
        (directory / file).write_text(content)
        (directory / file).chmod(0o755)
    done = subprocess.run([directory / "hook"], env=environment, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def flux_prolog(directory, flux, python, job):
    environment = {"FLUX_JOB_ID": job, "FLUX_URI": f"local://{directory}/socket"}
    return hook(directory, "flux_prolog", environment, flux=flux, python=python)


class TestSlurmHooks:
    @pytest.fixture
    def notes(self, tmp_path):
        directory = tmp_path / "run/datacrumbs/jobs"
        directory.mkdir(parents=True)
        return directory

    def test_an_epilog_that_is_killed_has_the_run_ended_later(self, tmp_path, notes):
        """On a busy node its interpreter can take longer than it has; nothing else ends the run of a job."""
        (notes / "slurm-7").touch()
        (notes / "slurm-7.task").touch()
        ended = tmp_path / "ended"
        python = f"""case $2 in
        */datacrumbs_epilog) kill -KILL $$ ;;
        *) read -r _ _ _ _ group session _ </proc/$$/stat
            echo "$*; $(ls {notes}); $group $session" > {ended}.new
            mv {ended}.new {ended} ;;
        esac"""
        hook(tmp_path, "slurm_epilog", {"SLURM_JOB_ID": "7"}, python=python)
        until(ended.exists)
        command, left, process = ended.read_text().strip().split("; ")
        assert command == f"-I /scripts/datacrumbs_service_wrapper --prefix {tmp_path}/ stop epilog-of-7"
        assert left == "plain-epilog-of-7"
        group, session = map(int, process.split())
        assert session != os.getsid(0)
        assert group != os.getpgid(0)

    def test_an_epilog_that_has_ended_the_run_leaves_nothing_to_do(self, tmp_path, notes):
        (notes / "slurm-7").touch()
        hook(tmp_path, "slurm_epilog", {"SLURM_JOB_ID": "7"}, python=f"echo $2 >> {notes}/called; rm {notes}/slurm-7")
        assert (notes / "called").read_text() == "/scripts/datacrumbs_epilog\n"

    @pytest.mark.parametrize(
        ("title", "here", "expected"),
        [
            ("slurmstepd: [9.0]", (9,), "9"),
            ("slurmstepd: [9.0]", (7, 8, 9), "9"),
            ("slurmstepd: [7.0]", (7, 8, 9), ""),
            ("slurmstepd: [9.0]", (7, 8), None),
            ("another", (7,), ""),
            ("another", (9,), "9"),
            ("another", (), None),
        ],
    )
    def test_each_part_of_a_heterogeneous_job_has_a_run_of_its_own(self, tmp_path, notes, title, here, expected):
        """All parts have the number of the first one in their environment."""
        for job in here:
            (notes / f"slurm-{job}.task").write_text("say words\npreload /l.so\n")
        parts = {f"SLURM_JOB_ID_HET_GROUP_{part}": str(job) for part, job in enumerate((7, 8, 9))}
        environment = {"SLURM_JOB_ID": "7", **parts, "SLURM_LOCALID": "0"}
        hook(tmp_path, "slurm_task_prolog", environment)
        titled = ["bash", "-c", f"exec -a '{title}' bash -c '\"$0\"; :' \"$0\"", tmp_path / "hook"]
        said = subprocess.run(titled, env=environment, capture_output=True, text=True, check=True).stdout
        lines = ["print words", "export LD_PRELOAD=/l.so"]
        lines += [f"export DATACRUMBS_RUN_ID={expected}"] if expected else []
        assert said.splitlines() == ([] if expected is None else lines)


def test_warnings_of_flux_are_no_part_of_a_jobspec(tmp_path):
    spec = '{"attributes": {"system": {"datacrumbs": true}}}'
    flux = f"echo warning >&2; [ $1 = job ] && [ $3 = 7 ] && echo '{spec}'"
    for job, words in (("7", ""), ("8", "datacrumbs: no jobspec of job 8, so it is not traced: warning\n")):
        assert flux_prolog(tmp_path, flux, f"cat > {tmp_path}/heard", job) == words
    assert (tmp_path / "heard").read_text() == f"{spec}\n"


def test_what_is_left_of_jobs_of_flux_that_are_over_ends_in_the_next_prolog(tmp_path):
    notes = tmp_path / "run/datacrumbs/jobs"
    notes.mkdir(parents=True)
    for name in ("f1", "f2", "f3", "f4", "f1.task", "fTask"):
        (notes / f"flux-{name}").touch()
    (tmp_path / "socket").touch()
    os.utime(tmp_path / "socket", (LATER, LATER))
    flux = r"""case $3.$4 in
    f9.jobspec) echo '{}' ;;
    f1.eventlog) echo '{"name":"submit"}'; echo '{"timestamp":1.5,"name":"clean"}' ;;
    f2.eventlog) echo '{"timestamp":1,"name":"clean"}'; echo '{"timestamp":2,"context":{"name":"clean"}}' ;;
    f3.eventlog) echo 'flux-job: No such file or directory' >&2; exit 1 ;;
    *) echo 'flux-job: flux_open: No such file or directory' >&2; exit 1 ;;
    esac"""
    python = f'echo "$FLUX_JOB_ID $*" >> {tmp_path}/ended'
    assert flux_prolog(tmp_path, flux, python, "f9") == ""
    command = f"-I /scripts/datacrumbs_epilog --prefix {tmp_path}/"
    ended = tmp_path / "ended"
    assert sorted(ended.read_text().splitlines()) == [f"f1 {command}", f"f3 {command}"]
    ended.write_text("")
    os.utime(notes / "flux-f1", (LATER + 1, LATER + 1))  # that broker is the one of its job
    assert flux_prolog(tmp_path, flux, python, "f9") == ""
    assert ended.read_text().splitlines() == [f"f3 {command}"]
