"""A failure to sign, and a plan without probes, end with an exit code other than 0 and without an output file."""

from __future__ import annotations

from dataclasses import replace

import pytest

from datacrumbs.commands._main import guarded
from datacrumbs.errors import ExitCode
from datacrumbs.probefile.storage import write_probe_file
from datacrumbs.signer.signing_client import request_signature


def compose(installation, plan) -> int:
    path = installation.directory / "out.json.gz"
    status = guarded(lambda: write_probe_file(path, request_signature(plan, installation.paths)))
    assert path.exists() == (status == 0)
    return status


def test_no_service_is_a_failure(installation, capfd):
    assert compose(installation, installation.plan()) == ExitCode.FAILED
    assert "the signing service is not running" in capfd.readouterr().err


def test_a_refusal_is_a_failure(installation, capfd):
    installation.policy("rules: []")
    with installation.service():
        assert compose(installation, installation.plan()) == ExitCode.REFUSED
    assert "the signing service refused: policy: no rule" in capfd.readouterr().err


@pytest.mark.parametrize("empty", ["groups", "functions"])
def test_zero_probes_are_a_failure(installation, capfd, empty):
    plan = installation.plan()
    groups = () if empty == "groups" else (replace(plan.groups[0], functions=()),)
    assert compose(installation, replace(plan, groups=groups)) == ExitCode.USAGE
    assert "0 elements; expected 1 to" in capfd.readouterr().err


def test_a_service_that_dies_is_a_failure(installation, capfd):
    # It answers nothing: the socket is there, whoever listened is gone.
    with installation.service() as process:
        process.kill()
        process.wait()
        assert compose(installation, installation.plan()) == ExitCode.FAILED
        process.returncode = 0
    assert "is not running" in capfd.readouterr().err


def test_success_leaves_a_file(installation):
    with installation.service():
        assert compose(installation, installation.plan()) == ExitCode.DONE
