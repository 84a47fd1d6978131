# SPDX-License-Identifier: MIT
"""The core. Of its dependencies Spack's own repository lacks isal, without which gzip is slower and works."""

from pathlib import Path

from spack_repo.builtin.build_systems.python import PythonPackage

from spack.package import *


class PyDatacrumbs(PythonPackage):
    """Trace a running program's I/O, layer by layer, with eBPF.

    The node that traces needs the system's own bcc (python3-bpfcc, python3-bcc) in the same version of Python.
    """

    # There is no archive to fetch: one of a checkout in the working directory, or `spack develop` (docs/run-a-site.md).
    url = f"file://{Path.cwd()}/datacrumbs-0.1.0.tar.gz"
    manual_download = True

    license("MIT AND GPL-2.0-only")

    version("0.1.0")

    variant("report", default=True, description="Read traces (py-polars, py-jinja2)")

    depends_on("c", type="build")
    depends_on("python@3.11:", type=("build", "run"))
    depends_on("py-setuptools@77:", type="build")
    depends_on("py-pluggy", type=("build", "run"))
    depends_on("py-pyyaml", type=("build", "run"))
    depends_on("py-cryptography", type=("build", "run"))
    depends_on("py-capstone", type=("build", "run"))
    depends_on("py-numpy", type=("build", "run"))
    depends_on("py-rich", type=("build", "run"))
    depends_on("py-polars", type=("build", "run"), when="+report")
    depends_on("py-jinja2", type=("build", "run"), when="+report")
