from __future__ import annotations

import os
import platform
import sys

import pytest

from datacrumbs.commands import _host_checks
from datacrumbs.provider import CheckState

from .findings import named


def test_headers_are_described_in_words(monkeypatch, tmp_path):
    release = platform.release()
    build = tmp_path / "build"
    monkeypatch.setattr(_host_checks.header_files, "MODULES", tmp_path)
    monkeypatch.setattr(_host_checks, "_KHEADERS", tmp_path / "none")
    missing = _host_checks.kernel_headers()
    assert missing.state is CheckState.MISSING
    assert "is not there" in missing.detail
    assert "apt-get install linux-headers" in missing.fix
    build.symlink_to(tmp_path / "gone")
    assert "is a dangling link" in _host_checks.kernel_headers().detail
    build.unlink()
    (build / "include/config").mkdir(parents=True)
    (build / "include/generated").mkdir()
    (build / "include/config/kernel.release").write_text("6.1.192\n")  # Debian's: the upstream version alone
    (build / "include/generated/utsrelease.h").write_text('#define UTS_RELEASE "1.2.3-4-amd64"\n')
    assert f"{build} holds none" in _host_checks.kernel_headers().detail
    (build / "include/linux").mkdir()
    (build / "include/linux/kconfig.h").touch()
    other = _host_checks.kernel_headers()
    assert other.state is CheckState.WARNING
    assert f"has 1.2.3-4-amd64, the running kernel is {release}" in other.detail
    (build / "include/generated/utsrelease.h").write_text(f'#define UTS_RELEASE "{release}"\n')
    assert _host_checks.kernel_headers().state is CheckState.OK


def test_another_project_called_bcc_is_told_apart(monkeypatch, tmp_path):
    (tmp_path / "bcc.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "bcc", raising=False)
    found = _host_checks.bcc_module()
    sys.modules.pop("bcc", None)  # else it would be put back at the end
    assert found.state is CheckState.MISSING
    assert "different project" in found.detail
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
    assert named(_host_checks.feature_findings(findings, "x.c:1: error: bad\n"), name).state is state


@pytest.mark.kernel
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may load BPF programs")
def test_this_kernel_takes_the_programs():
    states = {check.name: check.state for check in _host_checks.feature_checks()}
    assert states["BPF programs"] is CheckState.OK
    assert states["ring buffer"] is CheckState.OK
    assert states["library functions (uprobe)"] is CheckState.OK
