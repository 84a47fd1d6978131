"""A function that this kernel refuses to probe is left out of the next plan of its user, until something changes."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datacrumbs.probefile.storage import read_unverified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from datacrumbs.testing import Installation

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the library is for x86-64")
COMMANDS = Path(sysconfig.get_path("scripts"))
MAPPED = "import ctypes, sys; ctypes.CDLL(sys.argv[1]); print(flush=True); sys.stdin.read()"
SITE = "capture_probes:\n  - {name: layer, probe: uprobe, type: binary, file: LIBRARY, regex: layer_.*}\n"


class Refusing:
    """A library with a function that the kernel refuses while it is mapped, and probe files of it.

    Its build-id says that it is another one, in which there is nothing to be refused: so it looks on the host where the
    probe file is made, whose kernel is another one than the node's.
    """

    def __init__(self, installation: Installation, build: Callable[..., Path], directory: Path) -> None:
        self._installation, self._build, self.library = installation, build, directory / "liblayer.so"
        self._site, self.probes = directory / "layer.yaml", directory / "layer.json.gz"
        self._site.write_text(SITE.replace("LIBRARY", str(self.library)))
        self.build_id = hashlib.sha1(str(directory).encode(), usedforsecurity=False).hexdigest()
        self.have("plain")

    def have(self, kind: str) -> None:
        """Have a library of this kind."""
        words = ("-shared", "-fPIC", "-fcf-protection=none", f"-Wl,--build-id=0x{self.build_id}", f"-D{kind.upper()}")
        self.library.unlink(missing_ok=True)
        shutil.copy(self._build("unprobed.c", *words, name=f"lib{kind}{self.build_id}.so"), self.library)

    def compose(self, *options: str | Path) -> tuple[list[str], str]:
        """The functions of a new probe file, and what was said."""
        words = ("datacrumbs_probe_configurator", self._site, self.probes, *options)
        said = self._installation.command(*words, check=True).stderr
        return [function.symbol for function in read_unverified(self.probes).plan.functions], said

    def run(self, run: str) -> Path:
        """The trace of a run while a process has the library mapped."""
        with self._mapped(), self._installation.daemon(self.probes, run_id=run) as daemon:
            assert daemon.stop() == 0
        return daemon.trace

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        pipe = subprocess.PIPE
        with subprocess.Popen([sys.executable, "-c", MAPPED, self.library], stdin=pipe, stdout=pipe) as process:
            assert process.stdout is not None
            process.stdout.readline()
            yield
            process.communicate()


@pytest.fixture
def attach_results(installation: Installation) -> Iterator[Path]:
    """What this node remembers of failures; of those of a test nothing afterwards."""
    path = installation.prefix / "var/lib/datacrumbs/attach.sqlite"
    yield path
    path.unlink(missing_ok=True)


@pytest.fixture
def refusing(installation: Installation, build: Callable[..., Path], attach_results: Path, tmp_path: Path) -> Refusing:
    attach_results.unlink(missing_ok=True)
    made = Refusing(installation, build, tmp_path)
    assert made.compose()[0] == ["layer_add", "layer_call"]
    made.have("refused")
    return made


def test_it_is_left_out_with_a_note_and_a_way_back(refusing: Refusing) -> None:
    trace = refusing.run("refused")
    release = os.uname().release
    reason = f"on {os.uname().nodename}, kernel {release}: the kernel does not probe the instruction there"
    note = f"{refusing.library}: 1 function is left out (layer_add): it could not be probed before ({reason}; {trace})"
    refusing.have("plain")
    found, said = refusing.compose()
    assert found == ["layer_call"], said
    assert f"{note}; --no-known-failures keeps it" in said
    assert "layer_add" in refusing.compose("--no-known-failures")[0]
    assert refusing.compose("--known-failures", trace.parent)[0] == ["layer_call"]
    report = subprocess.run([COMMANDS / "datacrumbs_report", trace], capture_output=True, text=True, check=True)
    assert f"  not probed layer_add: {reason}\n" in report.stdout


def test_what_changed_is_tried_again(refusing: Refusing) -> None:
    refusing.run("changed")
    refusing.build_id = refusing.build_id[::-1]
    refusing.have("plain")
    assert refusing.compose()[0] == ["layer_add", "layer_call"]


def test_what_works_elsewhere_is_not_left_out(refusing: Refusing, attach_results: Path) -> None:
    """The same plan was run where the function can be probed."""
    probes = refusing.probes.read_bytes()
    refusing.run("first")
    refusing.have("plain")
    assert refusing.compose()[0] == ["layer_call"]
    attach_results.unlink()  # another node has one of its own
    refusing.probes.write_bytes(probes)
    refusing.run("second")
    assert refusing.compose()[0] == ["layer_add", "layer_call"]
