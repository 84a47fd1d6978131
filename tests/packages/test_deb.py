"""The Debian packages: built by the distribution's own tools, installed in a clean root, used, and removed."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from datacrumbs.testing._installation import read_lines

from .conftest import run

pytestmark = [
    pytest.mark.service,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts and changes the root directory"),
]
PROVIDERS = ("hdf5", "mpi", "posix", "sys")
UNITS = (
    "datacrumbs@.service",
    *("datacrumbs_sign_probes.service", "datacrumbs_sign_probes.socket", "datacrumbs_sign_remote.socket"),
    *("datacrumbs_sign_relay.service", "datacrumbs_sign_relay.socket"),
)


def contents(deb):
    listed = run("dpkg-deb", "--contents", deb).stdout
    return {line.split()[5].removeprefix(".") for line in listed.splitlines()}


def test_each_distribution_is_a_package(debs):
    assert set(debs) == {"datacrumbs", *(f"datacrumbs-{name}" for name in PROVIDERS)}
    for name in PROVIDERS:
        file = f"/usr/lib/python3/dist-packages/datacrumbs_{name}/__init__.py"
        assert file in contents(debs[f"datacrumbs-{name}"])
        assert "datacrumbs (= " in run("dpkg-deb", "--field", debs[f"datacrumbs-{name}"], "Depends").stdout


def test_the_core_owns_units_manual_and_completions(debs):
    found = contents(debs["datacrumbs"])
    assert found >= {f"/usr/lib/systemd/system/{unit}" for unit in UNITS}
    assert found >= {
        "/usr/lib/tmpfiles.d/datacrumbs.conf",
        "/usr/share/man/man8/datacrumbs.8.gz",
        "/usr/share/bash-completion/completions/datacrumbs_report",
        "/usr/share/zsh/vendor-completions/_datacrumbs_report",
    }


def test_install_use_and_remove(debs, root):
    before = root.files()
    for deb in debs.values():
        (root.directory / "root" / deb.name).write_bytes(deb.read_bytes())
    root.run("dpkg", "--install", *(f"/root/{deb.name}" for deb in debs.values()))

    said = root.run("datacrumbs_setup").stdout
    assert "kept     /usr/lib/systemd/system/datacrumbs@.service  (of the package)" in said
    assert not list((root.directory / "etc/systemd/system").glob("datacrumbs*"))
    for unit in UNITS:
        text = (root.directory / "usr/lib/systemd/system" / unit).read_text()
        assert not re.search("@[A-Z]+@", text)

    library = "/usr/lib/datacrumbs/libdatacrumbs_client.so"
    assert f"LD_PRELOAD={library}\n" in root.run("datacrumbs_wrap", "env").stdout
    listed = root.run("datacrumbs_probe_configurator", "--list").stdout
    assert all(f"{name} " in listed or f"{name}\n" in listed for name in PROVIDERS)
    refused = root.run("datacrumbs_report", "/root/trace.pfw.gz", status=1).stderr
    assert "polars, which reads traces, is not installed" in refused

    trace = "/var/log/datacrumbs/23.pfw.gz"
    recorded = ("datacrumbs_record", "--no-report", "-o", trace, "--providers", "sys", "--")
    root.run(*recorded, "dd", "if=/dev/zero", "of=/root/out", "bs=1", "count=23", "status=none")
    assert read_lines(Path(f"{root.directory}{trace}")).tally()["write"] == 23

    root.run("dpkg", "--remove", *debs)
    left = {path for path in root.files() - before if not path.startswith("/root/")}
    assert left == set()
    assert (root.directory / trace.removeprefix("/")).exists()
