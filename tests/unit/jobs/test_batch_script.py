"""The comment that a batch script asks for, by sbatch's own rules."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from datacrumbs.jobs.batch_script import found_script, script_comment


@pytest.mark.parametrize(
    ("lines", "comment"),
    [
        ("", None),
        ("#SBATCH --comment=mine", "mine"),
        ("#SBATCH --comment mine", "mine"),
        ("#SBATCH -n 2 --comment=mine --hold", "mine"),
        ('#SBATCH --comment="a b" -n 2', "a b"),
        ("#SBATCH --comment='a \"b\"'", 'a "b"'),
        ("#SBATCH --comment=a\\ b\\#c", "a b#c"),
        ("#SBATCH --comment='it\\'s'", "it's"),
        ("#SBATCH --comment=a # not this", "a"),
        ("#SBATCH --comment='a # b'", "a # b"),
        ("#SBATCH --comment='{\"a\":1}'", '{"a":1}'),
        ("#SBATCH --comment=", ""),
        ("#SBATCH --comment=a\n# a note\n\n  \n#SBATCH --comment=b", "b"),
        ("##SBATCH --comment=a\n #SBATCH --comment=b", None),
        ("echo x\n#SBATCH --comment=a", None),
        ("#SBATCH --comment=ü\udcff", "ü\udcff"),
    ],
)
def test_a_comment_in_a_script(lines: str, comment: str | None) -> None:
    assert script_comment(f"#!/bin/sh\n{lines}\nsrun app\n") == comment


def test_where_a_script_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("here.sh", "bin/there.sh", "bin/here.sh"):
        (tmp_path / name).write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    assert found_script("here.sh") == Path("here.sh")
    assert found_script("there.sh") == tmp_path / "bin/there.sh"
    assert found_script("bin/there.sh") == Path("bin/there.sh")
    assert found_script("absent.sh") is None
    assert found_script("./absent.sh") is None
