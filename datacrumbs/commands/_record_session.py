"""What ``datacrumbs_record`` does, from its command line to the command's exit status."""

from __future__ import annotations

import base64
import os
import re
import signal
import sys
import time
from collections import Counter
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.client import launcher
from datacrumbs.commands._interrupting import Interrupted, interruptible
from datacrumbs.commands._record_report import RecordReport
from datacrumbs.commands._selection import names
from datacrumbs.daemon.chosen_processes import Chosen
from datacrumbs.daemon.run_files import SUFFIX
from datacrumbs.errors import DatacrumbsError, ExitCode, reworded, usage_error
from datacrumbs.model.plan import Mode
from datacrumbs.output import counted, detail, inform, printable, warn
from datacrumbs.session.composition_request import CompositionRequest
from datacrumbs.session.foreground import ENDING, Foreground, stop_as
from datacrumbs.session.invoker import given_environment, installation_of, invoker
from datacrumbs.session.own_run import Outcome, OwnRecording
from datacrumbs.session.programs import CommandError, executable
from datacrumbs.session.trace_file import NewTrace
from datacrumbs.session.worker import Worker
from datacrumbs.system import SystemPaths, read_system_configuration
from datacrumbs.trace.members import TraceText

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import Any

    from datacrumbs.daemon.run_request import RunRequest
    from datacrumbs.daemon.waiting import SignalWait
    from datacrumbs.model.plan import Plan
    from datacrumbs.probefile.envelope import SignedPlan
    from datacrumbs.serving.limited import Child
    from datacrumbs.session.invoker import Invoker
    from datacrumbs.session.served_run import Recording

_STOP_SECONDS = 150.0  # more than a run has to end
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_LONGEST_NAME = 64
_ANSWER = 1 << 16


class Session:
    """A command with its own run.

    Args:
        options: The command line.
        command: Of it, what is to be run.
        mask: The signals that were blocked.
        signals: Those that are taken one by one.
    """

    STOPPING = frozenset({signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})

    def __init__(self, options: argparse.Namespace, command: list[str], mask: set[int], signals: SignalWait) -> None:
        self._options = options
        self._command = command
        self._mask = mask
        self._signals = signals
        self._run_id = f"record-{time.strftime('%Y%m%dT%H%M%S')}-{os.urandom(4).hex()}"
        self._report_wanted = not options.no_report
        self._ended_early = False
        self._notes: tuple[str, ...] = ()
        self._chosen = Chosen()
        self._launching = ["datacrumbs_wrap"]
        self._was_refused = False  # by the launcher, or it is the command's own exit status

    def run(self) -> int:
        """Gives a wait status."""
        with reworded(exit_code=ExitCode.NOT_RUN):
            self._user = invoker(given_environment())
            self._paths = SystemPaths(installation_of(self._options.prefix, self._user))
        if self._options.json and self._options.no_report:
            raise usage_error("--json and --no-report exclude each other: it is the report that is printed as JSON")
        # Only towards less: which calls may be recorded one by one, the signer has decided.
        given = self._options.probe_file is not None and self._options.mode == Mode.TRACE
        if given and (self._user.is_other or os.geteuid() != 0):
            raise usage_error("--mode trace: the probe file decides", "leave out one of --mode and --probe-file")
        try:
            with reworded(exit_code=ExitCode.NOT_RUN):
                return self._recorded_or_untraced()
        except Interrupted as interrupted:
            return interrupted.number
        except CommandError as error:
            warn(f"{printable(self._command[0])}: {error.message}")
            return error.status << 8

    def _recorded_or_untraced(self) -> int:
        try:
            return self._recorded()
        except DatacrumbsError as error:
            if not self._options.best_effort or self._options.dry_run:
                raise
            return self._untraced(error)

    def _recorded(self) -> int:
        try:
            os.getcwd()  # noqa: PTH109 - is asked for what it raises
        except OSError as error:
            raise DatacrumbsError(
                f"the working directory: {error.strerror}", hint="change to one that exists"
            ) from None
        if os.geteuid() != 0:
            return self._recorded_by_service()
        plan = self._signed_plan()
        if self._options.dry_run:
            self._print_plan(plan.plan)
            return 0
        return self._traced(lambda trace: self._begun(plan, trace))

    # Without rights: what needs them, two services do.
    def _recorded_by_service(self) -> int:
        from datacrumbs.probefile.codec import decode
        from datacrumbs.runs.run_client import is_served
        from datacrumbs.session.served_run import ServedRecording, as_probe_file

        if not self._options.dry_run:
            with interruptible(self.STOPPING):
                served = is_served(self._paths)
            if not served:
                raise DatacrumbsError(
                    "tracing needs root, and no service of runs answers here",
                    hint=f"sudo datacrumbs record {self._what}; or an administrator starts datacrumbs_runs.socket",
                )
        if self._options.probe_file is not None:
            signed = as_probe_file(self._options.probe_file)
            if self._options.dry_run:
                self._print_plan(self._given_plan().plan)
                return 0
        else:
            composed = self._composed_and_signed()
            if self._options.dry_run:
                self._print_plan(decode(self._document))
                return 0
            signed = base64.b64decode(composed)
        options, command, paths = self._options, self._command, self._paths
        if not options.best_effort:  # the service may be of an installation whose runs see no marks of this one
            self._launching.append("--require")

        def begun(trace: NewTrace) -> Recording:
            with interruptible(self.STOPPING):
                return ServedRecording(paths, signed, options, command, trace.stream)

        return self._traced(begun)

    def _composed_and_signed(self) -> str:
        from datacrumbs.signer.signature_cache import signed_plan

        request, dry = self._request(), self._options.dry_run

        def work() -> Any:
            composed = self._composing(request)
            signed = b"" if dry else signed_plan(composed["document"], self._paths)
            return [composed, base64.b64encode(signed).decode()]

        composed, signed = self._answered(Worker(self._user, work))
        self._take(composed)
        return str(signed)

    def _take(self, composed: dict[str, Any]) -> None:
        self._document, self._notes = composed["document"].encode(), tuple(composed["notes"])

    def _traced(self, begun: Callable[[NewTrace], Recording]) -> int:
        trace = NewTrace(self._output(), self._user, may_vary=self._options.output is None)
        with ExitStack() as failing:
            failing.callback(trace.remove)
            recording = begun(trace)
            failing.callback(recording.discard)
            while not recording.ready:
                self._attend(recording)
                recording.listen()
                if recording.ended:
                    recording.outcome()
            return self._followed(recording, trace, failing)

    def _followed(self, recording: Recording, trace: NewTrace, failing: ExitStack) -> int:
        wrapped = [*self._launching, "--run-id", recording.run_id, "--", *self._command]
        command = Foreground(launcher(), wrapped, self._user, self._mask)
        failing.pop_all()  # the command runs: now the trace stays, and the command's end is this one's
        status = command.wait(self._signals, recording)
        self._ended_early = recording.ended
        self._was_refused = "--require" in self._launching and status == ExitCode.NOT_RUN << 8
        self._finish(recording, trace)
        return status

    # The library of a plan is read, and the interpreter of a script asked, with the rights of the user alone.
    def _signed_plan(self) -> SignedPlan:
        if self._options.probe_file is not None:
            return self._given_plan()
        request, subject = self._request(), self._subject()
        worker = Worker(subject, lambda: self._composing(request))
        from datacrumbs.session.own_decision import begin_decision, signed  # meanwhile, as below

        self._take(self._answered(worker))
        child = begin_decision(self._document, subject, self._paths)
        # What is imported while other processes work costs no time where another processor is idle.
        from datacrumbs.daemon import run  # noqa: F401

        return signed(*self._answer_of(child), self._document, subject)

    # What the command line has to name, in advice.
    @property
    def _what(self) -> str:
        return "CMD"

    # Whose processes are traced, and whose rights find out what.
    def _subject(self) -> Invoker:
        return self._user

    def _composing(self, request: CompositionRequest) -> dict[str, Any]:
        from datacrumbs.session.own_plan import compose_plan

        return compose_plan(self._command, request, self._paths)

    def _given_plan(self) -> SignedPlan:
        from datacrumbs.probefile.storage import read_probe_file

        self._file()
        uid = self._subject().uid
        return read_probe_file(
            self._options.probe_file, self._paths.trusted_keys, now=time.time(), uid=uid, as_user=uid
        )

    def _request(self) -> CompositionRequest:
        options = self._options
        return CompositionRequest(
            options.site or "",
            names(options.providers),
            names(options.without),
            options.preset or "",
            options.sample,
            options.mode or "",
        )

    def _begun(self, plan: SignedPlan, trace: NewTrace) -> Recording:
        options = self._options
        limits = {"duration_seconds": options.duration, "max_megabytes": options.max_size}
        given = {key: value for key, value in limits.items() if value is not None}
        configuration = replace(read_system_configuration(self._paths), rotate_megabytes=0, **given)
        mode = Mode(options.mode) if options.mode else None
        name = options.probe_file or Path(options.site or "default.yaml")

        def request() -> RunRequest:
            from datacrumbs.daemon.run_request import OpenOutput, RunRequest
            from datacrumbs.probefile.targets import OpenTargets

            return RunRequest(
                name,
                plan,
                OpenTargets(plan.plan, plan.grant.uid),
                self._run_id,
                self._paths,
                configuration,
                mode=mode,
                names=(self._run_id,),
                unnamed=False,
                chosen=self._chosen,
                output=OpenOutput(trace.path, trace.stream),
            )

        return OwnRecording(self._paths, self._run_id, request)

    def _output(self) -> Path:
        if self._options.output is not None:
            return Path(self._options.output)
        name = _UNSAFE.sub("_", Path(self._command[0]).name)[:_LONGEST_NAME]
        return Path(f"datacrumbs-{name}-{time.strftime('%Y%m%dT%H%M%S')}{SUFFIX}")

    # Before the command runs: what would have ended it ends this, what would have stopped it stops this.
    def _attend(self, descriptor: Any) -> None:
        while (taken := self._signals.take(float("inf"), [descriptor.fileno()])) is not None:
            if taken.si_signo in ENDING:
                raise Interrupted(taken.si_signo)
            if taken.si_signo in self.STOPPING:
                stop_as(taken.si_signo)

    def _answered(self, worker: Worker) -> Any:
        with closing(worker):
            self._attend(worker)
            while not worker.has_ended():
                self._attend(worker)
            return worker.result()

    def _answer_of(self, child: Child) -> tuple[bytes, int]:
        with child.channel:
            answer = b""
            try:
                self._attend(child.channel)
                while part := child.channel.recv(_ANSWER):
                    answer += part
                    self._attend(child.channel)
            except BaseException:
                child.kill()
                child.wait()
                raise
        return answer, child.wait()

    def _finish(self, recording: Recording, trace: NewTrace) -> None:
        deadline = time.monotonic() + _STOP_SECONDS
        recording.stop()
        wanted, as_json = self._report_wanted, self._options.json
        report = RecordReport(self._user, trace.stream, as_json=as_json) if wanted else None
        while not recording.ended and time.monotonic() < deadline:
            taken = self._signals.take(deadline - time.monotonic(), [recording.fileno()])
            if taken is None:
                recording.listen()
            elif taken.si_signo in ENDING:
                self._report_wanted = False
        said = recording.messages()
        outcome = _outcome(recording)
        recording.discard()
        if self._was_refused and not self._ended_early and _saw_nothing(outcome, trace.path):
            if report is not None:
                report.close()
            trace.remove()
            raise DatacrumbsError(
                "the service of runs sees no program that this installation of DataCrumbs starts",
                hint="use the commands of the installation that the service belongs to",
            )
        trace.stream.close()
        for note in self._notes:
            detail(note)
        sys.stderr.write(said)
        self._tell(outcome)
        if report is not None and self._report_wanted:
            report.print(trace.path, self._signals)
            return
        if report is not None:
            report.close()
        if isinstance(outcome, Outcome):
            verdict = "every call accounted for" if outcome.balanced else "the counts do not balance; see the footer"
            numbers = f"{outcome.recorded:,} recorded, {outcome.lost:,} lost"
            inform(f"{counted(outcome.entered, 'call')} entered, {numbers}; {verdict}")
        inform(f"trace {printable(str(trace.path))}")

    def _tell(self, outcome: Outcome | DatacrumbsError) -> None:
        if isinstance(outcome, DatacrumbsError):
            warn(f"the trace is not complete: {outcome.text}")
        elif self._ended_early:
            warn("tracing ended before the command did, by --duration, --max-size or what this host allows")

    # What the command is, with the rights of the user alone.
    def _file(self) -> Path:
        worker = Worker(self._user, lambda: str(executable(self._command[0], os.environ)))
        return Path(self._answered(worker))

    def _untraced(self, error: DatacrumbsError) -> int:
        status = Foreground(self._file(), self._command, self._user, self._mask).wait(self._signals)
        warn(f"not traced: {error.text}")
        return status

    def _print_plan(self, plan: Plan) -> None:
        numbers: Counter[tuple[str, str]] = Counter()
        followed: Counter[tuple[str, str]] = Counter()
        for group in plan.groups:
            place = (group.provider, group.target.path or "kernel")
            (followed if group.helper else numbers)[place] += len(group.functions)
        for place in dict.fromkeys((*numbers, *followed)):
            more = f", {followed[place]} more are followed only" if followed[place] else ""
            print(f"{place[0]}: {printable(place[1])}: {counted(numbers[place], 'function')}{more}")
        for note in self._notes:
            inform(note)


# What became of the run, or why that is not known.
def _outcome(recording: Recording) -> Outcome | DatacrumbsError:
    if not recording.ended:
        return DatacrumbsError(f"the run did not end within {_STOP_SECONDS:.0f} s")
    try:
        return recording.outcome()
    except DatacrumbsError as error:
        return error


def _saw_nothing(outcome: Outcome | DatacrumbsError, trace: Path) -> bool:
    if not isinstance(outcome, Outcome) or outcome.entered:
        return False
    with suppress(DatacrumbsError):  # it is the user's, who may have put something else there
        return not any(b'"process_name"' in chunk for chunk in TraceText(trace).chunks())
    return False
