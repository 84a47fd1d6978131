"""What is asked of nodes, and what they answer: by a ssh that runs the command line in a shell here, as sshd does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from datacrumbs.errors import DatacrumbsError
from datacrumbs.nodes import fan_out
from datacrumbs.nodes.fan_out import Access, NodeOutcome, ask, folded, node_names

from ...waiting import until  # noqa: TID252 - a helper of all tests

HOSTILE = (
    "",
    "a b",
    "'",
    '"',
    "$(id)",
    "`id`",
    "%hosts",
    "%{hosts}",
    "%%",
    "%h",
    "\n",
    "-o",
    "ü",
    "!",
    "\\",
)
BOUND = 300.0


def script(directory: Path, text: str) -> Access:
    path = directory / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return Access(directory)


def test_words_arrive_as_they_are(programs: Path) -> None:
    access = Access(programs)
    path = programs / "program"
    path.write_text(f"#!{sys.executable}\nimport sys\nprint(ascii(sys.argv[1:]))\n")
    path.chmod(0o755)
    (answer,) = ask(("node1",), access.command_line("program", HOSTILE), access, BOUND).answers
    assert (answer.outcome, answer.output) == (NodeOutcome.DONE, (ascii(list(HOSTILE)),))


def test_every_node_answers_for_itself_and_in_order(programs: Path) -> None:
    text = 'echo "I am $NODE"; case $NODE in *3) echo "datacrumbs_x: no" >&2; echo "  hint: never" >&2; exit 2;; esac'
    access = script(programs, text)
    found = ask(("node2", "absent1", "node3", "node1"), access.command_line("program", ()), access, BOUND)
    assert not found.interrupted
    assert [(each.node, each.outcome, each.status) for each in found.answers] == [
        ("node2", NodeOutcome.DONE, 0),
        ("absent1", NodeOutcome.UNREACHED, 255),
        ("node3", NodeOutcome.FAILED, 2),
        ("node1", NodeOutcome.DONE, 0),
    ]
    assert [each.output for each in found.answers] == [("I am node2",), (), ("I am node3",), ("I am node1",)]
    assert [each.last_message for each in found.answers] == [
        "",
        "ssh: Could not resolve hostname absent1: Name or service not known",
        "no; never",
        "",
    ]
    assert [each.is_definite for each in found.answers] == [True, False, True, True]


def test_what_is_given_is_read_by_all(programs: Path) -> None:
    access = script(programs, "cat")
    found = ask(("node1", "node2"), access.command_line("program", ()), access, BOUND, b"one\ntwo\n")
    assert [each.output for each in found.answers] == [("one", "two")] * 2


def test_a_node_that_is_too_slow(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fan_out, "BEYOND_SECONDS", 0.0)
    access = script(programs, "case $NODE in *2) exec sleep 1000;; esac; exit 0")
    found = ask(("node1", "node2"), access.command_line("program", ()), access, 5.0)
    first, second = found.answers
    assert first.outcome in {NodeOutcome.DONE, NodeOutcome.SILENT}  # a machine that has no 5 s for it
    assert (second.outcome, second.is_definite) == (NodeOutcome.SILENT, False)


@pytest.mark.parametrize("endless", ["yes", "tr '\\0' x < /dev/zero", "yes >&2"])
def test_a_node_that_prints_without_end(programs: Path, endless: str) -> None:
    access = script(programs, f"case $NODE in *2) {endless};; esac; echo well")
    first, second = ask(("node1", "node2"), access.command_line("program", ()), access, BOUND).answers
    assert (first.outcome, first.output) == (NodeOutcome.DONE, ("well",))
    assert (second.outcome, second.is_definite, second.output) == (NodeOutcome.SILENT, False, ())
    assert second.last_message == "its answer is too long, and was not read to its end"


def test_a_node_whose_answer_is_nested_without_end_hides_no_other(programs: Path) -> None:
    """Set-up reads JSON of nodes."""
    path = programs / "datacrumbs_cluster_setup"
    path.write_text(f"#!{sys.executable}\nimport os\nprint('[' * 3001 if os.environ['NODE'] == 'node1' else '[]')\n")
    path.chmod(0o755)
    own = Path(sysconfig.get_path("scripts")) / "datacrumbs_cluster_setup"
    command = [own, "--stage", "all", "--node-list", "node[1-2]", "--programs", programs]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert [line.split() for line in done.stdout.splitlines()] == [["node1", "done"], ["node2", "done"]], done.stderr


def test_an_interrupted_wait_gives_what_there_is(programs: Path) -> None:
    """In a process of its own, and again after it: what is asked next must not be hurt."""
    script(programs, f"touch {programs}/begun-$NODE; case $NODE in *2) exec sleep 1000;; esac")
    ours = (
        "from pathlib import Path\n"
        "from datacrumbs.nodes.fan_out import Access, ask\n"
        f"access = Access(Path({str(programs)!r}))\n"
        "for nodes in (('node1', 'node2'), ('node3',)):\n"
        "    found = ask(nodes, access.command_line('program', ()), access, 60.0)\n"
        "    print(found.interrupted, *(each.outcome for each in found.answers), flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", ours], stdout=subprocess.PIPE, text=True)
    until((programs / "begun-node2").exists)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=BOUND)
    first, second = output.splitlines()
    assert first in {"True done interrupted", "True interrupted interrupted"}
    assert second == "False done"


@pytest.mark.parametrize(
    "text",
    ["", ",", "-oProxyCommand=x", "a b", "node[1-", "node[4-1]", "a;b", "node%", "a\nb", "root@node1", "x/y", "ü"],
)
def test_no_list_of_nodes(text: str) -> None:
    with pytest.raises(DatacrumbsError, match="--node-list") as refused:
        node_names(text)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    "text",
    [
        "node[1-100000000]",
        "node[1-1_000_000_000]",
        "node[-100000000-5]",
        "node[1-1000][1-1000]",
        "a,b[7,0-99999999/3]!b[1-5]",
        "@none[1-100000000]",
        "node[0-65536]",
        f"node[0-{'9' * 90}]",
    ],
)
def test_more_nodes_than_there_are_anywhere(text: str) -> None:
    with pytest.raises(DatacrumbsError, match="it names more than 65,536 nodes") as refused:
        node_names(text)
    assert refused.value.exit_code == 2


def test_a_group_that_is_not_there(programs: Path) -> None:
    with pytest.raises(DatacrumbsError, match="no such group here, or an empty one"):
        node_names("@nogroup")


@pytest.mark.skipif(os.geteuid() != 0, reason="is about what root takes")
@pytest.mark.parametrize("variable", ["HOME", "XDG_CONFIG_HOME", "CLUSTERSHELL_CFGDIR"])
@pytest.mark.parametrize("owner", [0, 4711])
def test_root_runs_no_command_of_a_users_configuration(tmp_path: Path, variable: str, owner: int) -> None:
    """ClusterShell asks commands for the nodes of a group, also those that sudo's caller has at home."""
    below = {"HOME": ".config/clustershell", "XDG_CONFIG_HOME": "clustershell", "CLUSTERSHELL_CFGDIR": "."}[variable]
    place = tmp_path / "place"
    (place / below).mkdir(parents=True)
    (place / below / "groups.conf").write_text(f"[Main]\ndefault: x\n[x]\nmap: touch {tmp_path}/ran; echo node1\n")
    os.chown(place, owner, owner)
    code = "from datacrumbs.nodes.fan_out import node_names; print(*node_names('@x'))"
    environment = {"PATH": os.environ["PATH"], variable: str(place)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert (tmp_path / "ran").exists() == (owner == 0)
    assert done.stdout == ("node1\n" if owner == 0 else "")
    assert (f"{variable}={place}: users other than root can change it" in done.stderr) == (owner != 0)


def test_lists_of_nodes() -> None:
    assert len(node_names("node[1-65536]")) == 65536
    assert node_names("node[1-100000/50000]") == ("node1", "node50001")
    assert node_names("node[1-3,7]") == ("node1", "node2", "node3", "node7")
    assert node_names("n[01-03]!n02") == ("n01", "n03")
    assert node_names("b,a.example.org,b") == ("a.example.org", "b")
    assert folded(("node3", "node1", "node2")) == "node[1-3]"


def test_root_by_sudo_and_another_user(programs: Path) -> None:
    assert Access(programs, by_sudo=True).command_line("x", ("y",)) == f"sudo -n -- {programs}/x y"
    (programs / "ssh").write_text(f'#!/bin/sh\necho "$@" > {programs}/words\n')
    access = Access(programs, login="root")
    ask(("node1",), access.command_line("x", ()), access, BOUND)
    assert "-l root " in (programs / "words").read_text()


def test_without_clustershell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datacrumbs.nodes.cluster_shell", None)
    monkeypatch.delattr("datacrumbs.nodes.cluster_shell", raising=False)
    with pytest.raises(DatacrumbsError, match="ClusterShell is not installed"):
        node_names("node1")
