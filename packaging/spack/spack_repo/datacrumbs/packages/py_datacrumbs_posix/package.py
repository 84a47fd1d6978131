# SPDX-License-Identifier: MIT
"""A provider, which is a package of its own."""

from spack_repo.builtin.build_systems.python import PythonPackage

from spack.package import *


class PyDatacrumbsPosix(PythonPackage):
    """DataCrumbs provider for the C library: POSIX calls and buffered streams."""

    # There is no archive to fetch: spack develop --no-clone --path CHECKOUT py-datacrumbs-posix@0.1.0
    manual_download = True
    build_directory = "providers/posix"

    license("MIT AND GPL-2.0-only")

    version("0.1.0")

    depends_on("python@3.11:", type=("build", "run"))
    depends_on("py-setuptools@77:", type="build")
    depends_on("py-datacrumbs@0.1", type=("build", "run"))
