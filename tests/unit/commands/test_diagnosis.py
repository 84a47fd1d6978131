from __future__ import annotations

from datacrumbs.commands._diagnosis import HOST, INSTALLATION, can_trace, installation_checks
from datacrumbs.provider import Check, CheckState
from datacrumbs.system import SystemPaths

from .findings import named


def test_only_what_every_run_needs_decides():
    missing = Check("x", CheckState.MISSING, "gone", "get it")
    warning = Check("y", CheckState.WARNING, "odd", "look")
    assert can_trace([(HOST, warning), ("mpi", missing)])
    assert not can_trace([(HOST, missing)])
    assert not can_trace([(INSTALLATION, missing)])


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
