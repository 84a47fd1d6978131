"""The demonstration that `make demo` runs: from keys to a printed report, by the public commands only.

It lives in a private tree, ``.demo`` in the checkout, and leaves the machine's own /etc and /run alone: whoever
tries the tool must not find keys, a trust list and a policy installed afterwards that nobody decided on.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

REPOSITORY = Path(__file__).resolve().parent.parent
COMMANDS = Path(sys.executable).parent
STEPS = 7
START_SECONDS = 60
STOP_SECONDS = 60
# Linux limits the path of a socket to 108 bytes with the closing zero.
SOCKET_PATH_LIMIT = 107

PYTHON_PROGRAM = """
import json, pathlib, sys
directory = pathlib.Path(sys.argv[1])
for number in range(7):
    (directory / f"{number}.json").write_text(json.dumps(list(range(1000))))
print(sum(len(json.loads(file.read_text())) for file in sorted(directory.glob("*.json"))), "numbers read back")
(directory / "missing").exists()
"""


class StepError(Exception):
    """A step that did not work: why, and how to fix it."""

    def __init__(self, why: str, fix: str) -> None:
        super().__init__(why)
        self.why = why
        self.fix = fix


@dataclass
class Demo:
    """One demonstration below `prefix`."""

    prefix: Path
    run_id: str = field(default_factory=lambda: f"demo-{time.strftime('%Y%m%d-%H%M%S')}")
    step_number: int = 0

    @property
    def probe_file(self) -> Path:
        return self.prefix / "probes.json.gz"

    @property
    def run(self) -> Path:
        return self.prefix / "run/datacrumbs"

    @property
    def logs(self) -> Path:
        return self.prefix / "log"

    @property
    def work(self) -> Path:
        return self.prefix / "work"

    def step(self, title: str) -> None:
        self.step_number += 1
        print(f"\n[{self.step_number}/{STEPS}] {title}", flush=True)

    def call(self, fix: str, *words: str | Path) -> None:
        """Run a command to its end, its output shown."""
        command = [str(word) for word in words]
        print(f"      $ {shown(command)}", flush=True)
        status = subprocess.run(command, check=False).returncode
        if status != 0:
            raise StepError(f"{command[0].rpartition('/')[2]} ended with {status}", fix)

    @contextmanager
    def service(self, name: str, ready: Callable[[], bool], *words: str | Path) -> Iterator[None]:
        """Keep a command running, from when it is ready to when it has been asked to end and has ended well."""
        command = [str(word) for word in words]
        log = self.logs / f"{name}.log"
        print(f"      $ {shown(command)} &", flush=True)
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        try:
            wait_for(name, process, ready, log)
            yield
        finally:
            status = stop(process)
        if status != 0:
            raise StepError(f"{name} ended with {status}:\n{last_lines(log)}", f"see {log}")


def shown(command: Sequence[str]) -> str:
    """The command as one would type it in the checkout."""
    words = [word.removeprefix(f"{COMMANDS}/").replace(f"{REPOSITORY}/", "") for word in command]
    return shlex.join(words).replace("\n", "\n          ")


def last_lines(log: Path) -> str:
    """The end of a log, indented."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-12:]
    return "\n".join(f"        {line}" for line in lines)


def wait_for(name: str, process: subprocess.Popen[bytes], ready: Callable[[], bool], log: Path) -> None:
    """Wait until a service says that it is ready."""
    began = time.monotonic()
    while not ready():
        if process.poll() is not None:
            raise StepError(
                f"{name} ended with {process.returncode} before it was ready:\n{last_lines(log)}",
                "make doctor tells what this host lacks",
            )
        if time.monotonic() - began > START_SECONDS:
            raise StepError(f"{name} was not ready after {START_SECONDS} s:\n{last_lines(log)}", f"see {log}")
        time.sleep(0.02)
    print(f"      ready after {time.monotonic() - began:.1f} s", flush=True)


def stop(process: subprocess.Popen[bytes]) -> int:
    """Ask a service to end and wait for it; what does not end is killed."""
    process.terminate()
    try:
        return process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def run_demo(demo: Demo) -> None:
    """All steps, in order."""
    prefix = ("--prefix", demo.prefix)
    for directory in (demo.logs, demo.work):
        directory.mkdir(parents=True, exist_ok=True)

    demo.step("keys, trust, policy and the default site file")
    demo.call("see the message above", COMMANDS / "datacrumbs_setup", *prefix)

    demo.step("the signing service")
    socket = demo.run / "sign.sock"
    socket.unlink(missing_ok=True)
    with demo.service("datacrumbs_sign_probes", socket.is_socket, COMMANDS / "datacrumbs_sign_probes", *prefix):
        demo.step("the probe file: composed from the site file, signed by the service")
        demo.probe_file.unlink(missing_ok=True)
        configurator = COMMANDS / "datacrumbs_probe_configurator"
        site = demo.prefix / "etc/datacrumbs/configs/default.yaml"
        demo.call("see the message above, or: make doctor", configurator, *prefix, site, demo.probe_file)

    trace = record(demo)

    demo.step("the report")
    demo.call("see the message above", COMMANDS / "datacrumbs_report", trace)
    print(f"\ntrace:      {trace}\nprobe file: {demo.probe_file}")


def record(demo: Demo) -> Path:
    """Run the daemon around the workloads; gives the trace."""
    demo.step("the daemon: verifies the file, compiles, attaches its probes; some 15 s the first time")
    ready = demo.run / f"datacrumbs-{demo.run_id}.ready"
    command = (COMMANDS / "datacrumbs", "--prefix", demo.prefix, demo.probe_file, demo.run_id)
    with demo.service("datacrumbs", ready.is_file, *command):
        trace = Path(json.loads(ready.read_text(encoding="utf-8"))["trace"])
        demo.step("three programs, marked by datacrumbs_wrap")
        run_workloads(demo)
        demo.step("stop: the daemon takes what is left, writes the footer and ends")
    if not trace.is_file():
        raise StepError(f"the daemon ended and left no trace {trace}", f"see {demo.logs / 'datacrumbs.log'}")
    print(f"      {trace.stat().st_size / 1024:.0f} KiB")
    return trace


def run_workloads(demo: Demo) -> None:
    """dd, a pipeline of the shell and a small program in Python."""
    fix = "the program itself failed; see its message above"
    wrap, copied, words = COMMANDS / "datacrumbs_wrap", demo.work / "dd.bin", demo.work / "words.txt"
    demo.call(fix, wrap, "dd", "if=/dev/zero", f"of={copied}", "bs=1M", "count=23", "status=none")
    pipeline = f"od -An -v -tx1 -w1 -N 200000 /dev/urandom | sort | uniq -c | sort -rn > {shlex.quote(str(words))}"
    demo.call(fix, wrap, "sh", "-c", pipeline)
    demo.call(fix, wrap, sys.executable, "-c", PYTHON_PROGRAM, demo.work)


def check_possible(prefix: Path) -> None:
    """Say early what would stop a later step."""
    if os.geteuid() != 0:
        raise StepError("only root may trace", "sudo make demo")
    socket = str(prefix / "run/datacrumbs/sign.sock")
    if len(os.fsencode(socket)) > SOCKET_PATH_LIMIT:
        raise StepError(
            f"the signing service's socket would have a path of more than {SOCKET_PATH_LIMIT} bytes: {socket}",
            "choose a shorter place, as in: sudo make demo ARGS='--prefix /var/lib/datacrumbs-demo'",
        )


def main() -> int:
    """Run the demonstration; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prefix", type=Path, default=REPOSITORY / ".demo", help="the private tree (default: .demo)")
    demo = Demo(parser.parse_args().prefix.resolve())
    # As Ctrl-C: the services must be stopped on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        check_possible(demo.prefix)
        run_demo(demo)
    except StepError as error:
        print(f"\ndemo: step {demo.step_number}: {error.why}\n  fix: {error.fix}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
