"""What ``datacrumbs`` does: one run, from the command line or as a unit."""

from __future__ import annotations

import gc
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from datacrumbs.daemon.identity import Instance, is_job, names_of, run_id
from datacrumbs.engine.methods import AttachMethod
from datacrumbs.errors import refusal, usage_error
from datacrumbs.model.plan import Mode, with_mode
from datacrumbs.output import counted, inform
from datacrumbs.probefile.storage import read_probe_file
from datacrumbs.probefile.targets import OpenTargets
from datacrumbs.system import SystemPaths, read_system_configuration

if TYPE_CHECKING:
    import argparse

    from datacrumbs.daemon.run_request import RunRequest
    from datacrumbs.system import SystemConfiguration


def record(arguments: argparse.Namespace) -> None:
    """Trace until the end of a run, or do one of the things that a unit does beside."""
    if sum(name is not None for name in (arguments.probes, arguments.instance, arguments.clean_up)) != 1:
        raise usage_error("expected PROBES, or one of --instance and --clean-up alone", "see datacrumbs --help")
    paths = SystemPaths(arguments.prefix.absolute())
    if arguments.probes is not None:
        mode = Mode(arguments.mode) if arguments.mode else None
        chosen = bool(arguments.pid or arguments.cgroup)
        named = arguments.marks == "named" if arguments.marks else chosen or is_job(arguments.run_id, os.environ)
        instance = Instance(
            arguments.probes, mode=mode, unnamed=not named, processes=tuple(arguments.pid), group=arguments.cgroup
        )
        _run(arguments, paths, instance, arguments.run_id)
        return
    from datacrumbs.daemon.run_files import let_read  # only a unit needs it
    from datacrumbs.daemon.unit import clean_up, read_instance, run_log  # likewise

    identity = run_id(arguments.instance or arguments.clean_up, os.environ, time.time())
    if os.geteuid() != 0:
        raise refusal("units run as root", "systemctl start datacrumbs@RUN-ID")
    if arguments.clean_up:
        clean_up(paths.run, identity, os.environ)
        return
    with run_log(paths.run, identity) as log:
        instance = read_instance(paths.run, identity)
        if instance.uid is not None:
            let_read(log, instance.uid)
        _run(arguments, paths, instance, identity)


def _run(arguments: argparse.Namespace, paths: SystemPaths, instance: Instance, identifier: str | None) -> None:
    configuration = _configuration(arguments, paths, instance)
    now = time.time()
    identity = run_id(identifier, os.environ, now)
    if os.geteuid() != 0 and not arguments.print_program:
        raise refusal("tracing needs root", "run it with sudo, or start datacrumbs@.service")
    gc.disable()  # until it traces: what is made on the way there stays
    signed = read_probe_file(instance.probes, paths.trusted_keys, now=now, uid=instance.uid, as_user=instance.uid)
    if arguments.print_program:
        from datacrumbs.engine.source import assemble  # the daemon's own start needs more of the engine

        print(assemble(signed.plan), end="")
        return
    method = AttachMethod(arguments.attach_method)
    if arguments.prepare:
        from datacrumbs.engine.preparation import prepare  # likewise

        plan = with_mode(signed.plan, instance.mode)
        prepare(plan, configuration, paths.state, attach_method=method, tell=inform)
        inform("the probe program is compiled")
        return
    targets = OpenTargets(signed.plan, signed.grant.uid)
    from datacrumbs.daemon.chosen_processes import choose  # a refusal needs no engine
    from datacrumbs.daemon.run_request import RunRequest  # likewise

    _trace(
        RunRequest(
            instance.probes,
            signed,
            targets,
            identity,
            paths,
            configuration,
            mode=instance.mode,
            names=(*names_of(identity, os.environ), *([instance.job] if instance.job else [])),
            unnamed=instance.unnamed,
            chosen=choose(instance.processes, instance.group, instance.awaited, instance.maker),
            attach_method=method,
        )
    )


def _configuration(arguments: argparse.Namespace, paths: SystemPaths, instance: Instance) -> SystemConfiguration:
    limits = {
        "duration_seconds": arguments.duration,
        "rotate_megabytes": arguments.rotate_size,
        "max_megabytes": arguments.max_size,
    }
    given = {key: value for key, value in limits.items() if value is not None}
    return replace(read_system_configuration(paths), **{**instance.limits, **given})


def _trace(request: RunRequest) -> None:
    from datacrumbs.daemon.run import run  # likewise

    result = run(request)
    verdict = "every call accounted for" if result.balanced else "the counts do not balance; see the footer"
    inform(f"{counted(result.entered, 'call')} entered, {result.recorded:,} recorded, {result.lost:,} lost; {verdict}")
    inform(f"trace {result.trace}" + (f" and {counted(result.files - 1, 'more file')}" if result.files > 1 else ""))
