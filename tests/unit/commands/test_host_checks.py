from __future__ import annotations

import json
import os
import platform

import pytest

from datacrumbs.commands import _host_checks
from datacrumbs.commands._diagnosis import HOST, INSTALLATION, can_trace, installation_checks
from datacrumbs.commands.doctor import COMMAND
from datacrumbs.provider import Check, CheckState
from datacrumbs.system import SystemPaths


def named(checks, name):
    (found,) = [check for check in checks if check.name == name]
    return found


def test_every_finding_that_is_not_ok_says_how_to_fix_it(capsys, tmp_path):
    code = COMMAND.run(["--json", "--prefix", str(tmp_path)])
    document = json.loads(capsys.readouterr().out)
    assert code == (0 if document["tracing_works"] else 1)
    assert not document["tracing_works"]  # an empty prefix trusts no key
    for check in document["checks"]:
        assert check["state"] == "ok" or check["fix"], check
    areas = {check["area"] for check in document["checks"]}
    assert {HOST, INSTALLATION} <= areas
    names = [check["name"] for check in document["checks"] if check["area"] == HOST]
    assert {"root", "bcc", "kernel headers", "kernel BTF", "tracefs", "bpffs", "patchelf"} <= set(names)


def test_the_table_is_readable(capsys, tmp_path):
    COMMAND.run(["--prefix", str(tmp_path)])
    shown = capsys.readouterr().out
    assert "missing: trusted keys" in shown
    assert "fix: sudo datacrumbs_setup" in shown
    assert "Tracing cannot work here yet" in shown


def test_only_what_every_run_needs_decides():
    missing = Check("x", CheckState.MISSING, "gone", "get it")
    warning = Check("y", CheckState.WARNING, "odd", "look")
    assert can_trace([(HOST, warning), ("mpi", missing)])
    assert not can_trace([(HOST, missing)])
    assert not can_trace([(INSTALLATION, missing)])


def test_headers_are_described_in_words(monkeypatch, tmp_path):
    release = platform.release()
    build = tmp_path / "build"
    monkeypatch.setattr(_host_checks.header_files, "MODULES", tmp_path)
    monkeypatch.setattr(_host_checks, "_KHEADERS", tmp_path / "none")
    missing = _host_checks._headers()
    assert missing.state is CheckState.MISSING
    assert "is not there" in missing.detail
    assert "apt-get install linux-headers" in missing.fix
    build.symlink_to(tmp_path / "gone")
    assert "is a link to nothing" in _host_checks._headers().detail
    build.unlink()
    (build / "include/config").mkdir(parents=True)
    (build / "include/generated").mkdir()
    (build / "include/config/kernel.release").write_text("6.1.192\n")  # Debian's: the upstream version alone
    (build / "include/generated/utsrelease.h").write_text('#define UTS_RELEASE "1.2.3-4-amd64"\n')
    assert f"{build} holds none" in _host_checks._headers().detail
    (build / "include/linux").mkdir()
    (build / "include/linux/kconfig.h").touch()
    other = _host_checks._headers()
    assert other.state is CheckState.WARNING
    assert f"has 1.2.3-4-amd64, the running kernel is {release}" in other.detail
    (build / "include/generated/utsrelease.h").write_text(f'#define UTS_RELEASE "{release}"\n')
    assert _host_checks._headers().state is CheckState.OK


def test_another_project_called_bcc_is_told_apart(monkeypatch, tmp_path):
    (tmp_path / "bcc.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "bcc", raising=False)
    found = _host_checks._bcc()
    monkeypatch.delitem(__import__("sys").modules, "bcc", raising=False)
    assert found.state is CheckState.MISSING
    assert "another project" in found.detail
    assert "pip uninstall bcc" in found.fix


@pytest.mark.parametrize(
    ("findings", "name", "state"),
    [
        ({"compile": "no"}, "BPF programs", CheckState.MISSING),
        ({"compile": None, "ring_buffer": "EINVAL"}, "ring buffer", CheckState.MISSING),
        ({"compile": None, "ring_buffer": None, "uprobe": None}, "library functions (uprobe)", CheckState.OK),
        ({"compile": None, "uprobe_multi": "no"}, "many functions at once (uprobe_multi)", CheckState.WARNING),
    ],
)
def test_what_the_kernel_refuses(findings, name, state):
    assert named(_host_checks._feature_findings(findings, "x.c:1: error: bad\n"), name).state is state


def test_a_key_that_others_can_read_is_found(tmp_path):
    paths = SystemPaths(tmp_path)
    paths.private_key.parent.mkdir(parents=True)
    paths.private_key.write_text("secret")
    paths.private_key.chmod(0o644)
    found = named(installation_checks(paths), "signing key")
    assert found.state is CheckState.MISSING
    assert "0644" in found.detail
    assert f"datacrumbs_setup --prefix {tmp_path}" in found.fix
    paths.private_key.chmod(0o400)
    assert named(installation_checks(paths), "signing key").state is CheckState.OK


def test_a_broken_system_configuration_is_found(tmp_path):
    paths = SystemPaths(tmp_path)
    paths.configuration.mkdir(parents=True)
    paths.system_file.write_text("call_ring_mib: 3\n")
    found = named(installation_checks(paths), "system configuration")
    assert found.state is CheckState.MISSING
    assert "not a power of two" in found.detail


@pytest.mark.kernel
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may load BPF programs")
def test_this_kernel_takes_the_programs():
    states = {check.name: check.state for check in _host_checks._features()}
    assert states["BPF programs"] is CheckState.OK
    assert states["ring buffer"] is CheckState.OK
    assert states["library functions (uprobe)"] is CheckState.OK
