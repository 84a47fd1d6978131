"""One run, from a verified probe file to a closed trace: the process that traces.

It alone has privileges, and gives up most of them once everything is attached. Another one reads the rings
and writes (`datacrumbs.daemon.writing`).
"""

from __future__ import annotations

import gc
import os
import signal
import time
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, astuple, dataclass
from typing import TYPE_CHECKING

from datacrumbs import client
from datacrumbs.daemon import confinement, messages
from datacrumbs.daemon.attach_results import AttachResults, lasting_failures, unattached
from datacrumbs.daemon.calibration import Calibration
from datacrumbs.daemon.capture_ways import CaptureWays
from datacrumbs.daemon.chosen_processes import Asked, take
from datacrumbs.daemon.chrony import chrony_setter
from datacrumbs.daemon.ending import Ending
from datacrumbs.daemon.finder_process import FinderProcess
from datacrumbs.daemon.identity import owner, trace_name, tracing_id
from datacrumbs.daemon.late_files import LateFiles, LateRules, LateWatch
from datacrumbs.daemon.losses import LossWatch
from datacrumbs.daemon.part_process import PartProcess
from datacrumbs.daemon.parts import Parts
from datacrumbs.daemon.profile_transfer import profiles_file
from datacrumbs.daemon.provenance import known_of_run, provenance
from datacrumbs.daemon.run_files import RunFiles
from datacrumbs.daemon.run_request import RunResult
from datacrumbs.daemon.sealer_process import SealerProcess
from datacrumbs.daemon.waiting import SignalWait
from datacrumbs.daemon.writer_process import WriterProcess
from datacrumbs.engine.engine import Engine, Marks
from datacrumbs.engine.kernel_programs import has_libraries
from datacrumbs.errors import DatacrumbsError
from datacrumbs.model.plan import with_mode
from datacrumbs.output import counted, inform, warn
from datacrumbs.probefile.show import entries_only
from datacrumbs.secure import privilege
from datacrumbs.secure.systemd import notify
from datacrumbs.trace.clocks import epoch_offset_ns
from datacrumbs.trace.costs import cost_entries
from datacrumbs.trace.footer import summed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from datacrumbs.daemon.identity import Owner
    from datacrumbs.daemon.run_request import RunRequest
    from datacrumbs.engine.engine import EngineReport
    from datacrumbs.model.plan import Plan
    from datacrumbs.model.record import FunctionCounts
    from datacrumbs.trace.notes import Note
    from datacrumbs.trace.unattached import Unattached

STOP_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
_TICK = 0.25
_AT_ONCE = 16


def run(request: RunRequest, announce: Callable[[], None] = lambda: None) -> RunResult:
    """Trace until one of STOP_SIGNALS or a limit; then drain, write the footer and close.

    Args:
        request: What to trace.
        announce: Called once programs are traced.

    The signals are blocked for the whole run and taken one by one, so that none is lost and
    none interrupts the work.

    Raises:
        DatacrumbsError: for what cannot be attached, created or written; nothing half-made stays.

    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS | {signal.SIGCHLD})
    plan = with_mode(request.signed.plan, request.mode)
    user = owner(request.signed.grant.uid)
    with ExitStack() as stack:
        components = _components(request, user)
        files = RunFiles(request.paths.run, request.run_id)
        stack.callback(files.close)
        writer, finder, sealer, maker = _processes_beside(request, user, plan, stack)
        calibration = Calibration(request, plan)
        stack.callback(calibration.close)
        files.leave_to_a_process()
        own_id = _own_id(user)
        inform(f"attaching {counted(len(plan.functions), 'function')} for {user.name}")
        if only := entries_only(plan):
            inform(only)
        engine = _engine(request, user, plan)
        stack.callback(engine.close)
        calibration.before_attaching()
        report, skipped, failed = _attach(engine, request)
        ways = CaptureWays(plan, request.targets)
        late = None
        if finder is None:
            request.targets.close()
        else:
            stack.callback(request.targets.close)
            rules = LateRules(user, request.configuration.late_files, skipped)
            late = LateWatch(finder, LateFiles(plan, request.targets, engine, rules, inform))
        parts = _parts(request, components, user, maker)
        stack.callback(parts.close)
        about = provenance(request, report, failed)
        tracing = _Run(request, engine, writer, parts, about, late, sealer, calibration, ways)
        tracing.begin(files, user)
        _give_up_rights(engine, own_id)
        notify("READY=1")
        announce()
        calibration.begin()
        inform(
            f"ready: {counted(report.functions, 'function')} by {report.method}, "
            f"attached in {report.seconds * 1000:.1f} ms; trace {parts.first}"
        )
        with _naming(parts):
            return tracing.to_the_end()


def _parts(request: RunRequest, components: tuple[str, ...], user: Owner, maker: PartProcess | None) -> Parts:
    if request.output is not None:
        return Parts(request.output.path.parent, components, user, stream=request.output.stream)
    rotate_megabytes = request.configuration.rotate_megabytes
    return Parts(request.configuration.trace_log_dir, components, user, rotate_megabytes=rotate_megabytes, maker=maker)


def _components(request: RunRequest, user: Owner) -> tuple[str, ...]:
    if request.output is not None:
        return (request.output.path.name,)
    return trace_name(
        request.configuration,
        user=user.name,
        run=request.run_id,
        host=os.uname().nodename,
        probes=request.probes,
        now=time.time(),
    )


def _own_id(user: Owner) -> int:
    identity = tracing_id()
    return 0 if user.uid == identity else identity


def _give_up_rights(engine: Engine, own_id: int) -> None:
    by_perf = privilege.BY_PERF_EVENT if engine.attaches_late_by_perf else ()
    privilege.empty(0)
    privilege.become(own_id, own_id, kept=(*privilege.WHILE_TRACING, *by_perf))
    confinement.confine_tracing(perf_events=engine.attaches_late_by_perf)


# They begin before anything is loaded.
def _processes_beside(
    request: RunRequest, user: Owner, plan: Plan, stack: ExitStack
) -> tuple[WriterProcess, FinderProcess | None, SealerProcess | None, PartProcess | None]:
    configuration = request.configuration
    host = os.uname().nodename
    writing = messages.WritingRequest(plan, host, user.name, request.run_id, configuration, chrony_setter())
    writer = WriterProcess(user, writing)
    stack.callback(writer.close)
    finder = sealer = maker = None
    if configuration.late_files and has_libraries(plan):
        finder = FinderProcess(user, plan, command_lines=configuration.command_lines and plan.filters.command_lines)
        stack.callback(finder.close)
    if configuration.seal_traces:
        sealer = SealerProcess(request.paths.seal_key, request.paths.seals, request.run_id)
        stack.callback(sealer.close)
    if configuration.rotate_megabytes and request.output is None:
        maker = PartProcess(user)
        stack.callback(maker.close)
    return writer, finder, sealer, maker


def _engine(request: RunRequest, user: Owner, plan: Plan) -> Engine:
    chosen = request.chosen
    names = request.names or (request.run_id,)
    marks = Marks(user.uid, names, request.unnamed, chosen.group, chosen.awaited, chosen.maker)
    return Engine.load(
        plan, request.configuration, marks, request.paths.state, attach_method=request.attach_method, tell=inform
    )


# What was attached, what was not tried since it had failed before, and why each function failed that always will here.
def _attach(engine: Engine, request: RunRequest) -> tuple[EngineReport, dict[int, str], dict[Unattached, str]]:
    results = AttachResults(request.paths.attach_results)
    plan = request.signed.plan
    owners = request.targets.owners
    skipped = results.known_failures(plan, owners)
    report = engine.attach(request.targets, [client.client_library(), client.launcher()], skipped)
    results.record(plan, owners, report.failures)
    for failure in report.failures:
        warn(f"not probed: {failure.symbol}: {failure.reason}")
    if skipped:
        inform(
            f"{counted(len(skipped), 'function')} skipped after earlier failures (see {request.paths.attach_results})"
        )
    if not report.functions:
        raise DatacrumbsError("no function of the plan could be probed", hint="run datacrumbs_doctor")
    reasons = {each.function: each.reason for each in lasting_failures(plan, report.failures).values()}
    return report, skipped, unattached(plan, skipped | reasons)


@dataclass
class _Run:
    """A run from the first line of its trace to the last."""

    request: RunRequest
    engine: Engine
    writer: WriterProcess
    parts: Parts
    provenance: dict[str, str]
    late: LateWatch | None
    sealer: SealerProcess | None
    calibration: Calibration
    ways: CaptureWays

    def __post_init__(self) -> None:
        configuration = self.request.configuration
        self.signals = SignalWait(STOP_SIGNALS | {signal.SIGCHLD})
        self.asked = Asked(self.engine)
        self.may_load = True
        self.losses = LossWatch(self.engine.lost, self.engine.losses, configuration.flush_seconds)
        self.profiles_due = time.monotonic() + configuration.profile_seconds
        self.profiles_told = False

    def begin(self, files: RunFiles, user: Owner) -> None:
        """Write the head of the trace, and announce it; if that fails, nothing of it stays."""
        try:
            with _naming(self.parts):
                self._begin_writing()
            if self.sealer is not None:
                self.sealer.begin(known_of_run(self.request), time.time())
                self.sealer.add(self.parts)
            take(self.engine, self.request.chosen, user)
            with files.listen(user) as listener:
                self.writer.send(messages.Show(user.uid), descriptors=[listener.fileno()])
            gc.freeze()
            gc.enable()
            files.announce(self.parts.first, user)
        except BaseException:
            self.parts.remove_first()
            if self.sealer is not None:
                self.sealer.discard()
            raise

    def _begin_writing(self) -> None:
        maps = self.engine.ring_maps
        begin = messages.Begin(maps.calls_size, maps.names_size, epoch_offset_ns())
        self.writer.send(begin, descriptors=(maps.calls, maps.names, self.parts.stream.fileno()))
        while not self.writer.receive(_TICK):
            pass

    def to_the_end(self) -> RunResult:
        """Trace, drain, and close the trace; gives what became of the calls."""
        failure: DatacrumbsError | None = None
        try:
            reason = self._trace()
        except DatacrumbsError as error:
            failure, reason = error, "write error"
        ending = Ending()
        notes = self.late.last_notes() if self.late else []
        self.engine.detach()
        end = time.time_ns()
        notify("STOPPING=1")
        counts = self.engine.counts()
        totals = {**self.engine.totals(), **(self.late.totals if self.late else {})}
        result = None
        try:
            if self.late:
                self._tell_late(self.late, notes)
            result = self._finish(reason, ending, counts, totals)
        except DatacrumbsError as error:
            failure = error
        if self.sealer is not None:
            about: dict[str, str | int | bool] = {"end": end, "ended_by": reason}
            about["complete"] = result is not None and failure is None
            self._seal(self.sealer, about, {**summed(counts), **totals}, ending)
        self.signals.close()
        if failure or result is None:
            raise failure or DatacrumbsError("the run did not finish")
        return result

    # When the process that writes has ended, nothing of the daemon changes the trace any more. One that hangs in its
    # file system would have another one hang there, too.
    def _seal(
        self, sealer: SealerProcess, about: Mapping[str, str | int | bool], counts: dict[str, int], ending: Ending
    ) -> None:
        seconds = ending.sealing_seconds if self.writer.close() else 0.0
        unread = sealer.finish(about, counts, seconds)
        if unread:
            warn(f"{counted(unread, 'file')} of the trace could not be read in time; the seal does not vouch for them")
        inform(f"sealed: {sealer.seal}")

    def _trace(self) -> str:
        """Watch until the end; gives its reason."""
        seconds, reason = self.request.end(time.time())
        end = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            if now >= end:
                return reason
            wakers = self.late.wakers if self.late else []
            full = () if self.writer.is_ready() else (self.writer.fileno(),)
            if self.signals.wait(min(_TICK, end - now), wakers, full) in STOP_SIGNALS:
                return "signal"
            self._load_the_rest()
            self.asked.look()
            if self.late:
                self._tell_late(self.late, self.late.notes())
            if self._hear_writer():
                return "size"
            if self.parts.removed:
                raise DatacrumbsError(
                    "the trace was removed during the run; nothing more can be saved",
                    hint="start a new run",
                )
            # What a slow writer does not get now, it gets later: counters and profiles go on.
            if self.writer.is_ready():
                self._tell_writer()

    # With CAP_BPF, a process that may load programs can read all memory.
    def _load_the_rest(self) -> None:
        if self.may_load and self.engine.load_the_rest():
            confinement.load_nothing()
            self.may_load = False

    # Whether it says that the files are full. What it says is not trusted, and may be much.
    def _hear_writer(self) -> bool:
        for _ in range(_AT_ONCE):
            received = self.writer.receive()
            if received is None:
                break
            if isinstance(received.message, messages.Full):
                return True
            if isinstance(received.message, messages.Profiled):
                self.profiles_told = False
        return False

    def _tell_writer(self) -> None:
        if self.losses.due:
            self._tell_notes(self.losses.look())
        # What was sent is in memory until it is written: one message at a time bounds that.
        if time.monotonic() >= self.profiles_due and not self.profiles_told:
            self._tell_profiles()
            self.profiles_due = time.monotonic() + self.request.configuration.profile_seconds
        if self.parts.full:
            try:
                self.parts.advance()
            except DatacrumbsError as error:
                warn(f"the trace continues in its current file: {error.message}")
                return
            self.writer.send(messages.Continue(self.provenance), descriptors=[self.parts.stream.fileno()])
            if self.sealer is not None:
                self.sealer.add(self.parts)

    def _tell_notes(self, notes: list[Note]) -> None:
        if notes:
            self.writer.send(messages.AddNotes([astuple(note) for note in notes]))

    def _tell_late(self, late: LateWatch, notes: list[Note]) -> None:
        self._tell_notes(notes)
        for arguments in late.arguments():
            self.writer.send(arguments)

    def _tell_profiles(self) -> None:
        profiles = self.engine.profiles()
        if not len(profiles):
            return
        try:
            with profiles_file(profiles) as descriptor:
                self.writer.send(messages.AddProfiles(), descriptors=[descriptor])
        except OSError as error:
            raise DatacrumbsError(f"no memory for profiles: {error.strerror}") from None
        self.profiles_told = True

    def _finish(self, reason: str, ending: Ending, counts: list[FunctionCounts], totals: dict[str, int]) -> RunResult:
        self._tell_notes(self.losses.look())
        self._tell_profiles()
        touched = [(index, asdict(count)) for index, count in enumerate(counts) if count.entered or not count.balanced]
        costs, why = self.calibration.result()
        entries = cost_entries(costs, self.ways.calls(counts), why)
        provenance = {**self.provenance, **entries, "ended_by": reason}
        self.writer.send(messages.Finish(len(counts), touched, totals, provenance, ending.writing_seconds))
        done = ending.answer(self.writer, lambda: signal.sigtimedwait(STOP_SIGNALS, 0) is not None)
        return RunResult(self.parts.first, self.parts.count, done.entered, done.recorded, done.lost, done.balanced)


# Whoever writes knows a descriptor, not its name.
@contextmanager
def _naming(parts: Parts) -> Iterator[None]:
    try:
        yield
    except DatacrumbsError as error:
        raise DatacrumbsError(f"{parts.current}: {error.message}", hint=error.hint, exit_code=error.exit_code) from None
