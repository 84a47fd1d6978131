"""Build hooks: the C is compiled into the wheel, the rest is in pyproject.toml.

The launcher becomes a script of the wheel, so that it is on PATH as the binary that it is; the
libraries and the header become data files, which an installer puts below the same prefix
(``bin/datacrumbs_wrap`` beside ``lib/datacrumbs/``). The launcher finds the library by that.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from setuptools import Distribution, setup
from setuptools.command.install_scripts import install_scripts

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:  # before setuptools 70, as in Debian 12
    from wheel.bdist_wheel import bdist_wheel

if TYPE_CHECKING:
    from collections.abc import Iterable

SOURCES = Path("datacrumbs/client/src")
INCLUDE = Path("datacrumbs/client/include")
LIBRARY = "libdatacrumbs_client.so"
SHIPPED = Path("systemd")
SHARED = Path("share")  # manual pages and completions, which scripts/docs.py writes
TRACE_SOURCES = Path("datacrumbs/trace/src")
TRACE_LIBRARY = "libdatacrumbs_trace.so"
LAUNCHER = "datacrumbs_wrap"

COMMON_FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-fvisibility=hidden", f"-I{INCLUDE}")
# The frame pointer makes the probed functions start with `push`; the library needs no C library.
MARK_FLAGS = ("-fno-omit-frame-pointer", "-fno-stack-protector")
LIBRARY_FLAGS = (
    "-fPIC",
    "-shared",
    "-nostdlib",
    "-ffreestanding",
    "-fno-tree-loop-distribute-patterns",
    f"-Wl,-soname,{LIBRARY}",
    "-Wl,-Bsymbolic,-z,now,-z,noexecstack,--build-id",
)
TRACE_FLAGS = ("-O3", "-fPIC", "-shared", f"-Wl,-soname,{TRACE_LIBRARY}", "-Wl,-z,now,-z,noexecstack,--build-id")
PORTABLE_MACHINES = ("__x86_64__", "__aarch64__")  # for which start.c begins in a way that every glibc knows
OLDEST_GLIBC = 17  # the lowest minor version that package indexes take in a name for both of them
LAUNCHER_FLAGS = ("-fPIE", "-pie", "-rdynamic", "-Wl,-z,now,-z,noexecstack,--build-id")


def compiler() -> list[str]:
    return shlex.split(os.environ.get("CC", "cc"))


def compile_c(output: Path, flags: tuple[str, ...], sources: list[Path]) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    command = [
        *compiler(),
        *COMMON_FLAGS,
        *shlex.split(os.environ.get("CFLAGS", "")),
        *flags,
        *map(str, sources),
        *shlex.split(os.environ.get("LDFLAGS", "")),
        "-o",
        str(output),
    ]
    try:
        subprocess.run(command, check=True)
    except FileNotFoundError:
        message = f"no C compiler: {command[0]} not found; install gcc or set CC"
        raise SystemExit(message) from None
    except subprocess.CalledProcessError as error:
        message = f"{output.name} does not compile (exit {error.returncode}): {shlex.join(command)}"
        raise SystemExit(message) from None


def predefined() -> set[str]:
    """The macros of the C library's and the compiler's own for the machine that is compiled for."""
    command = [*compiler(), "-E", "-dM", "-include", "features.h", "-x", "c", "/dev/null"]
    try:
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return set()  # compiling says what is wrong
    return {line.split()[1] for line in text.splitlines()}


def needed_glibc(files: Iterable[Path]) -> int | None:
    """The minor version of glibc 2 that these need, by the versions of symbols that they name; None for none."""
    found = [int(number) for file in files for number in re.findall(rb"\0GLIBC_2\.(\d+)", file.read_bytes())]
    return max(found, default=None)


def build_client(scripts: Path, data: Path, version: str) -> None:
    """Compile everything, for this machine or that of ``CC``.

    Args:
        scripts: Where the launcher belongs.
        data: The prefix of the libraries, the header and of all that is data.
        version: Of the distribution.

    """
    marks = SOURCES / "marks.c"
    launcher_flags = (*MARK_FLAGS, *LAUNCHER_FLAGS, f'-DDATACRUMBS_VERSION="{version}"')
    launcher_sources = [*(SOURCES / name for name in ("datacrumbs_wrap.c", "preload.c", "asking.c")), marks]
    macros = predefined()
    if "__GLIBC__" in macros and not macros.isdisjoint(PORTABLE_MACHINES):
        launcher_flags = (*launcher_flags, "-nostartfiles")
        launcher_sources.append(SOURCES / "start.c")
    compile_c(scripts / LAUNCHER, launcher_flags, launcher_sources)
    libraries = data / "lib/datacrumbs"
    compile_c(libraries / LIBRARY, (*MARK_FLAGS, *LIBRARY_FLAGS), [SOURCES / "datacrumbs_client.c", marks])
    compile_c(libraries / TRACE_LIBRARY, TRACE_FLAGS, sorted(TRACE_SOURCES.glob("*.c")))
    header = data / "include/datacrumbs.h"
    header.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(INCLUDE / "datacrumbs.h", header)
    shared = data / "share/datacrumbs"
    shared.mkdir(parents=True, exist_ok=True)
    for source in SHIPPED.iterdir():
        if source.suffix != ".md":
            shutil.copyfile(source, shared / source.name)
    shutil.copytree(SHARED, data / "share", dirs_exist_ok=True)


class ClientDistribution(Distribution):
    """Says what setuptools asks before it acts: there are scripts, though none is Python's, and machine code."""

    def has_scripts(self) -> bool:
        return True

    def has_ext_modules(self) -> bool:
        return True


class InstallClient(install_scripts):
    """Compiles to where the wheel's (or the editable wheel's) parts are gathered.

    Done here and not in the build step, because an editable wheel takes scripts from this command and
    has no other step that takes data files.
    """

    def run(self) -> None:
        super().run()
        data = Path(self.get_finalized_command("install_data").install_dir)
        build_client(Path(self.install_dir), data, self.distribution.get_version())


class PlatformWheel(bdist_wheel):
    """A wheel for this kind of machine and any Python 3: the C needs no interpreter."""

    def get_tag(self) -> tuple[str, str, str]:
        _, _, platform = super().get_tag()
        gathered = Path(self.bdist_dir)
        minor = needed_glibc([*gathered.rglob("libdatacrumbs_*.so"), *gathered.rglob(LAUNCHER)])
        if minor is not None and platform.startswith("linux_"):
            # A package index takes no other names, and pip compares the version with the host's.
            platform = platform.replace("linux_", f"manylinux_2_{max(minor, OLDEST_GLIBC)}_", 1)
        return "py3", "none", platform


if __name__ == "__main__":
    setup(
        distclass=ClientDistribution,
        cmdclass={"install_scripts": InstallClient, "bdist_wheel": PlatformWheel},
        scripts=[],
    )
