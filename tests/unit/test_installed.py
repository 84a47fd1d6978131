from __future__ import annotations

import os
import site
import sys
import tempfile
from pathlib import Path

import pytest

from datacrumbs.commands import _installing
from datacrumbs.commands._main import main
from datacrumbs.commands.report import COMMAND
from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.installed import changeable_code, user_packages
from datacrumbs.system import SystemPaths

pytestmark = pytest.mark.kernel  # needs root
NOBODY = 65534


@pytest.fixture
def users_directory():
    with tempfile.TemporaryDirectory(prefix="datacrumbs-code-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        os.chown(directory, NOBODY, NOBODY)
        yield directory


@pytest.fixture
def roots_directory():
    with tempfile.TemporaryDirectory(prefix="datacrumbs-code-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


def test_what_the_tests_run_is_roots(monkeypatch):
    monkeypatch.setattr(sys, "path", [part for part in sys.path if Path(part).is_dir()])
    assert changeable_code() is None


def test_a_directory_of_modules_that_a_user_owns(monkeypatch, users_directory):
    monkeypatch.syspath_prepend(str(users_directory))
    assert changeable_code() == users_directory


def test_a_directory_below_one_that_a_user_owns(monkeypatch, users_directory):
    below = users_directory / "packages"
    below.mkdir(mode=0o755)
    monkeypatch.syspath_prepend(str(below))
    assert changeable_code() == users_directory


def test_a_module_that_a_group_may_write(monkeypatch, roots_directory):
    module = roots_directory / "module.py"
    module.touch()
    module.chmod(0o664)
    monkeypatch.syspath_prepend(str(roots_directory))
    assert changeable_code() == module


def test_a_package_by_way_of_a_link(monkeypatch, roots_directory, users_directory):
    """Links that lead nowhere are passed over."""
    (roots_directory / "broken").symlink_to(roots_directory / "missing")
    (roots_directory / "loop").symlink_to("loop")
    package = users_directory / "package"
    package.mkdir(mode=0o755)
    monkeypatch.setattr(sys, "path", [str(roots_directory)])
    assert changeable_code() is None
    (roots_directory / "package").symlink_to(package)
    assert changeable_code() == users_directory


def test_an_editable_installation_that_a_module_finds(monkeypatch, roots_directory, users_directory):
    finder = roots_directory / "__editable___demo_1_0_finder.py"
    package, spaces = users_directory / "demo", roots_directory / "other"
    text = "from __future__ import annotations\nimport sys\nMAPPING: dict[str, str] = {}\n"
    finder.write_text(f"{text}NAMESPACES: dict[str, list[str]] = {{'x': [{str(spaces)!r}]}}\nPATH_PLACEHOLDER = 'x'\n")
    monkeypatch.setattr(sys, "path", [str(roots_directory)])
    assert changeable_code() is None
    finder.write_text(f"{text}MAPPING = {{'demo': {str(package)!r}}}\n")
    package.mkdir(mode=0o755)
    assert changeable_code() == users_directory


def test_a_command_by_way_of_a_users_link(monkeypatch, users_directory):
    link = users_directory / "python"
    link.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(link))
    assert changeable_code() == users_directory


def test_set_up_refuses_for_the_host_and_warns_for_a_private_tree(monkeypatch, users_directory, capsys):
    monkeypatch.syspath_prepend(str(users_directory))
    with pytest.raises(DatacrumbsError, match=f"{users_directory}: users other than root can change it") as caught:
        _installing.check_code(SystemPaths(Path("/")))
    assert caught.value.exit_code == ExitCode.REFUSED
    assert "make install" in caught.value.hint
    _installing.check_code(SystemPaths(users_directory))
    assert "warning" in capsys.readouterr().err


def test_root_takes_no_packages_of_a_user(monkeypatch, users_directory, capsys):
    monkeypatch.setattr(site, "ENABLE_USER_SITE", True)
    monkeypatch.setattr(site, "USER_SITE", str(users_directory))
    assert user_packages() is None  # not in the search path
    monkeypatch.syspath_prepend(str(users_directory))
    assert user_packages() == users_directory
    assert main(COMMAND, ["no trace"]) == ExitCode.REFUSED
    assert "sudo -H" in capsys.readouterr().err
