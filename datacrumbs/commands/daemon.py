"""`datacrumbs`: trace the processes of a probe file's user until stopped."""

from __future__ import annotations

import gc
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.commands._run import command_parser, run_command
from datacrumbs.daemon.identity import Instance, run_id
from datacrumbs.engine.methods import AttachMethod
from datacrumbs.errors import refusal
from datacrumbs.model.plan import Mode
from datacrumbs.probefile.storage import read_probe_file
from datacrumbs.probefile.targets import OpenTargets
from datacrumbs.system import SystemPaths, read_system_configuration

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable


def main() -> None:
    """Entry point of the console script."""
    parser = command_parser(
        "datacrumbs",
        "Trace the marked programs of a probe file's user until SIGINT or SIGTERM; needs root.",
        "sudo datacrumbs /tmp/probes.json.gz myrun",
    )
    parser.add_argument("probes", nargs="?", type=Path, metavar="PROBES", help="signed probe file")
    parser.add_argument("run_id", nargs="?", metavar="RUN-ID", help="default: the scheduler's job id, else a timestamp")
    parser.add_argument("--prefix", type=Path, default=Path("/"), help="root of a private installation")
    parser.add_argument(
        "--mode",
        choices=[mode.value for mode in Mode],
        help="trace: a line for each call; profile: calls added up; default: as the site file says of each function",
    )
    parser.add_argument(
        "--attach-method",
        choices=[method.value for method in AttachMethod],
        default=AttachMethod.AUTO,
        help="how library functions are attached; default: auto, the fastest that this kernel has",
    )
    parser.add_argument("--duration", type=_limit(float), metavar="SECONDS", help="stop after SECONDS")
    parser.add_argument(
        "--rotate-size", type=_limit(int), metavar="MB", help="start a new trace file after MB megabytes"
    )
    parser.add_argument(
        "--max-size", type=_limit(int), metavar="MB", help="stop when the files have MB megabytes in total"
    )
    parser.add_argument("--print-program", action="store_true", help="print the C program of the file and exit")
    unit = parser.add_argument_group("as a unit (datacrumbs@.service); PROBES and RUN-ID are left out")
    unit.add_argument("--instance", metavar="RUN-ID", help="trace what run/datacrumbs/datacrumbs-RUN-ID.env says")
    unit.add_argument("--clean-up", metavar="RUN-ID", help="remove what a killed daemon of this run left, and exit")
    arguments = parser.parse_args()
    if sum(name is not None for name in (arguments.probes, arguments.instance, arguments.clean_up)) != 1:
        parser.error("expected PROBES, or one of --instance and --clean-up alone")
    sys.exit(run_command(lambda: _command(arguments)))


def _command(arguments: argparse.Namespace) -> int:
    paths = SystemPaths(arguments.prefix.absolute())
    if arguments.probes is not None:
        mode = Mode(arguments.mode) if arguments.mode else None
        return _run(arguments, paths, Instance(arguments.probes, mode=mode), arguments.run_id)
    from datacrumbs.daemon.run_files import let_read  # noqa: PLC0415 - only a unit needs it
    from datacrumbs.daemon.unit import clean_up, read_instance, run_log  # noqa: PLC0415 - likewise

    identity = run_id(arguments.instance or arguments.clean_up, os.environ, time.time())
    if os.geteuid() != 0:
        raise refusal("units run as root", "systemctl start datacrumbs@RUN-ID")
    if arguments.clean_up:
        clean_up(paths.run, identity, os.environ)
        return 0
    with run_log(paths.run, identity) as log:
        instance = read_instance(paths.run, identity)
        if instance.uid is not None:
            let_read(log, instance.uid)
        return _run(arguments, paths, instance, identity)


def _run(arguments: argparse.Namespace, paths: SystemPaths, instance: Instance, identifier: str | None) -> int:
    limits = {
        "duration_seconds": arguments.duration,
        "rotate_megabytes": arguments.rotate_size,
        "max_megabytes": arguments.max_size,
    }
    given = {key: value for key, value in limits.items() if value is not None}
    configuration = replace(read_system_configuration(paths), **given)
    now = time.time()
    identity = run_id(identifier, os.environ, now)
    if os.geteuid() != 0 and not arguments.print_program:
        raise refusal("tracing needs root", "run it with sudo, or start datacrumbs@.service")
    gc.disable()  # until it traces: what is made on the way there stays
    signed = read_probe_file(instance.probes, paths.trusted_keys, now=now, uid=instance.uid, as_user=instance.uid)
    if arguments.print_program:
        from datacrumbs.engine.source import assemble  # noqa: PLC0415 - the daemon's own start needs more of the engine

        print(assemble(signed.plan), end="")
        return 0
    targets = OpenTargets(signed.plan, signed.grant.uid)
    from datacrumbs.daemon.run import RunRequest, run  # noqa: PLC0415 - a refusal needs no engine

    method = AttachMethod(arguments.attach_method)
    result = run(RunRequest(instance.probes, signed, targets, identity, paths, configuration, instance.mode, method))
    verdict = "every call accounted for" if result.balanced else "the counts do not balance; see the footer"
    print(
        f"datacrumbs: {result.entered} calls entered, {result.recorded} recorded, {result.lost} lost; {verdict}\n"
        f"datacrumbs: trace {result.trace}" + (f" and {result.files - 1} more files" if result.files > 1 else ""),
        file=sys.stderr,
    )
    return 0


def _limit(kind: type[float]) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise ValueError
        return value

    number.__name__ = "positive number"  # argparse names it so: invalid positive number value: '0'
    return number


if __name__ == "__main__":
    main()
