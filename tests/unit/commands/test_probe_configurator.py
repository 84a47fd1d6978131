from __future__ import annotations

import subprocess
import sys
import time
from functools import partial
from importlib.util import find_spec

import pytest

from datacrumbs.commands.probe_configurator import COMMAND
from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.probefile.storage import read_probe_file
from datacrumbs.system import SystemPaths

from ...json_forms import read_json  # noqa: TID252 - a helper of all tests
from ...waiting import until  # noqa: TID252 - a helper of all tests
from ..running import command  # noqa: TID252 - tests are no package

NEEDS_SYS = pytest.mark.skipif(find_spec("datacrumbs_sys") is None, reason="datacrumbs-sys is not installed")
configurator = partial(command, "probe_configurator", status=None)
SITE = "capture_probes:\n  - {provider: sys, preset: data}\n"


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    """A private installation with its signing service running."""
    prefix = tmp_path_factory.mktemp("prefix")
    command("setup", "--prefix", str(prefix))
    paths = SystemPaths(prefix)
    code = "from datacrumbs.commands._entry import sign_probes; exit(sign_probes())"
    service = subprocess.Popen([sys.executable, "-c", code, "--prefix", str(prefix)], stderr=subprocess.DEVNULL)
    until(paths.signing_socket.exists)
    yield paths
    service.terminate()
    service.wait(300)


@NEEDS_SYS
def test_a_site_file_becomes_a_signed_probe_file(installation, tmp_path):
    site, output = tmp_path / "site.yaml", tmp_path / "probes.json.gz"
    site.write_text(SITE)
    done = configurator(str(site), str(output), "--prefix", str(installation.prefix))
    assert done.returncode == 0, done.stderr
    signed = read_probe_file(output, installation.trusted_keys, now=time.time(), uid=None)
    count = len(signed.plan.functions)
    assert {group.provider for group in signed.plan.groups} == {"sys"}
    assert done.stdout.startswith(f"{output}: {count} functions: sys {count}; for ")
    assert done.stderr == ""  # and no progress bar where there is no terminal


def test_what_is_left_out_is_named_also_when_nothing_is_left(installation, tmp_path):
    source, library, site = tmp_path / "store.S", tmp_path / "libstore.so", tmp_path / "site.yaml"
    source.write_text(".globl store\n.type store, @function\nstore: vmovdqu %ymm0, (%rdi)\nret\n")
    subprocess.run(["cc", "-shared", "-nostdlib", "-Wl,--build-id", "-o", library, source], check=True)
    site.write_text(f"capture_probes:\n  - {{name: V, probe: uprobe, type: binary, file: {library}}}\n")
    done = configurator(str(site), str(tmp_path / "out"), "--prefix", str(installation.prefix))
    assert done.returncode == ExitCode.USAGE
    note, *rest = done.stderr.splitlines()
    assert f"{library}: 1 function is left out (store): the instruction there is decoded as another one" in note
    assert "no function to probe is left" in rest[0]


@NEEDS_SYS
def test_the_same_inputs_give_the_same_plan_and_json_says_what_was_done(installation, tmp_path):
    site = tmp_path / "site.yaml"
    site.write_text(SITE + "user: nobody\n")
    plans = []
    for name in ("a", "b"):
        output = tmp_path / name
        done = configurator(str(site), str(output), "--json", "--prefix", str(installation.prefix))
        summary = read_json("probe_configurator", done.stdout)
        assert summary["file"] == str(output)
        assert "user: ignored" in summary["notes"][0]
        assert "user: ignored" in done.stderr
        plans.append(read_probe_file(output, installation.trusted_keys, now=time.time(), uid=None).plan)
        assert summary["functions"] == {"sys": len(plans[-1].functions)}
    assert plans[0] == plans[1]


@NEEDS_SYS
def test_the_installed_default_site_file_is_found_by_its_name(installation, tmp_path):
    output = tmp_path / "probes.json.gz"
    done = configurator("default.yaml", str(output), "--providers", "sys", "--prefix", str(installation.prefix))
    assert done.returncode == 0, done.stderr
    shown = configurator("--show", str(output), "--prefix", str(installation.prefix))
    assert shown.returncode == 0
    assert "openat" in shown.stdout
    as_json = configurator("--show", str(output), "--json", "--prefix", str(installation.prefix))
    assert read_json("probe_configurator", as_json.stdout)["signature"]["verified"] is True


@NEEDS_SYS
def test_showing_a_file_that_is_not_trusted_here_warns(installation, tmp_path):
    site, output = tmp_path / "site.yaml", tmp_path / "probes.json.gz"
    site.write_text(SITE)
    configurator(str(site), str(output), "--prefix", str(installation.prefix))
    shown = configurator("--show", str(output), "--json", "--prefix", str(tmp_path))
    assert "the daemon would refuse this file" in shown.stderr
    assert read_json("probe_configurator", shown.stdout)["signature"]["verified"] is False


@NEEDS_SYS
def test_checking_a_file_as_the_daemon_would(installation, tmp_path):
    site, output = tmp_path / "site.yaml", tmp_path / "probes.json.gz"
    library = tmp_path / "libstore.so"
    source = tmp_path / "store.c"
    source.write_text("int store(int value) { return value; }\n")
    build = ["cc", "-O1", "-shared", "-fPIC", "-Wl,--build-id", "-o", library, source]
    subprocess.run(build, check=True)
    entry = f"  - {{name: store, probe: uprobe, type: binary, file: {library}}}\n"
    site.write_text(SITE + entry)
    prefix = ("--prefix", str(installation.prefix))
    assert configurator(str(site), str(output), *prefix).returncode == 0

    def checked(*options: str) -> tuple[int, list[tuple[str, str]]]:
        done = configurator("--check", str(output), "--json", *(options or prefix))
        found = read_json("probe_configurator", done.stdout)
        assert found["usable"] == (done.returncode == 0)
        assert all(bool(each["fix"]) <= (each["state"] == "missing") for each in found["checks"])
        return done.returncode, [(each["name"], each["state"]) for each in found["checks"]]

    fine = [("signature", "ok"), ("kernel", "ok"), ("target", "ok")]
    assert checked() == (0, fine)
    plain = configurator("--check", str(output), *prefix).stdout
    assert f"ok       target     {library}, 1 place\n" in plain
    subprocess.run([*build, "-DCHANGED", "-g"], check=True)
    assert checked() == (ExitCode.REFUSED, [*fine[:2], ("target", "missing")])
    shown = configurator("--check", str(output), *prefix)
    assert (shown.returncode, "the build-id changed" in shown.stdout) == (ExitCode.REFUSED, True)
    # Nothing of what is not signed by a key that is trusted here is looked at.
    assert checked("--prefix", str(tmp_path)) == (ExitCode.REFUSED, [("signature", "missing")])
    # The file may be anywhere.
    for option in ("--check", "--show"):
        behind = configurator(option, *prefix, str(output))
        assert behind.stdout == configurator(option, str(output), *prefix).stdout != ""
        assert configurator(option, *prefix).returncode == ExitCode.USAGE
    missing = configurator("--check", str(tmp_path / "none"), *prefix)
    assert (missing.returncode, missing.stdout) == (ExitCode.USAGE, "")


@NEEDS_SYS
def test_a_failure_is_an_exit_code_and_no_file(installation, tmp_path):
    """The reference exits with 0 and writes nothing when signing fails or no probe is found."""
    site, output = tmp_path / "site.yaml", tmp_path / "out" / "probes.json.gz"
    output.parent.mkdir()
    cases = {
        "no function": ("capture_probes: [{provider: sys, functions: no_such_call}]", installation.prefix, 2),
        "no service": (SITE, tmp_path / "nowhere", 1),
        "wrong key": ("capture_prob: []", installation.prefix, 2),
    }
    for text, prefix, code in cases.values():
        site.write_text(text)
        done = configurator(str(site), str(output), "--prefix", str(prefix))
        assert done.returncode == code, done.stderr
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) >= 1
        assert list(output.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "SITE.yaml and OUT.json.gz are needed"),
        (["site.yaml"], "SITE.yaml and OUT.json.gz are needed"),
        (["site.yaml", "/no/such/dir/out.json.gz"], "the directory /no/such/dir does not exist"),
        (["--list", "--without", "sysss"], "--without: no provider 'sysss' is installed"),
    ],
)
def test_wrong_command_lines(arguments, words):
    with pytest.raises(DatacrumbsError, match=words) as caught:
        COMMAND.run(arguments)
    assert caught.value.exit_code == ExitCode.USAGE


def test_a_program_that_is_not_there(tmp_path):
    site = tmp_path / "site.yaml"
    site.write_text(SITE)
    with pytest.raises(DatacrumbsError, match="--program: 'no-such-program' is not an executable file"):
        COMMAND.run([str(site), str(tmp_path / "o"), "--program", "no-such-program"])


@NEEDS_SYS
def test_the_list_names_targets_and_counts(capsys):
    assert COMMAND.run(["--list", "--providers", "sys", "--json"]) == 0
    (listed,) = read_json("probe_configurator", capsys.readouterr().out)
    assert listed["name"] == "sys"
    assert listed["distribution"] == "datacrumbs-sys"
    assert {target["attach"]: target["functions"] > 0 for target in listed["targets"]}["syscall"]
    assert "default" in {preset["name"] for preset in listed["presets"]}
    assert COMMAND.run(["--list", "--providers", "sys"]) == 0
    assert "system calls" in capsys.readouterr().out


def test_the_help_shows_an_example(capsys):
    with pytest.raises(SystemExit):
        COMMAND.run(["--help"])
    assert "examples:" in capsys.readouterr().out


def test_without_takes_what_the_site_file_names_though_it_is_not_installed(tmp_path):
    site = tmp_path / "site.yaml"
    site.write_text("capture_probes:\n  - provider: absent\n  - provider: sys\n    functions: no_such_call\n")
    done = configurator(str(site), str(tmp_path / "out.json.gz"), "--without", "absent")
    assert done.returncode == ExitCode.USAGE
    assert "is installed" not in done.stderr
    assert "no_such_call" in done.stderr


def test_a_site_file_of_the_installation_that_others_may_write_is_refused(tmp_path):
    paths = SystemPaths(tmp_path / "prefix")
    paths.site_files.mkdir(parents=True)
    site = paths.site_files / "lead.yaml"
    site.write_text("providers: []\n")
    site.chmod(0o666)
    for name in ("lead.yaml", str(site)):
        done = configurator(name, str(tmp_path / "out.gz"), "--prefix", str(paths.prefix))
        assert (done.returncode, "writable by others" in done.stderr) == (ExitCode.REFUSED, True), done.stderr
