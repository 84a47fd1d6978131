"""Links where schedulers look: made, kept, and taken back without a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from datacrumbs.errors import DatacrumbsError
from datacrumbs.install.scheduler_links import HOOKS_STAGE, LINKS, PLUGIN_STAGE, scheduler_of
from datacrumbs.system import SystemPaths

from .installing import link, unlink

if TYPE_CHECKING:
    from pathlib import Path

STAGES = (HOOKS_STAGE, PLUGIN_STAGE)


@pytest.fixture
def paths(tmp_path: Path) -> SystemPaths:
    """A host with both schedulers and all that they are to call; one of their directories has somebody's file."""
    paths = SystemPaths(tmp_path)
    for each in LINKS:
        hook = paths.configuration / each.hook
        hook.parent.mkdir(parents=True, exist_ok=True)
        hook.touch()
    (tmp_path / "etc/slurm/prolog.d").mkdir(parents=True)
    (tmp_path / "etc/slurm/prolog.d/others").touch()
    (tmp_path / "etc/flux/system/epilog.d").mkdir(parents=True)
    return paths


def tree(paths: SystemPaths) -> set[Path]:
    return set(paths.prefix.rglob("*"))


def test_made_kept_and_taken_back(paths: SystemPaths) -> None:
    before = tree(paths)
    made = [step for stage in STAGES for step in link(paths, stage)]
    assert {step.state for step in made} == {"made"}
    for each in LINKS:
        place = paths.prefix / each.scheduler / each.place
        assert place.readlink() == paths.configuration / each.hook
        assert place.exists()
    assert {step.state for stage in STAGES for step in link(paths, stage)} == {"kept"}
    removed = [step for stage in reversed(STAGES) for step in unlink(paths, stage)]
    assert {step.state for step in removed} == {"removed"}
    assert tree(paths) == before
    assert [step for stage in STAGES for step in unlink(paths, stage)] == []


def test_stages_are_taken_back_apart_and_others_files_stay(paths: SystemPaths) -> None:
    for stage in STAGES:
        list(link(paths, stage))
    with_plugin_alone = tree(paths)
    list(unlink(paths, HOOKS_STAGE))
    list(link(paths, HOOKS_STAGE))
    assert tree(paths) == with_plugin_alone
    (paths.prefix / "etc/slurm/epilog.d/others").touch()
    steps = {step.what: step.state for step in unlink(paths, HOOKS_STAGE)}
    assert steps[str(paths.prefix / "etc/slurm/epilog.d")] == "kept"
    assert (paths.prefix / "etc/flux/cli/plugins/datacrumbs.py").exists()


def test_a_dry_run_changes_nothing(paths: SystemPaths) -> None:
    before = tree(paths)
    planned = [step.what for stage in STAGES for step in link(paths, stage, dry_run=True)]
    assert tree(paths) == before
    assert planned == [step.what for stage in STAGES for step in link(paths, stage)]
    made = tree(paths)
    assert list(unlink(paths, HOOKS_STAGE, dry_run=True))
    assert tree(paths) == made


def test_only_of_schedulers_that_are_here(tmp_path: Path) -> None:
    steps = [(step.state, step.what) for stage in STAGES for step in link(SystemPaths(tmp_path), stage)]
    assert set(steps) == {("absent", str(tmp_path / "etc/slurm")), ("absent", str(tmp_path / "etc/flux"))}


@pytest.mark.parametrize("other", ["file", "link", "directory"])
def test_what_is_somebody_elses_is_not_touched(paths: SystemPaths, other: str) -> None:
    place = paths.prefix / "etc/slurm/prolog.d/datacrumbs"
    if other == "file":
        place.write_text("own")
    elif other == "link":
        place.symlink_to("/own")
    else:
        place.mkdir()
    before = tree(paths)
    with pytest.raises(DatacrumbsError, match="exists and is not the link to"):
        list(link(paths, HOOKS_STAGE))
    assert list(unlink(paths, HOOKS_STAGE)) == []
    assert tree(paths) == before


def test_nothing_is_linked_that_is_not_there(paths: SystemPaths) -> None:
    (paths.configuration / "slurm/prolog").unlink()
    with pytest.raises(DatacrumbsError, match="slurm/prolog: not there"):
        list(link(paths, HOOKS_STAGE))


def test_a_directory_that_others_can_change_gets_no_link(paths: SystemPaths) -> None:
    (paths.prefix / "etc/slurm/prolog.d").chmod(0o777)
    with pytest.raises(DatacrumbsError, match="writable by others"):
        list(link(paths, HOOKS_STAGE))


PROLOG, EPILOG = "Prolog={0}/etc/slurm/prolog.d/*", "Epilog={0}/etc/slurm/epilog.d/*"


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("", [PROLOG, EPILOG]),
        (f"{PROLOG}\nepilog = {{0}}/etc/slurm/epilog.d/d*\n", []),
        (f"Prolog={{0}}/etc/datacrumbs/slurm/prolog\n#{EPILOG}\n", [EPILOG]),
        (f"PrologSlurmctld={{0}}/etc/slurm/prolog.d/*\n{EPILOG}", [PROLOG]),
    ],
)
def test_it_is_said_what_slurm_is_not_told(paths: SystemPaths, text: str, missing: list[str]) -> None:
    task = f"TaskProlog={paths.prefix}/etc/datacrumbs/slurm/task_prolog"
    (paths.prefix / "etc/slurm/slurm.conf").write_text(f"{text.format(paths.prefix)}\n")
    notes = [step.note for step in link(paths, HOOKS_STAGE) if step.state == "missing"]
    assert notes == [f"has no {each.format(paths.prefix)}" for each in [*missing, task]]
    with (paths.prefix / "etc/slurm/slurm.conf").open("a") as stream:
        stream.write(f"{task}\n")
    assert f"has no {task}" not in [step.note for step in link(paths, HOOKS_STAGE)]


def test_which_scheduler_a_path_is_of(paths: SystemPaths) -> None:
    assert scheduler_of(paths, str(paths.prefix / "etc/slurm/prolog.d/x")) == "etc/slurm"
    assert scheduler_of(paths, str(paths.prefix / "etc/slurmish/x")) is None
