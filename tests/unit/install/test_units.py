from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from datacrumbs.errors import DatacrumbsError
from datacrumbs.install.steps import install, uninstall
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

from .installing import files_below, states


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
    @pytest.mark.parametrize(
        ("name", "exposure"), [(SIGNING_UNIT, 17), (RELAY_UNIT, 23), (RUN_UNIT, 24 + 3), (RUNS_UNIT, 17)]
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


def test_warnings_of_flux_are_no_part_of_a_jobspec(tmp_path):
    spec = '{"attributes": {"system": {"datacrumbs": true}}}'
    prolog = (Path(__file__).parents[3] / "systemd/flux_prolog").read_text()
    programs = {
        "flux": f"echo warning >&2; [ $1 = job ] && [ $3 = 7 ] && echo '{spec}'",
        "python": f"cat > {tmp_path}/heard",
        "hook": prolog.replace("PATH=/usr/sbin", f"PATH={tmp_path}:/usr/sbin", 1)
        .replace("@PROLOG_SECONDS@", "60")
        .replace("@PYTHON@", f"{tmp_path}/python"),
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(text if text.startswith("#!") else f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    for job, words in (("7", ""), ("8", "datacrumbs: no jobspec of job 8, so it is not traced: warning\n")):
        done = subprocess.run([tmp_path / "hook"], env={"FLUX_JOB_ID": job}, capture_output=True, text=True, check=True)
        assert done.stderr == words
    assert (tmp_path / "heard").read_text() == f"{spec}\n"
