"""One run, from a verified probe file to a closed trace."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datacrumbs import __version__, client
from datacrumbs.daemon.attach_results import AttachResults
from datacrumbs.daemon.files import RunFiles, create_trace, remove_trace
from datacrumbs.daemon.identity import owner, trace_name
from datacrumbs.engine.engine import Engine
from datacrumbs.engine.methods import AttachMethod
from datacrumbs.engine.modes import with_mode
from datacrumbs.errors import DatacrumbsError
from datacrumbs.probefile.show import entries_only
from datacrumbs.systemd import notify
from datacrumbs.trace.footer import Footer
from datacrumbs.trace.writer import TraceWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from datacrumbs.engine.engine import EngineReport
    from datacrumbs.probefile.envelope import SignedPlan
    from datacrumbs.probefile.plan import Mode
    from datacrumbs.system import SystemConfiguration, SystemPaths

STOP_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
_SHORTEST_WAIT = 0.001
_LONGEST_WAIT = 0.02


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a run is started with."""

    probes: Path
    signed: SignedPlan
    run_id: str
    paths: SystemPaths
    configuration: SystemConfiguration
    mode: Mode | None = None
    attach_method: AttachMethod = AttachMethod.AUTO


@dataclass(frozen=True, slots=True)
class RunResult:
    """Where the trace is and whether every call is accounted for."""

    trace: Path
    entered: int
    recorded: int
    lost: int
    balanced: bool


def run(request: RunRequest) -> RunResult:
    """Trace until one of STOP_SIGNALS; then drain, write the footer and close.

    The signals are blocked for the whole run and taken one by one, so that none is lost and
    none interrupts the work.

    Raises:
        DatacrumbsError: for what cannot be attached, created or written; nothing half-made stays.

    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    plan = with_mode(request.signed.plan, request.mode)
    user = owner(request.signed.grant.uid)
    host = os.uname().nodename
    components = trace_name(
        request.configuration, user=user.name, run=request.run_id, host=host, probes=request.probes, now=time.time()
    )
    directory = request.configuration.trace_log_dir
    with ExitStack() as stack:
        files = RunFiles(request.paths.run, request.run_id)
        stack.callback(files.close)
        _tell(f"attaching {len(plan.functions)} functions for {user.name}")
        if only := entries_only(plan):
            _tell(only)
        engine = Engine(
            plan,
            request.configuration,
            user.uid,
            request.paths.state,
            attach_method=request.attach_method,
            tell=_tell,
        )
        stack.callback(engine.close)
        report = _attach(engine, request)
        trace = directory.joinpath(*components)
        stream = stack.enter_context(create_trace(directory, components, user))
        try:
            with _naming(trace):
                writer = TraceWriter(
                    stream,
                    plan,
                    host=host,
                    epoch_offset_ns=_epoch_offset_ns(),
                    user=user.name,
                    run_id=request.run_id,
                    flush_seconds=request.configuration.flush_seconds,
                )
            gc.freeze()
            gc.enable()
            files.announce(trace)
        except DatacrumbsError:
            remove_trace(directory, components)
            raise
        notify("READY=1")
        _tell(
            f"ready: {report.functions} functions by {report.method}, attached in {report.seconds * 1000:.1f} ms; "
            f"trace {trace}"
        )
        with _naming(trace):
            _drain_until_stopped(engine, writer, request.configuration.profile_seconds)
            notify("STOPPING=1")
            engine.detach()
            _write_profiles(engine, writer)
            while engine.poll_into(writer):
                pass
            return _finish(engine, writer, request, report, trace)


def _attach(engine: Engine, request: RunRequest) -> EngineReport:
    results = AttachResults(request.paths.attach_results)
    plan = request.signed.plan
    skipped = results.known_failures(plan)
    report = engine.attach([client.client_library(), client.launcher()], skipped)
    results.record(plan, report.failures)
    for failure in report.failures:
        _tell(f"not probed: {failure.symbol}: {failure.reason}")
    if skipped:
        _tell(f"{len(skipped)} functions left out that failed before (see {request.paths.attach_results})")
    if not report.functions:
        raise DatacrumbsError("no function of the plan could be probed", hint="run datacrumbs_doctor")
    return report


def _drain_until_stopped(engine: Engine, writer: TraceWriter, profile_seconds: float) -> None:
    wait = _SHORTEST_WAIT
    due = time.monotonic() + profile_seconds
    while True:
        taken = engine.poll_into(writer)
        wait = _SHORTEST_WAIT if taken else min(wait * 2, _LONGEST_WAIT)
        if taken < engine.FULL_BATCH and signal.sigtimedwait(STOP_SIGNALS, wait) is not None:
            return
        if time.monotonic() >= due:
            _write_profiles(engine, writer)
            due = time.monotonic() + profile_seconds
        writer.tick()


# The names that profiles refer to are in the ring by now, and each poll takes all names.
def _write_profiles(engine: Engine, writer: TraceWriter) -> None:
    profiles = engine.profiles()
    engine.poll_into(writer)
    if len(profiles):
        writer.write_profiles(profiles)


def _finish(engine: Engine, writer: TraceWriter, request: RunRequest, report: EngineReport, trace: Path) -> RunResult:
    counts = engine.counts()
    for index, count in enumerate(counts):
        # What user space filtered was recorded by the kernel side.
        filtered = int(writer.filtered[index])
        count.recorded -= filtered
        count.filtered += filtered
    writer.profiles.settle(counts)
    signed = request.signed
    provenance = {
        "datacrumbs": __version__,
        "run_id": request.run_id,
        "user": signed.grant.user,
        "signer": signed.grant.signer,
        "key_id": signed.key_id,
        "plan": signed.digest,
        "kernel": os.uname().release,
        "attach_method": report.method,
        **({"mode": request.mode.value} if request.mode else {}),
        **{f"provider {item.name}": f"{item.distribution} {item.version}" for item in signed.plan.providers},
        **{f"target {group.target.path or 'kernel'}": group.target.build_id for group in signed.plan.groups},
    }
    writer.close(Footer(counts, provenance, engine.totals()))
    return RunResult(
        trace=trace,
        entered=sum(count.entered for count in counts),
        recorded=sum(count.recorded for count in counts),
        lost=sum(sum(count.lost.values()) for count in counts),
        balanced=all(count.balanced for count in counts),
    )


# The smallest difference of several tries has the least delay between the two clock reads.
def _epoch_offset_ns() -> int:
    best_gap, best_offset = 1 << 62, 0
    for _ in range(16):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        if after - before < best_gap:
            best_gap, best_offset = after - before, wall - (before + after) // 2
    return best_offset


# The writer knows a stream, not its name.
@contextmanager
def _naming(trace: Path) -> Iterator[None]:
    try:
        yield
    except DatacrumbsError as error:
        raise DatacrumbsError(f"{trace}: {error.message}", hint=error.hint, exit_code=error.exit_code) from None


def _tell(message: str) -> None:
    print(f"datacrumbs: {message}", file=sys.stderr, flush=True)
