"""Jobs of users under a real SLURM: from `datacrumbs_sbatch` to one report over all nodes."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from datacrumbs.testing import read_lines

from .booted_site import dd
from .box import COMMANDS, started
from .cluster import PRIVATE, Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

SBATCH = str(COMMANDS / "datacrumbs_sbatch")
NODES = ("node1", "node2", "node3")
PLAIN = "node3"
RANKS = (101, 103, 107, 109)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with started(lambda: Cluster(NODES, PLAIN), "systemd-nspawn", "slurmctld", "munged") as made:
        yield made


@pytest.fixture(scope="module")
def probes(cluster: Cluster) -> str:
    return cluster.probes("alice")


@pytest.fixture(scope="module")
def endless(cluster: Cluster, probes: str) -> str:
    """A job that its time limit ends, which takes SLURM more than a minute: it begins before all others."""
    return submitted(cluster, probes, f"{dd(211)}\nsleep 1000", "-w", "node2", "--time=0:01")


@pytest.fixture(autouse=True)
def _no_node_is_drained(cluster: Cluster, endless: str) -> Iterator[None]:
    yield
    states = cluster.first.done("sinfo", "--noheader", "--Node", "--format=%T").split()
    assert not {"drained", "draining", "down", "down*", "drain"} & set(states), cluster.logs()


def submitted(cluster: Cluster, probes: str, script: str, *words: str) -> str:
    return cluster.submitted("alice", script, *words, by=SBATCH, DATACRUMBS_PROBE_FILE=probes)


def ended(cluster: Cluster, job: str, expected: dict[str, list[int]], run: str = "") -> None:
    cluster.ended(job)
    assert cluster.writes("alice", run or job) == expected, cluster.output("alice", job) + cluster.logs()


def test_a_batch_script_and_ten_steps(cluster: Cluster, probes: str) -> None:
    steps = f"for turn in 1 2 3 4 5 6 7 8 9 10; do srun -n1 {dd('$((100 + turn))')}; done"
    job = submitted(cluster, probes, f"{dd(97)}\n{steps}\n{dd(113)}", "-w", "node1", "-n1")
    ended(cluster, job, {"node1": [97, *range(101, 111), 113]})


def test_ranks_on_two_nodes_and_one_report(cluster: Cluster, probes: str) -> None:
    """On each node its own ranks only, though both nodes have one kernel here."""
    task = f"echo $SLURM_PROCID $SLURMD_NODENAME; exec {dd('$((100 + SLURM_PROCID))')}"
    job = submitted(cluster, probes, f"srun sh -c '{task}'\n{dd(53)}", "-w", "node1,node2", "--ntasks-per-node=2")
    cluster.ended(job)
    ranks: dict[str, list[int]] = {"node1": [53], "node2": []}
    for line in cluster.output("alice", job).splitlines():
        rank, node = line.split()
        ranks[node].append(100 + int(rank))
    assert {node: len(each) for node, each in ranks.items()} == {"node1": 3, "node2": 2}
    ended(cluster, job, {node: sorted(each) for node, each in ranks.items()})
    gathered = cluster.first.path("/home/alice/gathered")
    gathered.mkdir()
    traces = [trace for each in cluster.traces("alice", job).values() for trace in each]
    for trace in traces:
        shutil.copy(trace, gathered)
    cluster.first.done("chown", "--recursive", "alice", "/home/alice/gathered")
    report = cluster.first.done_product("datacrumbs_report", "/home/alice/gathered", "--json", user="alice")
    shown = {row["name"]: row["count"] for row in json.loads(report)["functions"]}
    assert shown["write"] == sum(len(read_lines(trace).named("write")) for trace in traces), report


def test_mpirun_over_two_nodes(cluster: Cluster, probes: str) -> None:
    counts = f"set -- {' '.join(map(str, RANKS))}; shift $OMPI_COMM_WORLD_RANK"
    task = f"{counts}; echo $1 $SLURMD_NODENAME $(hostname); exec {dd('$1')}"
    mpirun = "mpirun.openmpi --mca btl_tcp_if_include lo --mca oob_tcp_if_include lo -n 4 --map-by node"
    job = submitted(cluster, probes, f"{mpirun} bash -c '{task}'", "-w", "node1,node2", "--ntasks-per-node=2")
    cluster.ended(job)
    ranks: dict[str, list[int]] = {"node1": [], "node2": []}
    for line in cluster.output("alice", job).splitlines():
        if line.split()[0].isdigit():
            ranks[line.split()[2]].append(int(line.split()[0]))
    assert {node: len(each) for node, each in ranks.items()} == {"node1": 2, "node2": 2}, cluster.output("alice", job)
    ended(cluster, job, {node: sorted(each) for node, each in ranks.items()})


def test_without_systemd_and_without_control_groups(cluster: Cluster, probes: str) -> None:
    job = submitted(cluster, probes, f"{dd(101)}\nsrun -n2 {dd(103)}\n{dd(107)}", "-w", PLAIN, "-n2")
    ended(cluster, job, {PLAIN: [101, 103, 103, 107]})
    node = cluster.nodes[PLAIN]
    cluster.awaited(lambda: not list(node.path(f"{PRIVATE}/run/datacrumbs").glob(f"datacrumbs-{job}.*")))


def test_two_jobs_of_one_user_at_once_on_each_kind_of_node(cluster: Cluster, probes: str) -> None:
    """Each waits in its middle until the other one is there, too."""
    wait = "touch {own}; until [ -e {other} ]; do sleep 0.1; done"
    jobs = {}
    for node in ("node1", PLAIN):
        for own, other, count in (("a", "b", 131), ("b", "a", 137)):
            pause = wait.format(own=f"{node}-{own}", other=f"{node}-{other}")
            jobs[node, count] = submitted(cluster, probes, f"{dd(count)}\n{pause}\nsrun {dd(count)}", "-w", node, "-n1")
    for (node, count), job in jobs.items():
        ended(cluster, job, {node: [count, count]})
    nothing_but_endless_is_left(cluster)


def nothing_but_endless_is_left(cluster: Cluster) -> None:
    for name in ("node1", PLAIN):
        place = cluster.nodes[name].path(f"{cluster.prefix(name)}/run/datacrumbs/jobs")
        assert list(place.iterdir()) == []


def test_a_comment_is_kept_and_other_commands_work(cluster: Cluster, probes: str) -> None:
    script = f"#SBATCH --comment='my \"own\" words = ü'\n{dd(139)}"
    job = submitted(cluster, probes, script, "-w", "node1")
    comment = json.loads(cluster.first.done("scontrol", "show", "job", job).partition("Comment=")[2].splitlines()[0])
    assert comment == {"comment": 'my "own" words = ü', "datacrumbs": {"enable": "yes", "probe_file": probes}}
    ended(cluster, job, {"node1": [139]})
    file = ("--datacrumbs-probe-file", probes)
    named = ("--job-name", "by {}", "-w", "node1", "-n1")
    for command, count in (("srun", 149), ("salloc", 151)):
        program = [*(["srun"] if command == "salloc" else []), *dd(count).split()]
        words = [word.format(command) for word in named]
        cluster.first.done_product(f"datacrumbs_{command}", *file, *words, *program, user="alice")
    cluster.awaited(lambda: not cluster.first.done("squeue", "--noheader", "--nodelist=node1").strip())
    counts = [cluster.writes("alice", str(int(job) + turn)) for turn in (1, 2)]
    assert counts == [{"node1": [149]}, {"node1": [151]}]


def said(**section: str) -> str:
    return json.dumps({"datacrumbs": section})


BAD = {
    "no JSON": ("{datacrumbs}", ""),
    "another key": ('{"other":{"datacrumbs":1}}', ""),
    "no": (said(enable="no", probe_file="/absent"), ""),
    "cut": ('{"datacrumbs":{"enable":"yes"', "not valid JSON"),
    "twice": ('{"datacrumbs":{"enable":"yes","enable":"no"}}', "a key appears twice"),
    "text": ('{"datacrumbs":"yes"}', "datacrumbs: 'yes' is not an object"),
    "no file": (said(enable="yes"), "datacrumbs.probe_file: missing"),
    "maybe": (said(enable="maybe", probe_file="/x"), "datacrumbs.enable: 'maybe' is neither yes nor no"),
    "unknown": (said(enable="yes", probe_file="/x", mode="profile"), "unknown key 'mode'"),
    "composite": (said(enable="yes", composite="x.yaml"), "datacrumbs.composite: no longer supported"),
    "probes": (said(enable="yes", probes="/x"), "datacrumbs.probes: no longer supported"),
    "relative": (said(enable="yes", probe_file="probes.json.gz"), "'probes.json.gz' is not an absolute path"),
    "line": (said(enable="yes", probe_file="/x\nUSER=root"), "control characters"),
    "absent": (said(enable="yes", probe_file="/absent/x.json.gz"), "/absent/x.json.gz: cannot be opened"),
    "closed": (said(enable="yes", probe_file="/home/bob/closed.json.gz"), "cannot be opened: Permission denied"),
    "other's": (said(enable="yes", probe_file="/srv/bobs.json.gz"), "granted to bob"),
    "no probe file": (said(enable="yes", probe_file="/etc/hostname"), "not a probe file"),
    "moved": (said(enable="yes", probe_file="/home/alice/moved.json.gz"), "build-id"),
}


@pytest.fixture(scope="module")
def bad_files(cluster: Cluster, probes: str) -> None:
    """Probe files of somebody else's, and one whose target is another file by now."""
    first = cluster.first
    bobs = first.probes("bob", name="closed.json.gz")
    first.done("cp", bobs, "/srv/bobs.json.gz")
    first.done("chmod", "700", "/home/bob")
    libraries, moved = "/lib/x86_64-linux-gnu", "/home/alice/libmoved.so"
    first.done("sh", "-c", f"cp -L {libraries}/libz.so.1 {moved}; chown alice {moved}")
    entry = f"name: moved, probe: uprobe, type: binary, file: {moved}, regex: ^deflate$"
    first.path("/home/alice/moved.yaml").write_text(f"capture_probes:\n  - {{{entry}}}\n")
    first.done_product(
        "datacrumbs_probe_configurator", "/home/alice/moved.yaml", "/home/alice/moved.json.gz", user="alice"
    )
    first.done("cp", "-L", f"{libraries}/libm.so.6", moved)


@pytest.mark.usefixtures("bad_files")
def test_bad_metadata_leaves_a_job_untraced_and_its_owner_told(cluster: Cluster) -> None:
    for node, rows_here in (("node1", BAD), (PLAIN, ("no", "composite", "absent"))):
        wrong = {}
        jobs = {
            row: cluster.submitted("alice", "echo well", f"--comment={comment}", "-w", node, "-n1", by="sbatch")
            for row, (comment, _) in BAD.items()
            if row in rows_here
        }
        for row, job in jobs.items():
            cluster.ended(job)
            output, reason = cluster.output("alice", job), BAD[row][1]
            told = f"DataCrumbs on {node}: job {job} is not traced: " in output
            if "well\n" not in output or bool(reason) != told or reason not in output:
                wrong[row] = output
        assert wrong == {}
        if node != "node1":
            continue
        for row in ("composite", "other's"):
            log = f"/run/datacrumbs/datacrumbs-{jobs[row]}.log"
            assert BAD[row][1] in cluster.first.done("runuser", "-u", "alice", "--", "cat", log)


def test_an_array_and_a_cancelled_job(cluster: Cluster, probes: str) -> None:
    array = submitted(
        cluster,
        probes,
        f"echo $SLURM_JOB_ID > array-$SLURM_ARRAY_TASK_ID\n{dd('$((156 + SLURM_ARRAY_TASK_ID))')}",
        "-w",
        "node1",
        "--array=1,7,11",
    )
    cancelled = submitted(cluster, probes, f"{dd(173)}\ntouch begun\nsleep 1000", "-w", "node1", "-n1")
    home = cluster.first.path("/home/alice")
    cluster.awaited((home / "begun").exists)
    cluster.first.done("scancel", cancelled)
    ended(cluster, cancelled, {"node1": [173]})
    cluster.ended(array)
    for task in (1, 7, 11):
        job = (home / f"array-{task}").read_text().strip()
        assert cluster.writes("alice", job) == {"node1": [156 + task]}


def test_each_part_of_a_heterogeneous_job(cluster: Cluster, probes: str) -> None:
    """All parts have the number of the first one in their environment."""
    others = [words for node in ("node2", PLAIN) for words in (":", "-w", node, "-n1")]
    task = dd("$((223 + SLURM_PROCID))")
    job = submitted(cluster, probes, f"{dd(227)}\nsrun --het-group=0,1,2 sh -c '{task}'", "-w", "node1", "-n1", *others)
    ended(cluster, job, {"node1": [223, 227]})
    assert cluster.writes("alice", str(int(job) + 1)) == {"node2": [224]}
    assert cluster.writes("alice", str(int(job) + 2)) == {PLAIN: [225]}


def test_a_requeued_job_has_two_runs(cluster: Cluster, probes: str) -> None:
    script = f"if [ -e again ]; then exec {dd(181)}; fi\ntouch again\n{dd(179)}\ntouch once\nsleep 1000"
    job = submitted(cluster, probes, script, "-w", "node1", "-n1", "--requeue")
    cluster.awaited(cluster.first.path("/home/alice/once").exists)
    cluster.first.done("scontrol", "requeue", job)
    cluster.awaited(lambda: cluster.states(job) == {"PENDING"})
    cluster.first.done(
        "scontrol", "update", f"JobId={job}", "StartTime=now+3"
    )  # SLURM runs no prolog again within a second
    ended(cluster, job, {"node1": [181]}, run=f"{job}-1")
    assert cluster.writes("alice", job) == {"node1": [179]}


def test_the_epilog_needs_no_probe_file(cluster: Cluster, probes: str) -> None:
    script = f"cp {probes} own.json.gz"
    cluster.first.done("runuser", "-u", "alice", "--", "sh", "-c", f"cd; {script}")
    job = submitted(cluster, "own.json.gz", f"rm own.json.gz\n{dd(191)}", "-w", "node1", "-n1")
    ended(cluster, job, {"node1": [191]})


def test_a_time_limit(cluster: Cluster, endless: str) -> None:
    ended(cluster, endless, {"node2": [211]})
    assert cluster.notes() == []
