"""`datacrumbs`: trace the processes of a probe file's user until stopped."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from datacrumbs.commands._run import command_parser, run_command
from datacrumbs.daemon.identity import run_id
from datacrumbs.errors import refusal
from datacrumbs.probefile.reader import read_probe_file
from datacrumbs.probefile.targets import verify_targets
from datacrumbs.system import SystemPaths, read_system_configuration


def main() -> None:
    """Entry point of the console script."""
    parser = command_parser(
        "datacrumbs",
        "Trace the marked programs of a probe file's user until SIGINT or SIGTERM; needs root.",
        "sudo datacrumbs /tmp/probes.json.gz myrun",
    )
    parser.add_argument("probes", type=Path, metavar="PROBES", help="signed probe file")
    parser.add_argument("run_id", nargs="?", metavar="RUN-ID", help="default: the scheduler's job id, else a timestamp")
    parser.add_argument("--prefix", type=Path, default=Path("/"), help="root of a private installation")
    parser.add_argument("--print-program", action="store_true", help="print the C program of the file and exit")
    arguments = parser.parse_args()
    sys.exit(run_command(lambda: _run(arguments.probes, arguments.run_id, arguments.prefix, arguments.print_program)))


def _run(probes: Path, identifier: str | None, prefix: Path, print_program: bool) -> int:
    paths = SystemPaths(prefix.absolute())
    configuration = read_system_configuration(paths)
    now = time.time()
    identity = run_id(identifier, os.environ, now)
    if os.geteuid() != 0 and not print_program:
        raise refusal("tracing needs root", "run it with sudo, or start datacrumbs@.service")
    signed = read_probe_file(probes, paths.trusted_keys, now=now, uid=None)
    if print_program:
        from datacrumbs.engine.program import assemble  # noqa: PLC0415 - the daemon's own start needs more of the engine

        print(assemble(signed.plan), end="")
        return 0
    verify_targets(signed.plan)
    from datacrumbs.daemon.run import RunRequest, run  # noqa: PLC0415 - a refusal needs no engine

    result = run(RunRequest(probes, signed, identity, paths, configuration))
    verdict = "every call accounted for" if result.balanced else "the counts do not balance; see the footer"
    print(
        f"datacrumbs: {result.entered} calls entered, {result.recorded} recorded, {result.lost} lost; {verdict}\n"
        f"datacrumbs: trace {result.trace}",
        file=sys.stderr,
    )
    return 0


if __name__ == "__main__":
    main()
