"""Jobs of users under a real Flux: a system instance with its IMP, from `flux submit` to one report over all nodes.

No distribution has packages of Flux, so this is collected where its command is found only.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from .booted_site import BOUND, dd
from .box import started
from .flux_site import FluxSite

if TYPE_CHECKING:
    from collections.abc import Iterator

NODES = ("node1", "node2")
RANKS = (101, 103, 107, 109)


@pytest.fixture(scope="module")
def site() -> Iterator[FluxSite]:
    with started(lambda: FluxSite(NODES), "systemd-nspawn", "munged") as made:
        yield made


@pytest.fixture(scope="module")
def probes(site: FluxSite) -> str:
    return site.probes("alice")


@pytest.fixture(autouse=True)
def _no_node_is_drained(site: FluxSite) -> Iterator[None]:
    yield
    drained = site.first.done("flux", "resource", "status", "--states=drain", "--no-header", "--format={nodelist}")
    assert drained.strip() == "", site.logs()


def traced(probes: str) -> tuple[str, str]:
    return ("--datacrumbs-enable", f"--datacrumbs-probe-file={probes}")


def submitted(site: FluxSite, probes: str, script: str, *words: str) -> str:
    return site.submitted("alice", "submit", *traced(probes), *words, "sh", "-c", script)


def ended(site: FluxSite, job: str, expected: dict[str, list[int]]) -> None:
    site.ended(job)
    assert site.writes("alice", job) == expected, site.output("alice", job) + site.logs()


def test_ranks_on_two_nodes_and_one_report(site: FluxSite, probes: str) -> None:
    """On each node its own ranks only, though both nodes have one kernel here."""
    task = f"set -- {' '.join(map(str, RANKS))}; shift $FLUX_TASK_RANK; echo $1 $(hostname); exec {dd('$1')}"
    job = submitted(site, probes, task, "-N2", "-n4")
    site.ended(job)
    ranks: dict[str, list[int]] = {name: [] for name in NODES}
    for line in site.output("alice", job).splitlines():
        count, node = line.split()
        ranks[node].append(int(count))
    assert {node: len(each) for node, each in ranks.items()} == dict.fromkeys(NODES, 2)
    ended(site, job, {node: sorted(each) for node, each in ranks.items()})
    gathered = site.first.path("/home/alice/gathered")
    gathered.mkdir()
    for traces in site.traces("alice", job).values():
        for trace in traces:
            shutil.copy(trace, gathered)
    site.first.done("chown", "--recursive", "alice", "/home/alice/gathered")
    report = json.loads(
        site.first.done_product("datacrumbs_report", "/home/alice/gathered", "--json", "--by", "rank", user="alice")
    )
    (of_job,) = report["jobs"]
    assert (of_job["job_id"], of_job["size"], of_job["missing"]) == (job, 4, []), of_job
    assert sorted(of_job["ranks"]) == ["0", "1", "2", "3"]


def test_a_batch_script_with_a_flux_of_its_own(site: FluxSite, probes: str) -> None:
    """Its jobs have ids that the system's Flux does not know, and are traced as parts of the job."""
    site.first.path("/home/alice/job.sh").write_text(f"#!/bin/sh\n{dd(97)}\nflux run -n2 {dd(113)}\n{dd(127)}\n")
    job = site.submitted("alice", "batch", *traced(probes), "-N1", "-n2", "--requires=host:node1", "job.sh")
    ended(site, job, {"node1": [97, 113, 113, 127]})


def two_at_once(site: FluxSite, probes: str, kind: str) -> None:
    """Jobs of one user on one node, each of which waits in its middle until the other one is there, too."""
    jobs = {}
    for own, other, count in ((f"{kind}-a", f"{kind}-b", 131), (f"{kind}-b", f"{kind}-a", 137)):
        script = f"{dd(count)}; touch {own}; until [ -e {other} ]; do sleep 0.1; done; {dd(count)}"
        jobs[count] = submitted(site, probes, script, "--requires=host:node1")
    for count, job in jobs.items():
        ended(site, job, {"node1": [count, count]})


def test_two_jobs_of_one_user_at_once(site: FluxSite, probes: str) -> None:
    two_at_once(site, probes, "units")


def test_cancelled_and_timed_out_jobs(site: FluxSite, probes: str) -> None:
    endless = "touch {name}; sleep 1000"
    jobs = {
        count: submitted(site, probes, f"{dd(count)}; {endless.format(name=name)}", *words, "--requires=host:node2")
        for count, name, words in ((149, "cancelled", ()), (151, "timed-out", ("--time-limit=20s",)))
    }
    site.awaited(site.nodes["node2"].path("/home/alice/cancelled").exists)
    site.first.done("runuser", "-u", "alice", "--", "flux", "cancel", jobs[149])
    for count, job in jobs.items():
        ended(site, job, {"node2": [count]})


def test_a_job_that_is_cancelled_in_its_prolog(site: FluxSite, probes: str) -> None:
    job = submitted(site, probes, dd(157), "--requires=host:node1")
    site.first.done("flux", "job", "wait-event", f"--timeout={BOUND:.0f}", job, "prolog-start")
    site.first.done("flux", "cancel", job)
    site.ended(job)
    assert site.notes() == []
    site.awaited(lambda: not list(site.first.path("/run/datacrumbs").glob(f"datacrumbs-{job}.lock")))


def test_a_flux_of_a_users_own(site: FluxSite, probes: str) -> None:
    """It has no prolog: the mark of the command that starts it is that of its jobs."""
    site.first.environment("own", f"PROBE_FILE={probes}\nUSER=alice\n")
    site.first.done("systemctl", "start", "datacrumbs@own")
    site.first.wrap("alice", "flux", "start", "flux", "run", "-n2", *dd(167).split())
    site.first.done("systemctl", "stop", "datacrumbs@own")
    assert site.writes("alice", "own") == {"node1": [167, 167]}


# What is refused when a job is submitted, with and without our options, and what the user is told.
REFUSED = {
    "text": ("yes", "datacrumbs: 'yes' is not an object"),
    "no file": ({"enable": "yes"}, "datacrumbs.probe_file: missing"),
    "unknown": ({"enable": "yes", "probe_file": "/x", "mode": "profile"}, "unknown key 'mode'"),
    "composite": ({"enable": "yes", "composite": "x.yaml"}, "datacrumbs.composite: no longer supported"),
    "relative": ({"enable": "yes", "probe_file": "probes.json.gz"}, "'probes.json.gz' is not an absolute path"),
}
# Seen by the prolog only.
UNTRACED = {
    "absent": ("/absent/x.json.gz", "/absent/x.json.gz: cannot be opened"),
    "closed": ("/home/bob/closed.json.gz", "cannot be opened: Permission denied"),
    "other's": ("/srv/bobs.json.gz", "granted to bob"),
    "no probe file": ("/etc/hostname", "not a probe file"),
}


def asking(section: object) -> str:
    return f"--setattr=datacrumbs={json.dumps(section)}"


def test_jobs_with_bad_metadata_are_not_taken(site: FluxSite) -> None:
    wrong = {}
    for row, (section, reason) in REFUSED.items():
        done = site.first.run("runuser", "-u", "alice", "--", "flux", "submit", asking(section), "true")
        if done.returncode == 0 or reason not in done.stderr:
            wrong[row] = done
    assert wrong == {}


def test_where_the_plugin_is_missing_the_prolog_says_the_same(site: FluxSite) -> None:
    change_plugin(site, "--unsetup")
    jobs = {
        row: (site.submitted("alice", "submit", asking(section), "--requires=host:node1", "echo", "well"), reason)
        for row, (section, reason) in REFUSED.items()
    }
    change_plugin(site)
    untraced(site, jobs)
    test_jobs_with_bad_metadata_are_not_taken(site)


# Validators that run already go on with what they have read.
def change_plugin(site: FluxSite, *words: str) -> None:
    said = site.first.done_product("datacrumbs_cluster_setup", "--stage", "flux-plugin", *words)
    assert "reloaded flux.service" in said
    site.first.done("flux", "module", "reload", "job-ingest")


def untraced(site: FluxSite, jobs: dict[str, tuple[str, str]]) -> None:
    """Whether jobs have run all the same, and their user was shown the reason."""
    wrong = {}
    for row, (job, reason) in jobs.items():
        site.ended(job)
        output = site.output("alice", job)
        if "well\n" not in output or f"job {job} is not traced: " not in output or reason not in output:
            wrong[row] = output
        assert site.result(job) == "COMPLETED"
    assert wrong == {}
    assert site.notes() == []


def test_a_job_that_is_not_traced_runs_and_its_owner_is_told(site: FluxSite) -> None:
    bobs = site.first.probes("bob", name="closed.json.gz")
    site.first.done("cp", bobs, "/srv/bobs.json.gz")
    site.first.done("chmod", "700", "/home/bob")
    jobs = {
        row: (site.submitted("alice", "submit", *traced(path), "--requires=host:node1", "echo", "well"), reason)
        for row, (path, reason) in UNTRACED.items()
    }
    untraced(site, jobs)


def test_other_jobs_have_no_run(site: FluxSite) -> None:
    job = site.submitted("alice", "submit", "-N2", "true")
    site.ended(job)
    assert site.notes() == []
    assert site.traces("alice", job) == {name: [] for name in NODES}


def test_without_control_groups(site: FluxSite, probes: str) -> None:
    """Where shells are processes of the broker, all jobs of a node are in one group."""
    site.restart("rexec")
    two_at_once(site, probes, "processes")


def test_a_run_whose_epilog_never_comes(site: FluxSite, probes: str) -> None:
    """Flux runs none on a node whose broker has ended meanwhile: the prolog of the next job there ends the run."""
    job = submitted(site, probes, f"{dd(163)}; touch lost; sleep 1000", "--requires=host:node2")
    lost = site.nodes["node2"]
    site.awaited(lost.path("/home/alice/lost").exists)
    lost.done("systemctl", "restart", "flux")
    site.ended(job)
    assert f"flux-{job}" in site.notes()
    site.awaited(site.is_up)
    site.ended(site.submitted("alice", "submit", "--requires=host:node2", "true"))
    assert site.notes() == []
    assert site.writes("alice", job) == {"node2": [163]}
