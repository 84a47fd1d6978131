from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from datacrumbs.daemon.run_files import RunFiles
from datacrumbs.daemon.unit import environment_file
from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.install.steps import install, uninstall
from datacrumbs.install.units import (
    PACKAGED,
    RUN_UNIT,
    RUNS_SOCKET,
    RUNS_UNIT,
    SIGNING_SOCKET,
    SIGNING_UNIT,
    drop_in_directory,
    unit_text,
)
from datacrumbs.probefile.keys import trusted_key_ids
from datacrumbs.signer.private_key import load_private_key
from datacrumbs.signer.snippets import TrustedSnippet, read_trusted
from datacrumbs.system import SystemPaths, read_system_configuration

TEXT = "/* hello */\n/* SPDX-License-Identifier: GPL-2.0-only */\n"


def command(name: str, *arguments: object, path: Path | None = None, status: int = 0):
    code = f"from datacrumbs.commands._entry import start; exit(start({name!r}))"
    result = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | ({"PYTHONPATH": str(path)} if path else {}),
    )
    assert result.returncode == status, result.stderr
    return result


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory of installed packages with one provider, whose import would leave a mark."""
    site = tmp_path / "site"
    package, information = site / "dc_demo", site / "datacrumbs_demo-1.2.dist-info"
    (package / "snippets").mkdir(parents=True)
    information.mkdir()
    (package / "__init__.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')")
    (package / "snippets/hello.bpf.c").write_text(TEXT)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: datacrumbs-demo\nVersion: 1.2\n")
    (information / "entry_points.txt").write_text("[datacrumbs.providers]\ndemo = dc_demo\n")
    (information / "RECORD").write_text("dc_demo/__init__.py,,\ndc_demo/snippets/hello.bpf.c,,\n")
    return site


@pytest.fixture
def paths(tmp_path: Path) -> SystemPaths:
    paths = SystemPaths(tmp_path / "prefix")
    paths.prefix.mkdir()
    return paths


def install_all(paths: SystemPaths, *, dry_run: bool = False):
    return install(paths, "all", dry_run=dry_run)


def files_below(directory: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mode, path.read_bytes() if path.is_file() else b"") for path in directory.rglob("*")
    }


def states(steps) -> set[str]:
    return {step.state for step in steps}


class TestSetup:
    def test_makes_everything_once(self, paths):
        assert states(install(paths, "all")) == {"made"}
        key = paths.private_key.read_bytes()
        assert states(install(paths, "all")) == {"kept"}
        assert paths.private_key.read_bytes() == key

    def test_modes(self, paths):
        list(install(paths, "all"))
        assert paths.private_key.stat().st_mode & 0o7777 == 0o400
        assert paths.private_key.parent.stat().st_mode & 0o7777 == 0o700
        for place in (paths.trusted_keys, paths.site_files, paths.configuration):
            assert place.stat().st_mode & 0o7777 == 0o755
        for place in (paths.run, paths.traces):  # users do not learn of each other's runs
            assert place.stat().st_mode & 0o7777 == 0o711
        assert paths.state.stat().st_mode & 0o7777 == 0o700
        for file in (paths.policy, paths.system_file, paths.trusted_snippets):
            assert file.stat().st_mode & 0o7777 == 0o644

    def test_a_key_to_seal_with_is_made_where_seals_are_wanted(self, paths):
        list(install(paths, "all"))
        assert not paths.seal_key.exists()
        paths.system_file.write_text("seal_traces: true\n")
        assert states(install(paths, "login")) == {"kept"}
        assert not paths.seal_key.exists()
        assert states(install(paths, "compute")) == {"made", "kept"}
        assert paths.seal_key.stat().st_mode & 0o7777 == 0o400
        assert paths.seals.stat().st_mode & 0o7777 == 0o700
        (key,) = trusted_key_ids(paths.seal_keys)
        assert key not in trusted_key_ids(paths.trusted_keys)
        assert states(install(paths, "compute")) == {"kept"}

    def test_uninstalling_keeps_seals_and_removes_their_key(self, paths):
        list(install(paths, "all"))
        paths.system_file.write_text("seal_traces: true\n")
        list(install(paths, "all"))
        (paths.seals / "run.seal.json").write_text("sealed")
        (paths.state / "programs").mkdir()
        list(uninstall(paths))
        assert [path.name for path in paths.state.iterdir()] == ["seals"]
        assert not paths.seal_key.exists()
        assert not paths.seal_keys.exists()

    @pytest.mark.parametrize("work", [install_all, uninstall])
    def test_a_dry_run_changes_nothing_and_says_what_the_run_does(self, paths, work):
        if work is uninstall:
            list(install(paths, "all"))
        before = files_below(paths.prefix)
        planned = list(work(paths, dry_run=True))
        assert files_below(paths.prefix) == before
        done = list(work(paths))
        # The id of a new key, and whether a directory is left empty, are known only afterwards.
        assert len(planned) == len(done)
        for plan, step in zip(planned, done, strict=True):
            if "KEY-ID" not in plan.what and "if it is empty" not in plan.what:
                assert (plan.state, plan.what) == (step.state, step.what)
        assert all(step.state != "missing" for step in planned)

    def test_a_wrong_mode_is_set_right(self, paths):
        list(install(paths, "all"))
        paths.trusted_keys.chmod(0o777)
        assert [step.what for step in install(paths, "all") if step.state == "updated"] == [str(paths.trusted_keys)]
        assert paths.trusted_keys.stat().st_mode & 0o7777 == 0o755

    def test_stages(self, paths, tmp_path):
        list(install(paths, "login"))
        assert paths.private_key.exists()
        assert not paths.traces.exists()
        node = SystemPaths(tmp_path / "node")
        node.prefix.mkdir()
        assert "missing" in states(install(node, "compute"))
        assert not node.private_key.exists()
        assert not node.trusted_snippets.exists()
        public = next(paths.trusted_keys.iterdir())
        assert "missing" not in states(install(node, "compute", public))
        assert trusted_key_ids(node.trusted_keys) == [public.stem]

    def test_the_shipped_configuration_is_the_default_one(self, paths):
        list(install(paths, "all"))
        shipped = read_system_configuration(paths)
        paths.system_file.unlink()
        assert shipped == read_system_configuration(paths)

    def test_a_system_configuration_that_others_may_write_is_refused(self, paths):
        list(install(paths, "all"))
        paths.system_file.chmod(0o666)
        with pytest.raises(DatacrumbsError, match="writable by others") as caught:
            read_system_configuration(paths)
        assert caught.value.exit_code is ExitCode.REFUSED

    def test_changed_files_are_kept(self, paths):
        list(install(paths, "all"))
        paths.policy.write_text("rules: []\n")
        list(install(paths, "all"))
        assert paths.policy.read_text() == "rules: []\n"

    def test_uninstall_leaves_traces_and_changed_files(self, paths):
        list(install(paths, "all"))
        (paths.traces / "t.pfw.gz").write_text("x")
        paths.policy.write_text("rules: []\n")
        kept = {step.what for step in uninstall(paths) if step.state == "kept"}
        assert str(paths.policy) in kept
        left = {str(path.relative_to(paths.prefix)) for path in paths.prefix.rglob("*") if path.is_file()}
        assert left == {"etc/datacrumbs/policy.yaml", "var/log/datacrumbs/t.pfw.gz"}

    def test_an_untouched_installation_goes_wholly(self, paths):
        list(install(paths, "all"))
        (paths.state / "programs").mkdir()
        (paths.state / "programs/0123").touch()
        assert states(uninstall(paths)) == {"removed"}
        assert not list(paths.prefix.rglob("*datacrumbs*"))

    def test_nothing_of_past_runs_stays(self, paths):
        list(install(paths, "all"))
        for name in ("failed.env", "failed.log", "killed.ready", "killed.lock", "killed.new"):
            (paths.run / f"datacrumbs-{name}").touch()
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(paths.signing_socket))
        assert states(uninstall(paths)) == {"removed"}
        assert not list(paths.prefix.rglob("*datacrumbs*"))

    def test_a_run_that_goes_on_keeps_its_files(self, paths):
        list(install(paths, "all"))
        run = RunFiles(paths.run, "23")
        environment_file(paths.run, "23").touch()
        assert [step.what for step in uninstall(paths) if step.state == "kept"] == [str(paths.run)]
        assert sorted(path.name for path in paths.run.iterdir()) == ["datacrumbs-23.env", "datacrumbs-23.lock"]
        run.close()
        assert states(uninstall(paths)) == {"removed"}
        assert not paths.run.exists()

    def test_the_command(self, tmp_path):
        first = json.loads(command("setup", "--prefix", tmp_path / "p", "--json").stdout)
        assert {step["state"] for step in first} == {"made"}
        assert "kept" in command("setup", "--prefix", tmp_path / "p").stdout
        command("setup", "--prefix", tmp_path / "p", "--uninstall")

    def test_a_link_in_the_place_of_the_key(self, paths, tmp_path):
        list(install(paths, "all"))
        paths.private_key.rename(tmp_path / "key")
        paths.private_key.symlink_to(tmp_path / "key")
        with pytest.raises(DatacrumbsError, match="a symbolic link"):
            list(install(paths, "all"))

    def test_a_file_in_the_place_of_a_directory(self, paths):
        (paths.prefix / "etc").mkdir()
        paths.configuration.write_text("")
        with pytest.raises(DatacrumbsError, match="exists and is no directory"):
            list(install(paths, "all"))

    def test_this_host_needs_root(self, as_nobody):
        assert "needs root" in as_nobody(lambda: command("setup", status=ExitCode.REFUSED).stderr)
        assert "root only" in as_nobody(lambda: command("sign_probes", status=ExitCode.REFUSED).stderr)


class TestPackagedUnits:
    """A distribution's package owns its units; a copy below /etc would hide them."""

    NAMES = (SIGNING_UNIT, SIGNING_SOCKET, RUN_UNIT, RUNS_UNIT, RUNS_SOCKET)

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
    @pytest.mark.parametrize("name", [SIGNING_UNIT, SIGNING_SOCKET, RUN_UNIT, RUNS_UNIT, RUNS_SOCKET])
    def test_systemd_accepts_the_units(self, paths, name, tmp_path):
        assert verified(_unit(paths, name, tmp_path)) == (0, "")

    # systemd-analyze takes tenths as whole numbers, and lets what is equal pass.
    @pytest.mark.parametrize(("name", "exposure"), [(SIGNING_UNIT, 17), (RUN_UNIT, 24), (RUNS_UNIT, 17)])
    def test_units_are_confined(self, paths, name, exposure, tmp_path):
        unit = _unit(paths, name, tmp_path)
        security = ["systemd-analyze", "security", "--offline=true", "--no-pager"]
        found = subprocess.run(
            [*security, f"--threshold={exposure}", unit], capture_output=True, text=True, check=False
        )
        assert found.returncode == 0, found.stdout
        assert exposure < 25

    def test_a_run_may_write_where_traces_go(self, paths):
        paths.configuration.mkdir(parents=True)
        paths.system_file.write_text("trace_log_dir: /scratch/traces\n")
        assert "ReadWritePaths=-/scratch/traces\n" in unit_text(RUN_UNIT, paths)

    def test_a_prefix_that_a_unit_cannot_hold(self):
        with pytest.raises(DatacrumbsError, match="without spaces, quotes"):
            unit_text(SIGNING_UNIT, SystemPaths(Path("/opt/$(id) x")))


# The unit as installed; the commands' own paths depend on where this tree is.
def _unit(paths, name, directory):
    list(install(paths, "all"))
    text = (paths.prefix / "etc/systemd/system" / name).read_text()
    for mark in ("@SCRIPTS@", "@PREFIX@", "@TRACES@"):
        assert mark not in text
    # Those of a service name each other.
    for neighbour in {SIGNING_SOCKET, SIGNING_UNIT, RUNS_SOCKET, RUNS_UNIT, name}:
        text = (paths.prefix / "etc/systemd/system" / neighbour).read_text()
        unit = directory / neighbour.replace("@", "@run1")
        unit.write_text(re.sub(r"(?m)^(Exec\w+)=.*", r"\1=/bin/true", text))
    return directory / name.replace("@", "@run1")


def verified(unit):
    found = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    return found.returncode, found.stdout + found.stderr


class TestTrust:
    def test_add_list_verify_remove(self, site, paths):
        list(install(paths, "login"))
        where = ("--prefix", paths.prefix, "--json", "--provider", "demo")
        added = json.loads(command("trust", "add", *where, path=site).stdout)
        assert added[0]["distribution"] == "datacrumbs-demo"
        assert added[0]["version"] == "1.2"
        assert json.loads(command("trust", "list", *where, path=site).stdout) == added
        assert json.loads(command("trust", "verify", *where, path=site).stdout)[0]["state"] == "trusted"
        (site / "dc_demo/snippets/hello.bpf.c").write_text(TEXT + "int changed;\n")
        found = json.loads(command("trust", "verify", *where, path=site, status=1).stdout)
        assert sorted(row["state"] for row in found) == ["not installed", "not trusted"]
        assert json.loads(command("trust", "remove", *where, path=site).stdout) == added
        assert not [entry for entry in read_trusted(paths.trusted_snippets) if entry.provider == "demo"]

    @pytest.mark.parametrize(
        "words",
        [
            ("add", "--provider", "demo", "--json"),
            ("--provider", "demo", "add", "--json"),
            ("--json", "--provider=demo", "add"),
            ("--prov", "demo", "--json", "add"),
        ],
    )
    def test_the_action_can_be_anywhere_as_it_could(self, site, paths, words):
        list(install(paths, "login"))
        before = paths.trusted_snippets.read_bytes()
        planned = command("trust", *words, "--dry-run", "--prefix", paths.prefix, path=site)
        assert "dry run: nothing is changed" in planned.stderr
        assert paths.trusted_snippets.read_bytes() == before
        added = command("trust", "--prefix", paths.prefix, *words, path=site)
        assert json.loads(added.stdout) == json.loads(planned.stdout)
        assert paths.trusted_snippets.read_bytes() != before

    def test_the_provider_is_never_imported(self, site, paths, tmp_path):
        list(install(paths, "login"))
        command("trust", "add", "--provider", "demo", "--prefix", paths.prefix, path=site)
        (site / "datacrumbs_demo-1.2.dist-info/RECORD").write_text("")  # as an editable installation has it
        command("trust", "verify", "--provider", "demo", "--prefix", paths.prefix, path=site)
        assert not (tmp_path / "imported").exists()

    def test_by_distribution(self, site, paths):
        list(install(paths, "login"))
        command("trust", "add", "--distribution", "DataCrumbs_demo", "--prefix", paths.prefix, path=site)
        assert any(entry.provider == "demo" for entry in read_trusted(paths.trusted_snippets))

    @pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
    def test_a_file_that_others_own_is_named(self, site, paths):
        list(install(paths, "login"))
        os.chown(site / "dc_demo/snippets/hello.bpf.c", 65534, -1)
        result = command("trust", "add", "--provider", "demo", "--prefix", paths.prefix, path=site)
        assert "owned by uid 65534, who could have changed it" in result.stderr

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("add", "--provider", "absent"), "no installed distribution has this provider"),
            (("add", "--distribution", "absent"), "no installed distribution of this name"),
            (("add",), "one of the arguments --provider --distribution --key is required"),
            (("remove",), "one of the arguments --provider --distribution --key is required"),
            (("remove", "--provider", "absent"), "absent is not in"),
            (("add", "--provider", "a", "--distribution", "b"), "not allowed with"),
        ],
    )
    def test_wrong_use(self, paths, arguments, message):
        result = command("trust", *arguments, "--prefix", paths.prefix, status=ExitCode.USAGE)
        assert message in result.stderr

    @pytest.mark.parametrize("text", ["{", "snippets: 3", "snippets: [{provider: a}]", "[]"])
    def test_a_damaged_list(self, paths, text):
        list(install(paths, "login"))
        paths.trusted_snippets.write_text(text)
        with pytest.raises(DatacrumbsError) as caught:
            read_trusted(paths.trusted_snippets)
        assert caught.value.exit_code == ExitCode.USAGE

    def test_bundled_providers_are_trusted_by_setup(self, paths):
        list(install(paths, "login"))
        for entry in read_trusted(paths.trusted_snippets):
            assert isinstance(entry, TrustedSnippet)
            assert entry.distribution == f"datacrumbs-{entry.provider}"

    def test_the_key_is_usable(self, paths):
        list(install(paths, "login"))
        assert load_private_key(paths.private_key)


@pytest.mark.parametrize("name", ["setup", "trust", "sign_probes"])
def test_help_and_version(name):
    assert "example" in command(name, "--help").stdout
    assert "0." in command(name, "--version").stdout
