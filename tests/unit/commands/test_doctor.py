from __future__ import annotations

import json

from datacrumbs.commands._diagnosis import HOST, INSTALLATION
from datacrumbs.commands.doctor import COMMAND


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
    assert "fix trusted keys" in shown
