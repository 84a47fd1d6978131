"""What every console script keeps: an example in its help, its version, exit 2 for what it does not know."""

from __future__ import annotations

from importlib.metadata import distribution

import pytest

from datacrumbs.commands._registry import command_named

from .scripts import COMMANDS, LAUNCHER, SCRIPTS, run

VERSION = distribution("datacrumbs").version
# What a command asks for before it complains about anything else.
REQUIRED = {
    "datacrumbs": ["probes.json.gz"],
    "datacrumbs_cluster_setup": ["--stage", "all"],
    "datacrumbs_completion": ["bash"],
    "datacrumbs_mark": ["1"],
    "datacrumbs_report": ["trace.pfw.gz"],
    "datacrumbs_run": ["--node-list", "node1", "--probe-file", "probes.json.gz"],
    "datacrumbs_service_wrapper": ["stop", "job"],
    "datacrumbs_stop": ["run"],
    "datacrumbs_track": ["--executable", "program"],
    "datacrumbs_trust": ["list"],
    "datacrumbs_untrack": ["--executable", "program"],
}

OF_SLURM = {"datacrumbs_salloc", "datacrumbs_sbatch", "datacrumbs_srun"}  # other options are SLURM's


def test_every_command_of_the_seed_is_there() -> None:
    assert {
        "datacrumbs", "datacrumbs_doctor", "datacrumbs_probe_configurator", "datacrumbs_report", "datacrumbs_setup",
        "datacrumbs_sign_probes", "datacrumbs_track", "datacrumbs_untrack",
    } <= set(COMMANDS)  # fmt: skip
    assert (SCRIPTS / LAUNCHER).exists()


@pytest.mark.parametrize("command", [*COMMANDS, LAUNCHER])
def test_help_has_an_example(command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    assert done.stderr == ""
    _, marker, example = done.stdout.partition("example")
    assert marker, done.stdout
    assert command in example


@pytest.mark.parametrize("command", [*COMMANDS, LAUNCHER])
def test_version(command: str) -> None:
    done = run(command, "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{command} {VERSION}\n", "")


@pytest.mark.parametrize("command", [*COMMANDS, LAUNCHER])
def test_unknown_option(command: str) -> None:
    option = "--datacrumbs-no-such-option" if command in OF_SLURM else "--no-such-option"
    done = run(command, *REQUIRED.get(command, []), option)
    assert done.returncode == 2
    assert done.stdout == ""
    assert option in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("command", "words"),
    [
        *(("report", [option, ""]) for option in ("--sort", "--explain", "--compare", "--html", "--export")),
        *(("report", [option, ""]) for option in ("--name", "--path", "--not-path")),
        *(("record", [option, "", "true"]) for option in ("--site", "--preset", "--probe-file", "--output")),
        *(("probe_configurator", ["a", "b", option, ""]) for option in ("--program", "--root", "--providers")),
        *(("probe_configurator", ["a", "b", option, ""]) for option in ("--without", "--preset")),
        ("top", [""]),
        ("report", [""]),
    ],
)
def test_an_empty_value_is_not_the_default(command: str, words: list[str], capsys) -> None:
    """As one from a variable of a script that is not set."""
    with pytest.raises(SystemExit) as ended:
        command_named(command).parse(words)
    assert (ended.value.code, "an empty name" in capsys.readouterr().err) == (2, True)
