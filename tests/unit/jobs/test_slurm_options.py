"""Where the options of SLURM's commands end, and which of them is the comment."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from datacrumbs.jobs.slurm_options import COMMANDS, SALLOC, SBATCH, SRUN, components, without_own

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("command", "words", "end", "comment"),
    [
        (SBATCH, [], 0, None),
        (SBATCH, ["job.sh", "--comment=x"], 0, None),
        (SBATCH, ["--comment=a", "job.sh"], 1, "a"),
        (SBATCH, ["--comment", "a b", "job.sh"], 2, "a b"),
        (SBATCH, ["--comm=a", "--comment=b=c", "job.sh"], 2, "b=c"),
        (SBATCH, ["-n4", "-p", "debug", "-vQ", "--hold", "--wait", "job.sh"], 6, None),
        (SBATCH, ["-vn", "4", "job.sh"], 2, None),
        (SBATCH, ["-W", "job.sh"], 1, None),
        (SBATCH, ["-koff", "job.sh"], 1, None),
        (SBATCH, ["--nodes", "2", "--exclusive", "job.sh"], 3, None),
        (SBATCH, ["-b", "now", "job.sh"], 2, None),
        (SBATCH, ["--comment"], 1, None),
        (SBATCH, ["--", "--comment=x"], 0, None),
        (SALLOC, ["-K", "sh", "-c", "x"], 1, None),
        (SALLOC, ["-IK", "sh"], 1, None),
        (SRUN, ["-W", "5", "-l", "app"], 3, None),
        (SRUN, ["--pty", "--wait", "5", "app", "--comment", "x"], 3, None),
    ],
)
def test_one_component(command, words, end, comment) -> None:
    (found,) = components(command, words)
    assert (found.begin, found.end) == (0, end)
    assert (found.comment.value if found.comment else None) == comment


def test_several_components() -> None:
    found = components(SALLOC, ["-n1", "--comment=a", ":", "-n", "2", ":", "-n3", "sh", ":"])
    assert [(each.begin, each.end, each.comment is not None) for each in found] == [
        (0, 2, True), (3, 5, False), (6, 7, False),
    ]  # fmt: skip


def test_our_own_options_go_from_wherever_they_are() -> None:
    words = ["-n", "2", "--datacrumbs-probe-file", "/p q", "-v", "--datacrumbs-enable", "--comment=x", "job.sh"]
    own, rest = without_own(SBATCH, [*words, "--datacrumbs-probe-file=script's own"])
    assert own == ["--datacrumbs-probe-file", "/p q", "--datacrumbs-enable"]
    assert rest == ["-n", "2", "-v", "--comment=x", "job.sh", "--datacrumbs-probe-file=script's own"]


_SHOWN = re.compile(r"^ +(?:-(\w), )?--([\w-]+)(?:(\[?=)|  )")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_installed_version_takes_no_other_options_without_a_value(name: str, tmp_path: Path) -> None:
    """By its help, which calls one option that needs a value as if it needed none."""
    program = shutil.which(name)
    if program is None:
        pytest.skip("SLURM is not installed")
    configuration = tmp_path / "slurm.conf"
    configuration.write_text("ClusterName=x\nSlurmctldHost=localhost\nNodeName=localhost\n")
    environment = {"SLURM_CONF": str(configuration)}
    done = subprocess.run([program, "--help"], check=True, capture_output=True, text=True, env=environment, timeout=300)
    found = [match.groups() for line in done.stdout.splitlines() if (match := _SHOWN.match(line))]
    bare = {(letter, option) for letter, option, value in found if not value and option != "container"}
    valued = {(letter, option) for letter, option, value in found if value == "="}
    command = COMMANDS[name]
    assert {option for _, option in bare} - command.flags == set()
    assert {letter for letter, _ in bare if letter} - set(command.letters + command.attached) == set()
    assert {option for _, option in valued} & command.flags == set()
    assert {letter for letter, _ in valued if letter} & set(command.letters + command.attached) == set()
