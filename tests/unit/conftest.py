"""What the tests of several packages use: the synthetic trace, a process of a user without rights, no installation."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datacrumbs.commands._command import PREFIX_VARIABLE
from datacrumbs.system import SystemPaths

from ..conftest import load_module  # noqa: TID252

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

NOBODY = 65534
NOWHERE = "/proc/nowhere"  # where not even root can make anything
_HOST = SystemPaths()
HOSTS = (
    *map(os.fspath, (_HOST.configuration, _HOST.run, _HOST.state, _HOST.traces)),
    *(os.fspath(Path.home() / place / "datacrumbs") for place in (".cache", ".config")),
)
ABOVE = {"/", tempfile.gettempdir()}
_RIGHTS = {"os.chmod", "os.chown"}
_SEEN = {"open", "os.listdir", "os.scandir", "os.mkdir", "os.remove", "os.rename"} | _RIGHTS
_guarded: list[bool] = []


@pytest.fixture(scope="module", autouse=True)
def _no_installation() -> Iterator[None]:
    """Commands that are given no prefix find nothing installed and nothing of the user's own, whatever host this is."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in (PREFIX_VARIABLE, "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
            patch.setenv(variable, NOWHERE)
        _guarded.append(True)
        yield
        _guarded.clear()


def _hosts_own(event: str, arguments: tuple[object, ...]) -> None:
    if not _guarded or event not in _SEEN:
        return
    for name in arguments[:2]:
        if isinstance(name, (str, bytes, os.PathLike)):
            path = os.fsdecode(name)
            if path.startswith(HOSTS) or (event in _RIGHTS and path in ABOVE):
                pytest.fail(f"{event} of {path}, which is this host's own")


sys.addaudithook(_hosts_own)


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    """The synthetic trace, which the tests of the real readers use too."""
    return load_module(Path(__file__).resolve().parents[1] / "readers/synthetic.py")


@pytest.fixture(scope="session")
def made() -> ModuleType:
    """Traces made line by line."""
    return load_module(Path(__file__).resolve().with_name("made.py"))


@pytest.fixture
def paths(tmp_path: Path) -> SystemPaths:
    """Those of a private prefix with nothing in it."""
    paths = SystemPaths(tmp_path / "prefix")
    paths.prefix.mkdir()
    return paths


@pytest.fixture
def as_nobody():
    """Run a function in a child process that is nobody; gives what it printed or raised."""
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")

    def run(work) -> str:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            try:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                text = str(work())
            except BaseException as error:  # noqa: BLE001 - a child must not return into pytest
                text = f"{type(error).__name__}: {error}"
            os.write(writer, text.encode()[:60000])
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as stream:
            text = stream.read()
        os.waitpid(child, 0)
        return text

    return run
