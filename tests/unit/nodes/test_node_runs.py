"""A run is on all nodes or on none, whatever single nodes answer."""

from __future__ import annotations

import signal
import subprocess
import sysconfig
from pathlib import Path

import pytest

from datacrumbs.nodes import fan_out
from datacrumbs.nodes.fan_out import Access
from datacrumbs.nodes.node_runs import WRAPPER, RunOrder, start_on_nodes, stop_on_nodes

from ...waiting import until  # noqa: TID252 - a helper of all tests

# What the product's command does on a node, by the node's name.
NODE = """#!/bin/sh
RUNS={directory}/$NODE.run
case $* in
*" start "*)
	echo "$*" > {directory}/$NODE.words
	case $NODE in
	wrong*) echo "datacrumbs_service_wrapper: not trusted here" >&2; echo "  hint: copy the key" >&2; exit 3 ;;
	used*) touch $RUNS; echo "datacrumbs_service_wrapper: run r goes on here already" >&2; exit 1 ;;
	lost*) touch $RUNS; exit 255 ;;
	late*) exit 255 ;;
	slow*) touch $RUNS; exec sleep 1000 ;;
	esac
	echo /traces/$NODE.pfw.gz; touch $RUNS
	;;
*)
	[ -e $RUNS ] || exec echo none
	case $NODE in *stuck) echo "datacrumbs_service_wrapper: still being completed" >&2; exit 1 ;; esac
	rm $RUNS
	;;
esac
"""
SCRIPTS = Path(sysconfig.get_path("scripts"))
SECONDS = 300.0


@pytest.fixture
def access(programs: Path) -> Access:
    (programs / WRAPPER).write_text(NODE.format(directory=programs))
    (programs / WRAPPER).chmod(0o755)
    return Access(programs)


def order(*, keep_going: bool = False, seconds: float = SECONDS) -> RunOrder:
    return RunOrder("r", "alice", "/home/alice/it's $HOME.json.gz", "/", seconds, keep_going)


def running(access: Access) -> set[str]:
    return {path.stem for path in access.programs.glob("*.run")}


def test_all_well(access: Access) -> None:
    result = start_on_nodes(order(), ("node2", "node1"), access)
    assert [(each.node, each.state, each.words) for each in result.states] == [
        ("node2", "ready", "/traces/node2.pfw.gz"),
        ("node1", "ready", "/traces/node1.pfw.gz"),
    ]
    words = (access.programs / "node1.words").read_text()
    assert words == f"--timeout {SECONDS:g} --prefix / start r alice /home/alice/it's $HOME.json.gz\n"
    ended = stop_on_nodes("r", "/", ("node1", "node2", "node3"), access, SECONDS)
    assert [each.state for each in ended.states] == ["complete", "complete", "none"]
    assert running(access) == set()


@pytest.mark.parametrize(
    ("bad", "state", "left"),
    [
        ("wrong1", "failed", set()),
        ("absent1", "unreachable", set()),
        ("lost1", "ended", set()),  # it had begun before the connection was lost
        ("used1", "failed", {"used1"}),  # that run is another one's
    ],
)
def test_what_was_started_is_ended_where_one_fails(access: Access, bad: str, state: str, left: set[str]) -> None:
    result = start_on_nodes(order(), ("node1", bad, "node2"), access)
    assert [each.state for each in result.states] == ["ended", state, "ended"]
    assert running(access) == left
    assert not result.interrupted


def test_it_goes_on_where_it_started_if_that_is_wanted(access: Access) -> None:
    result = start_on_nodes(order(keep_going=True), ("node1", "wrong1", "absent1"), access)
    assert [each.state for each in result.states] == ["ready", "failed", "unreachable"]
    assert result.states[1].words == "not trusted here; copy the key"
    assert running(access) == {"node1"}


def test_a_node_that_does_not_answer_is_asked_to_end_it(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fan_out, "BEYOND_SECONDS", 0.0)
    result = start_on_nodes(order(seconds=5.0), ("node1", "slow1"), access)
    # That of a machine which has no 5 s for the start: no answer, and no run that could be ended.
    assert {each.state for each in result.states} <= {"ended", "no answer"}
    assert running(access) == set()


def test_a_node_whose_start_may_come_yet_is_named(access: Access) -> None:
    result = start_on_nodes(order(), ("node1", "late1"), access)
    assert [each.state for each in result.states] == ["ended", "unreachable"]
    assert result.states[1].words.endswith("it may begin there yet: datacrumbs_stop ends it")
    assert not result.is_settled
    assert start_on_nodes(order(), ("node1", "lost1", "wrong1"), access).is_settled


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        (
            "node1,wrong1",
            "did not begin on all nodes, and was ended on the others\n  hint: --keep-going leaves it there",
        ),
        ("wrong1", "did not begin on any node"),
        ("absent1", "did not begin on any node; where a node has not said that it ended, it may go on or begin yet"),
        ("node1-stuck,wrong1", "is ready on 1 of 2 nodes; end it with datacrumbs_stop"),
    ],
)
def test_what_is_said_of_all(access: Access, nodes: str, words: str) -> None:
    options = ["--node-list", nodes, "--probe-file", "/probes.json.gz", "--run-id", "r", "--user", "alice"]
    command = [SCRIPTS / "datacrumbs_run", *options, "--programs", access.programs]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert f"run r {words}" in result.stderr
    assert ("--keep-going" in result.stderr) == ("--keep-going" in words)


def test_a_node_where_it_cannot_be_ended_is_named(access: Access) -> None:
    result = start_on_nodes(order(), ("node1-stuck", "wrong1"), access)
    assert [each.state for each in result.states] == ["ready", "failed"]
    assert result.states[0].words == "/traces/node1-stuck.pfw.gz; it may go on there: still being completed"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_start_that_is_interrupted_is_ended(access: Access, number: int) -> None:
    options = ["--node-list", "node1,slow1", "--probe-file", "/probes.json.gz", "--run-id", "r", "--user", "alice"]
    command = [SCRIPTS / "datacrumbs_run", *options, "--programs", access.programs]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: running(access) == {"node1", "slow1"})
    process.send_signal(number)
    output, messages = process.communicate(timeout=SECONDS)
    assert (process.returncode, running(access)) == (130, set()), messages
    assert [line.split()[:2] for line in output.splitlines()] == [["node1", "ended"], ["slow1", "ended"]]
