"""The RPM packages: built by Debian's rpmbuild, and installed by its rpm; no distribution with RPM is at hand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

import datacrumbs

from .conftest import REPOSITORY, run

pytestmark = pytest.mark.slow
PROVIDERS = ("hdf5", "mpi", "posix", "sys")
DD = ("dd", "if=/dev/zero", "of=/root/out", "bs=1", "status=none")
UNITS = (
    "datacrumbs@.service",
    *("datacrumbs_sign_probes.service", "datacrumbs_sign_probes.socket", "datacrumbs_sign_remote.socket"),
    *("datacrumbs_sign_relay.service", "datacrumbs_sign_relay.socket"),
)


@pytest.fixture(scope="module")
def rpms(source, tmp_path_factory):
    """The packages, by name."""
    top = tmp_path_factory.mktemp("rpm")
    name = f"datacrumbs-{datacrumbs.__version__}"
    (top / "SOURCES").mkdir()
    exclude = ("--exclude=./debian/copies", "--exclude=./debian/datacrumbs*", "--exclude=./.pybuild")
    run(
        "tar",
        "-c",
        *exclude,
        f"--transform=flags=r;s,^[.],{name},",
        "-zf",
        top / f"SOURCES/{name}.tar.gz",
        "-C",
        source,
        ".",
    )
    # Built as by somebody whose home has a cache of pip's.
    run(
        "rpmbuild",
        "-bb",
        "--define",
        f"_topdir {top}",
        "--define",
        "_binary_payload w1.zstdio",
        REPOSITORY / "packaging/datacrumbs.spec",
    )
    found = {run("rpm", "-qp", "--queryformat", "%{NAME}", file).stdout: file for file in top.glob("RPMS/*/*.rpm")}
    yield found
    shutil.rmtree(top)


def files(rpm):
    return set(run("rpm", "-qlp", rpm).stdout.splitlines())


def test_each_provider_is_a_package(rpms):
    assert set(rpms) == {"datacrumbs", *(f"datacrumbs-{name}" for name in PROVIDERS)}
    for name in PROVIDERS:
        found = files(rpms[f"datacrumbs-{name}"])
        assert any(file.endswith(f"/datacrumbs_{name}/__init__.py") for file in found)
        assert not any(f"/datacrumbs_{name}/" in file for file in files(rpms["datacrumbs"]))
        requires = run("rpm", "-qpR", rpms[f"datacrumbs-{name}"]).stdout
        assert f"datacrumbs = {datacrumbs.__version__}" in requires


def test_the_environment_is_whole_and_owned(rpms):
    found = files(rpms["datacrumbs"])
    assert found >= {f"/usr/lib/systemd/system/{unit}" for unit in UNITS}
    assert found >= {
        "/opt/datacrumbs/bin/datacrumbs_wrap",
        "/opt/datacrumbs/lib/datacrumbs/libdatacrumbs_client.so",
        "/usr/bin/datacrumbs_wrap",
        "/usr/lib/tmpfiles.d/datacrumbs.conf",
        "/usr/share/man/man8/datacrumbs.8",
    }
    assert any(file.endswith("/site-packages/polars/__init__.py") for file in found)
    outside = {file for file in found if not file.startswith(("/opt/datacrumbs", "/usr/"))}
    assert outside == set()


def test_nothing_names_the_place_where_it_was_built(rpms, tmp_path):
    chosen = ("opt/datacrumbs/bin/*", "opt/datacrumbs/pyvenv.cfg", "usr/lib/systemd/*")
    wanted = " ".join(f"'./{each}'" for each in chosen)
    program = f'rpm2cpio "$1" | cpio --quiet --extract --make-directories {wanted}'
    run("sh", "-c", program, "sh", rpms["datacrumbs"], cwd=tmp_path)
    assert (tmp_path / "opt/datacrumbs/bin/datacrumbs").read_text().startswith("#!/opt/datacrumbs/bin/python")
    unit = (tmp_path / "usr/lib/systemd/system/datacrumbs@.service").read_text()
    assert "ExecStart=/opt/datacrumbs/bin/python3 -I /opt/datacrumbs/bin/datacrumbs " in unit
    assert subprocess.run(["grep", "-rIl", "BUILDROOT", tmp_path], check=False, capture_output=True).stdout == b""


@pytest.mark.service
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts and changes the root directory")
def test_install_use_and_remove(rpms, root):
    """In a root of Debian, whose Python the environment was made with: the scripts and the files are what is tried."""
    before = root.files()
    rpm = ("rpm", "--root", root.directory, "--dbpath", "/var/lib/dpkg/rpm")
    run(*rpm, "--install", "--nodeps", *rpms.values())
    assert "(of the package)" in root.run("datacrumbs_setup").stdout
    trace = "/var/log/datacrumbs/29.pfw.gz"
    root.run("datacrumbs_record", "--no-report", "-o", trace, "--providers", "sys", "--", *DD, "count=29")
    shown = json.loads(root.run("datacrumbs_report", "--json", "--name", "write", trace).stdout)
    assert sum(row["count"] for row in shown["functions"]) == 29
    run(*rpm, "--erase", "--nodeps", *rpms)
    left = {path for path in root.files() - before if not path.startswith("/root/")}
    assert left == set()
    assert (root.directory / trace.removeprefix("/")).exists()
