"""Booted machines with SLURM: a real slurmctld, and on each slurmd, munged and an installation of its own."""

from __future__ import annotations

import os
import secrets
import subprocess
from pathlib import Path

from .booted_site import Site

HERE = Path(__file__).parent
PRIVATE = "/opt/private"
"""Where the installation is on a node on which runs are no units."""
# Jobs of another cluster on this kernel have other numbers, by which their runs are told apart.
CONFIGURATION = """
ClusterName=tests
SlurmctldHost={controller}(127.0.0.1)
SlurmctldPort={port}
FirstJobId={port}00
DebugFlags=NO_CONF_HASH
SlurmUser=root
AuthType=auth/munge
CryptoType=crypto/munge
MpiDefault=none
ProctrackType={proctrack}
TaskPlugin={task}
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
StateSaveLocation=/var/lib/slurm-tests
SlurmdSpoolDir=/var/spool/slurm-tests
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/var/log/slurmctld.log
SlurmdLogFile=/var/log/slurmd.log
SlurmdDebug=debug
SlurmdParameters=config_overrides
KillWait=2
InactiveLimit=0
SchedulerParameters=sched_min_interval=100000,batch_sched_delay=0,bf_interval=1,sched_interval=1
PrologFlags=Alloc
PrologEpilogTimeout=120
Prolog={prefix}/etc/datacrumbs/slurm/prolog
Epilog={prefix}/etc/datacrumbs/slurm/epilog
TaskProlog={prefix}/etc/datacrumbs/slurm/task_prolog
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=YES
"""
_OVER = {"COMPLETED", "CANCELLED", "FAILED", "TIMEOUT"}


class Cluster(Site):
    """A controller on the first of its nodes, from `start` to `stop`.

    Args:
        names: Of its nodes.
        plain: Of those on which SLURM makes no control groups, and runs are no units.
    """

    def __init__(self, names: tuple[str, ...], plain: str = "") -> None:
        super().__init__(names)
        self.plain = plain
        self.port = 20000 + os.getpid() % 10000 * 4
        self.key = secrets.token_bytes(128)

    def prefix(self, name: str) -> str:
        """Where the installation of a node is."""
        return PRIVATE if name == self.plain else ""

    def is_up(self) -> bool:
        """Whether all nodes are idle."""
        shown = self.first.run("timeout", "5", "sinfo", "-h", "-o", "%T %D").stdout.strip()
        return shown == f"idle {len(self.nodes)}"

    def submitted(self, user: str, script: str, *words: str, by: str = "datacrumbs_sbatch", **environment: str) -> str:
        """Submit a batch script in a user's home; gives the job's number."""
        given = [f"{key}={value}" for key, value in environment.items()]
        text = f'cd; exec env {" ".join(given)} {by} --parsable --output=%j.out "$@"'
        self.first.path(f"/home/{user}/job.sh").write_text(f"#!/bin/bash\n{script}\n")
        line = ["runuser", "-u", user, "--", "sh", "-c", text, "sh", *words, "job.sh"]
        return self.first.done(*line).strip().splitlines()[-1]

    def ended(self, job: str) -> None:
        """Wait for a job's end, epilogs included."""
        self.awaited(lambda: (states := self.states(job)) and states <= _OVER)

    def states(self, job: str) -> set[str]:
        """The state of a job, of an array those of its tasks; nothing when the controller does not answer."""
        return set(
            self.first.run("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T").stdout.split()
        )

    def output(self, user: str, job: str) -> str:
        """What a job has printed, on the node where its script ran."""
        found = [node.path(f"/home/{user}/{job}.out") for node in self.nodes.values()]
        return next((path.read_text() for path in found if path.exists()), "")

    def logs(self) -> str:
        """The ends of SLURM's logs."""
        text = []
        for name, node in self.nodes.items():
            for log in ("/var/log/slurmctld.log", "/var/log/slurmd.log"):
                path = node.path(log)
                if path.exists():
                    text.append(f"---- {name} {log}\n{path.read_text(errors='replace')[-3000:]}")
        return "\n".join(text)

    def serve(self, name: str) -> None:
        """Start what SLURM has on a node."""
        node = self.nodes[name]
        for directory in ("/etc/slurm", "/var/lib/slurm-tests", "/var/spool/slurm-tests"):
            node.path(directory).mkdir(exist_ok=True)
        nodes = "\n".join(
            f"NodeName={each} NodeHostname={each} NodeAddr=127.0.0.1 Port={self.port + place} CPUs=8"
            for place, each in enumerate(self.nodes, 1)
        )
        text = CONFIGURATION.format(
            controller=next(iter(self.nodes)), port=self.port, nodes=nodes,
            prefix=self.prefix(name), proctrack="proctrack/linuxproc" if name == self.plain else "proctrack/cgroup",
            task="task/none" if name == self.plain else "task/cgroup",
        )  # fmt: skip
        node.path("/etc/slurm/slurm.conf").write_text(text)
        kind = "CgroupPlugin=cgroup/v2\nCgroupMountpoint=/sys/fs/cgroup/unified\n"
        node.path("/etc/slurm/cgroup.conf").write_text(f"CgroupAutomount=no\n{kind}")
        node.start_munge(self.key)
        if node is self.first:
            node.done("systemd-run", "--quiet", "--unit=tests-ctld", "slurmctld", "-D")
        library = "/usr/local/lib/only_v2.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", node.path(library), HERE / "only_v2.c", "-ldl"], check=True)
        node.done(
            "systemd-run", "--quiet", "--unit=tests-slurmd", "--property=Delegate=yes", "--property=KillMode=process",
            f"--setenv=LD_PRELOAD={library}", "slurmd", "-D", "-N", name,
        )  # fmt: skip
