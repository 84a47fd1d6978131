# SPDX-License-Identifier: MIT
"""A provider, which is a package of its own."""

from pathlib import Path

from spack_repo.builtin.build_systems.python import PythonPackage

from spack.package import *


class PyDatacrumbsPosix(PythonPackage):
    """DataCrumbs provider for the C library: POSIX calls and buffered streams."""

    # There is no archive to fetch: one of a checkout in the working directory, or `spack develop` (docs/run-a-site.md).
    url = f"file://{Path.cwd()}/datacrumbs-0.1.0.tar.gz"
    manual_download = True
    build_directory = "providers/posix"

    license("MIT AND GPL-2.0-only")

    version("0.1.0")

    depends_on("python@3.11:", type=("build", "run"))
    depends_on("py-setuptools@77:", type="build")
    depends_on("py-datacrumbs@0.1", type=("build", "run"))
