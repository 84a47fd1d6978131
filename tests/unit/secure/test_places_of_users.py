"""Where root puts what it reads again."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from datacrumbs.secure.places_of_users import TEMPORARY

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="gives directories away")
CODE = """
import sys, tempfile
from datacrumbs.commands._main import main
class Command:
    program = "test"
    def parse(self, words, called): return type("O", (), {"verbosity": 0, "prefix": None})
    def load(self): return lambda _: print(tempfile.gettempdir())
sys.exit(main(Command(), []))
"""


@pytest.mark.parametrize("owner", [0, 12345])
@pytest.mark.parametrize("variable", [name for name in TEMPORARY if name.startswith("T")])
def test_root_keeps_nothing_where_another_user_can_exchange_it(tmp_path: Path, variable: str, owner: int) -> None:
    """A report reads again there what it has put aside; TMPDIR is a user's under ``sudo -E``."""
    place = tmp_path / "place"
    place.mkdir()
    os.chown(place, owner, owner)
    environment = {"PATH": os.environ["PATH"], variable: str(place)}
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env=environment)
    assert (done.stdout.strip() == str(place)) == (owner == 0)
    assert (f"{variable}={place}: users other than root can change it" in done.stderr) == (owner != 0)


def test_a_place_where_all_may_make_files_is_taken(tmp_path: Path) -> None:
    """Nobody exchanges there what is another's (mode 1777)."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o1777)
    environment = {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path / "shared")}
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env=environment)
    assert (done.stdout, done.stderr) == (f"{tmp_path}/shared\n", "")
