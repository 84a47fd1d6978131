"""Booted machines with Flux: one system instance of all of them, which starts its users' jobs by flux-imp."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from pathlib import Path

from .booted_site import BOUND, Site

FLUX = Path(shutil.which("flux") or "/usr/bin/flux").resolve()
PREFIX = FLUX.parent.parent
"""Where Flux was installed, which may be anywhere."""
IN_PLACE = str(PREFIX) == "/usr"
CONFIGURED = Path("/etc/flux") if IN_PLACE else PREFIX / "etc/flux"
LIBEXEC = PREFIX / "libexec/flux"
CONFIGURATION = """
[systemd]
enable = true
[exec]
imp = "{libexec}/flux-imp"
service = "{service}"
[access]
allow-guest-user = true
allow-root-owner = true
[bootstrap]
curve_cert = "/etc/flux/system/curve.cert"
hosts = [{hosts}]
[resource]
noverify = true
[[resource.config]]
hosts = "{names}"
cores = "0-7"
[job-manager]
plugins = [{{ load = "perilog.so" }}]
[job-manager.prolog]
per-rank = true
[job-manager.epilog]
per-rank = true
"""
HOST = '{{ host = "{name}", bind = "tcp://127.0.0.1:{port}", connect = "tcp://127.0.0.1:{port}" }}'
IMP = """
[exec]
allowed-users = ["flux"]
allowed-shells = ["{libexec}/flux-shell"]
[run.prolog]
allowed-users = ["flux"]
allowed-environment = ["FLUX_*"]
path = "{libexec}/cmd/flux-run-prolog"
[run.epilog]
allowed-users = ["flux"]
allowed-environment = ["FLUX_*"]
path = "{libexec}/cmd/flux-run-epilog"
"""
SIGN = '[sign]\nmax-ttl = 86400\ndefault-type = "munge"\nallowed-types = ["munge"]\n'


class FluxSite(Site):
    """A system instance, set up as Flux's guide for administrators has it.

    Args:
        names: Of its nodes; the first one is of rank 0.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(names)
        self.port = 20000 + os.getpid() % 10000 * 4
        self.key = secrets.token_bytes(128)
        self.certificate = b""

    def start(self) -> None:
        """Boot, install, and wait until jobs can begin on all nodes."""
        certificate = self.first.directory.with_name(f"{self.first.name}.cert")
        subprocess.run([FLUX, "keygen", certificate], check=True, capture_output=True)
        self.certificate = certificate.read_bytes()
        certificate.unlink()
        super().start()

    def serve(self, name: str) -> None:
        """Have a node run jobs."""
        node = self.nodes[name]
        node.done("useradd", "--create-home", "flux")
        if not IN_PLACE:
            node.done("ln", "-s", FLUX, "/usr/bin/flux")
            node.done("ln", "-s", CONFIGURED, "/etc/flux")
            node.done("sh", "-c", f"cp {PREFIX}/lib/systemd/system/flux* /etc/systemd/system")
        node.done("chmod", "u+s", f"{LIBEXEC}/flux-imp")
        for place in ("system/conf.d", "imp/conf.d", "security/conf.d"):
            node.done("mkdir", "-p", f"{CONFIGURED}/{place}")
        node.path(f"{CONFIGURED}/imp/conf.d/imp.toml").write_text(IMP.format(libexec=LIBEXEC))
        node.path(f"{CONFIGURED}/security/conf.d/sign.toml").write_text(SIGN)
        node.path(f"{CONFIGURED}/system/curve.cert").write_bytes(self.certificate)
        node.done("sh", "-c", "cd /etc/flux/system && chown flux curve.cert && chmod 400 curve.cert")
        self.configure(name, "sdexec")
        node.done("systemctl", "mask", "munge")  # which flux.service wants, and which would remove this one's socket
        node.start_munge(self.key)
        node.done_product("datacrumbs_cluster_setup", "--stage", "scheduler-hooks")
        node.done_product("datacrumbs_cluster_setup", "--stage", "flux-plugin")
        node.done("systemctl", "daemon-reload")
        node.done("systemctl", "start", "--no-block", "flux")

    def configure(self, name: str, service: str) -> None:
        """Say how a node's shells are started: as units (sdexec), or as processes of the broker (rexec)."""
        hosts = ", ".join(HOST.format(name=each, port=self.port + place) for place, each in enumerate(self.nodes))
        names = ",".join(self.nodes)
        text = CONFIGURATION.format(libexec=LIBEXEC, service=service, hosts=hosts, names=names)
        self.nodes[name].path(f"{CONFIGURED}/system/conf.d/system.toml").write_text(text)

    def restart(self, service: str) -> None:
        """Have all nodes' brokers begin again, and start shells by this service; jobs that run are lost."""
        for name, node in self.nodes.items():
            self.configure(name, service)
            node.done("systemctl", "stop", "flux")
        for node in self.nodes.values():
            node.done("systemctl", "start", "--no-block", "flux")
        self.awaited(self.is_up)

    def is_up(self) -> bool:
        """Whether jobs can begin on all nodes."""
        free = ("flux", "resource", "list", "--states=free", "--no-header", "--format={nnodes}")
        return self.first.run("timeout", "20", *free).stdout.strip() == str(len(self.nodes))

    def submitted(self, user: str, *words: str) -> str:
        """Submit a job from a user's home; gives its id as names of units have it."""
        line = ["runuser", "-u", user, "--", "sh", "-c", 'cd; exec flux "$@"', "sh", *words]
        return self.first.done("flux", "job", "id", "--to=f58plain", self.first.done(*line).strip()).strip()

    def ended(self, job: str) -> None:
        """Wait for a job's end, epilogs included."""
        self.first.done("flux", "job", "wait-event", f"--timeout={BOUND:.0f}", job, "clean")

    def output(self, user: str, job: str) -> str:
        """What a user is shown of a job that has ended."""
        shown = self.first.run("runuser", "-u", user, "--", "flux", "job", "attach", job)
        return shown.stdout + shown.stderr

    def result(self, job: str) -> str:
        """What became of a job."""
        return self.first.done("flux", "jobs", "--no-header", "--format={result}", job).strip()

    def logs(self) -> str:
        """The ends of the brokers' and hooks' logs."""
        units = ("--unit=flux", "--unit=flux-prolog@*", "--unit=flux-epilog@*")
        return "\n".join(
            f"---- {name}\n{node.run('journalctl', '--no-pager', '--lines=100', *units).stdout}"
            for name, node in self.nodes.items()
        )
