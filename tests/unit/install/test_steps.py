from __future__ import annotations

import socket
import sysconfig

import pytest

from datacrumbs.daemon.identity import Owner
from datacrumbs.daemon.run_files import RunFiles
from datacrumbs.daemon.unit import environment_file
from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.probefile.keys import parse_public_key, trusted_key_ids
from datacrumbs.system import SystemPaths, read_system_configuration

from ...json_forms import read_json  # noqa: TID252 - a helper of all tests
from ..running import command  # noqa: TID252 - tests are no package
from .installing import files_below, install, states, uninstall


def install_all(paths: SystemPaths, *, dry_run: bool = False):
    return install(paths, "all", dry_run=dry_run)


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
        key = parse_public_key(public.read_bytes(), public)
        assert "missing" not in states(install(node, "compute", key))
        assert trusted_key_ids(node.trusted_keys) == [public.stem]

    def test_a_relay_gets_no_key_and_nothing_for_runs(self, paths, tmp_path):
        list(install(paths, "login"))
        relay = SystemPaths(tmp_path / "relay")
        relay.prefix.mkdir()
        assert "missing" in states(install(relay, "relay"))
        public = next(paths.trusted_keys.iterdir())
        key = parse_public_key(public.read_bytes(), public)
        assert "missing" not in states(install(relay, "relay", key))
        assert not relay.private_key.exists()
        assert not relay.traces.exists()
        assert (relay.site_files / "default.yaml").exists()
        units = sorted(path.name for path in (relay.prefix / "etc/systemd/system").iterdir())
        assert units == ["datacrumbs_sign_relay.service", "datacrumbs_sign_relay.socket"]
        list(uninstall(relay))
        assert not (relay.prefix / "etc/systemd/system" / units[0]).exists()

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

    def test_what_another_installation_set_up_stays(self, paths, tmp_path, monkeypatch):
        list(install(paths, "all"))
        here, other = files_below(paths.prefix), tmp_path / "other/bin"
        other.mkdir(parents=True)
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr("sysconfig.get_path", lambda _: str(other))
            (step,) = uninstall(paths)
        assert (step.state, step.what) == ("kept", str(paths.configuration))
        assert step.note == f"{sysconfig.get_path('scripts')}/datacrumbs_setup --uninstall removes what it set up"
        assert files_below(paths.prefix) == here

    def test_what_an_installation_set_up_that_is_gone(self, paths, tmp_path):
        list(install(paths, "all"))
        for path in (path for path in paths.prefix.rglob("*") if path.is_file()):
            text = path.read_bytes()
            path.write_bytes(text.replace(sysconfig.get_path("scripts").encode(), bytes(tmp_path / "gone")))
        assert states(uninstall(paths)) == {"removed"}

    def test_nothing_of_past_runs_stays(self, paths):
        list(install(paths, "all"))
        for name in ("failed.env", "failed.log", "killed.ready", "killed.lock", "killed.new", "killed.sock"):
            (paths.run / f"datacrumbs-{name}").touch()
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(paths.signing_socket))
        assert states(uninstall(paths)) == {"removed"}
        assert not list(paths.prefix.rglob("*datacrumbs*"))

    def test_a_run_that_goes_on_keeps_its_files(self, paths):
        list(install(paths, "all"))
        run = RunFiles(paths.run, "23")
        environment_file(paths.run, "23").touch()
        run.listen(Owner(0, 0, "root")).close()
        assert [step.what for step in uninstall(paths) if step.state == "kept"] == [str(paths.run)]
        assert sorted(path.name for path in paths.run.iterdir()) == [
            f"datacrumbs-23.{what}" for what in ("env", "lock", "sock")
        ]
        run.close()
        assert states(uninstall(paths)) == {"removed"}
        assert not paths.run.exists()

    def test_the_command(self, tmp_path):
        first = read_json("setup", command("setup", "--prefix", tmp_path / "p", "--json").stdout)
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
        with pytest.raises(DatacrumbsError, match="exists and is not a directory"):
            list(install(paths, "all"))

    def test_this_host_needs_root(self, as_nobody):
        assert "needs root" in as_nobody(lambda: command("setup", "--prefix", "/", status=ExitCode.REFUSED).stderr)
        assert "root only" in as_nobody(lambda: command("sign_probes", "--prefix", "/", status=ExitCode.REFUSED).stderr)
