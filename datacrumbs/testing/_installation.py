"""A private installation with its signing service: what tests of real captures run in."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sysconfig
import time
import zlib
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datacrumbs.daemon.identity import is_job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_COMMANDS = Path(sysconfig.get_path("scripts"))
_PATIENCE_SECONDS = 300.0
"""No promise of speed: less than the time limit of a test."""


@dataclass(frozen=True, slots=True)
class TraceLines:
    """A trace as plain JSON objects, read with nothing of the product's own reader.

    Args:
        calls: Lines with ``"ph": "X"``, in order.
        names: Hash -> name, of files (FH) and strings (SH).
        counts: Function symbol -> its line ``datacrumbs_counts``.
        footer: The line ``datacrumbs_footer``; empty in a trace that was cut short.
        provenance: The line ``datacrumbs_provenance``.
        metadata: All lines with ``"ph": "M"``.
    """

    calls: tuple[Mapping[str, Any], ...]
    names: Mapping[str, str]
    counts: Mapping[str, Mapping[str, Any]]
    footer: Mapping[str, Any]
    provenance: Mapping[str, Any]
    metadata: tuple[Mapping[str, Any], ...]

    def named(self, name: str, category: str = "") -> list[Mapping[str, Any]]:
        """Calls of one function."""
        return [call for call in self.calls if call["name"] == name and category in {"", call["cat"]}]

    def tally(self, category: str = "") -> Counter[str]:
        """Function name -> number of calls."""
        return Counter(call["name"] for call in self.calls if category in {"", call["cat"]})

    def file(self, call: Mapping[str, Any]) -> str:
        """Path of the call's file, or empty."""
        return self.names.get(call["args"].get("fhash", ""), "")


def read_lines(trace: Path) -> TraceLines:
    """Read a trace with gzip and json alone; a torn last member ends it."""
    lines = []
    with gzip.open(trace, "rt", encoding="utf-8", errors="surrogateescape") as stream:
        lines = [json.loads(line) for line in stream.read().split("\n") if line not in {"", "[", "]"}]
    metadata = [line for line in lines if line["ph"] == "M"]
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for line in metadata:
        by_name.setdefault(line["name"], []).append(line["args"])
    hashes = [*by_name.get("FH", ()), *by_name.get("SH", ())]
    return TraceLines(
        calls=tuple(line for line in lines if line["ph"] == "X"),
        names={entry["value"]: entry["name"] for entry in hashes},
        counts={entry["symbol"]: entry for entry in by_name.get("datacrumbs_counts", ())},
        footer=by_name.get("datacrumbs_footer", [{}])[-1],
        provenance=by_name.get("datacrumbs_provenance", [{}])[-1],
        metadata=tuple(metadata),
    )


@dataclass(slots=True)
class RunningDaemon:
    """A daemon that traces; its messages are in ``log``."""

    process: subprocess.Popen[bytes]
    trace: Path
    log: Path
    ready: Path
    run_id: str

    def wrap(self, *command: str | Path, named: bool = True, **options: Any) -> subprocess.CompletedProcess[Any]:
        """Run a command under ``datacrumbs_wrap``.

        Args:
            command: Its words.
            named: For this run alone; otherwise for all runs of this user that take marks without a name.
            options: Those of `subprocess.run`.
        """
        environment = {
            **(options.pop("env", None) or os.environ),
            **({"DATACRUMBS_RUN_ID": self.run_id} if named else {}),
        }
        wrapped = [_COMMANDS / "datacrumbs_wrap", *command]
        return subprocess.run(wrapped, check=False, env=environment, **options)

    def wait_for(self, function: str, calls: int) -> None:
        """Wait until the trace holds this many lines of a function: what is in it stays, whatever happens next."""
        line = f'"name":"{function}"'.encode()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while whole_members(self.trace.read_bytes()).count(line) < calls:
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.trace}: {calls} calls of {function} did not arrive")
            time.sleep(0.02)

    def wait_taken(self, number: int) -> None:
        """Wait until a signal that was sent is not pending any more: the daemon takes signals one by one."""
        status = Path(f"/proc/{self.process.pid}/status")
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while _pending(status.read_text(encoding="ascii")) >> (number - 1) & 1:
            if time.monotonic() > deadline:
                raise AssertionError(f"signal {number} was not taken")
            time.sleep(0.01)

    def stop(self, number: int = signal.SIGINT) -> int:
        """End it with a signal; gives its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return wait_until_ended(self.process)

    def lines(self) -> TraceLines:
        """Stop and read the trace."""
        self.stop()
        return read_lines(self.trace)


@dataclass(slots=True)
class Installation:
    """Everything that a site has, below a private prefix; `start` before use, `stop` after it.

    Args:
        prefix: An empty directory that only root can write.
        patience_seconds: How long a service or a daemon may take to get ready; an emulated machine compiles slowly.
    """

    prefix: Path
    patience_seconds: float = _PATIENCE_SECONDS
    service: subprocess.Popen[bytes] | None = None
    runs: int = 0
    daemons: list[RunningDaemon] = field(default_factory=list)

    def start(self) -> None:
        """Set up keys, policy and trust, and start the signing service."""
        self.command("datacrumbs_setup", check=True)
        with (self.prefix / "sign.log").open("wb") as log:
            self.service = subprocess.Popen(
                [_COMMANDS / "datacrumbs_sign_probes", "--prefix", self.prefix], stdout=log, stderr=log
            )
        wait_until_ready(
            (self.prefix / "run/datacrumbs/sign.sock").is_socket,
            self.service,
            self.prefix / "sign.log",
            self.patience_seconds,
        )

    def stop(self) -> None:
        """End what was started."""
        for daemon in self.daemons:
            daemon.stop()
        if self.service is not None:
            self.service.terminate()
            wait_until_ended(self.service)

    def command(self, name: str, *arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run one of the product's commands on this installation; its output is captured."""
        command = [_COMMANDS / name, "--prefix", self.prefix, *arguments]
        return subprocess.run(command, check=options.pop("check", False), capture_output=True, text=True, **options)

    def probes(self, site: str, *options: str) -> Path:
        """Compose and sign the probe file of a site file's text."""
        self.runs += 1
        site_file = self.prefix / f"site{self.runs}.yaml"
        output = self.prefix / f"probes{self.runs}.json.gz"
        site_file.write_text(site, encoding="utf-8")
        done = self.command("datacrumbs_probe_configurator", site_file, output, *options)
        if done.returncode:
            raise AssertionError(done.stderr)
        return output

    @contextmanager
    def daemon(
        self, probes: Path, run_id: str = "", arguments: Sequence[str] = (), **options: Any
    ) -> Iterator[RunningDaemon]:
        """A daemon from ready to stopped.

        Args:
            probes: A signed probe file.
            run_id: Its id; that of a scheduler's job where the environment in ``options`` has one.
            arguments: For its command line.
            options: Those of `subprocess.Popen`.
        """
        self.runs += 1
        name = run_id or f"run{self.runs}-{os.getpid()}"
        argument = () if is_job(None, options.get("env", {})) else (name,)
        log = self.prefix / f"{name}-{self.runs}.log"
        ready = self.prefix / f"run/datacrumbs/datacrumbs-{name}.ready"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [_COMMANDS / "datacrumbs", "--prefix", self.prefix, *arguments, probes, *argument],
                stderr=stream,
                **options,
            )
        wait_until_ready(ready.is_file, process, log, self.patience_seconds)
        daemon = RunningDaemon(process, Path(json.loads(ready.read_text())["trace"]), log, ready, name)
        self.daemons.append(daemon)
        try:
            yield daemon
        finally:
            daemon.stop()

    def trace(self, probes: Path, *commands: Sequence[str | Path], **options: Any) -> TraceLines:
        """Trace some commands, one after the other, and read what they left."""
        with self.daemon(probes) as daemon:
            for command in commands:
                daemon.wrap(*command, **options)
            return daemon.lines()


def run_workload(
    installation: Installation, directory: Path, site: str, table: Path
) -> tuple[TraceLines, dict[str, Any]]:
    """Build a provider's workload, run it under a real daemon, and give its trace and its table.

    Args:
        installation: A started installation.
        directory: Empty; the workload is built and runs there.
        site: Text of the site file.
        table: The ``workload.json`` beside the workload's source.
    """
    wanted = json.loads(table.read_text(encoding="utf-8"))
    program = directory / "workload"
    build = [part.replace("{out}", os.fspath(program)) for part in wanted["build"]]
    subprocess.run(build, check=True, cwd=table.parent, capture_output=True)
    run = [part.replace("{out}", os.fspath(program)) for part in wanted["run"]]
    with installation.daemon(installation.probes(site)) as daemon:
        done = daemon.wrap(*run, cwd=directory, capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(f"{run}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return daemon.lines(), wanted


def whole_members(data: bytes) -> bytes:
    """What the complete gzip members of a file hold, found without the product; the last one may be incomplete."""
    text = b""
    while data:
        member = zlib.decompressobj(wbits=31)
        try:
            content = member.decompress(data)
        except zlib.error:
            break
        if not member.eof:
            break
        text, data = text + content, member.unused_data
    return text


def _pending(status: str) -> int:
    lines = dict(line.split(":", 1) for line in status.splitlines())
    return int(lines["SigPnd"], 16) | int(lines["ShdPnd"], 16)


# What does not get ready, or does not end, is no longer there for the tests that follow.
def wait_until_ready(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise AssertionError(f"{process.args!r} did not become ready:\n{log.read_text(errors='replace')}")
        time.sleep(0.02)


def wait_until_ended(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
