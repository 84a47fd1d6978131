"""What ``datacrumbs_record`` does, from its command line to the command's exit status."""

from __future__ import annotations

import base64
import os
import re
import secrets
import signal
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from datacrumbs.client import launcher
from datacrumbs.commands._selection import names
from datacrumbs.daemon.run_files import SUFFIX
from datacrumbs.daemon.waiting import SignalWait
from datacrumbs.errors import DatacrumbsError, ExitCode, usage_error
from datacrumbs.model.plan import Mode
from datacrumbs.output import counted, inform, printable, warn
from datacrumbs.session.foreground import ENDING, SIGNALS, Foreground, end_as, stop_as
from datacrumbs.session.invoker import given_environment, installation_of, invoker
from datacrumbs.session.own_run import OwnRecording, RunOptions
from datacrumbs.session.programs import CommandError, looked_up
from datacrumbs.session.trace_file import NewTrace
from datacrumbs.session.worker import Worker
from datacrumbs.system import SystemPaths, read_system_configuration

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import Any

    from datacrumbs.model.plan import Plan
    from datacrumbs.probefile.envelope import SignedPlan
    from datacrumbs.serving.limited import Child
    from datacrumbs.session.invoker import Invoker
    from datacrumbs.session.own_plan import Wanted
    from datacrumbs.session.own_run import Recording

_STOPPING = frozenset({signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})
_STOP_SECONDS = 150.0  # more than a run has to end
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_LONGEST_NAME = 64
_ANSWER = 1 << 16


class _Interrupted(Exception):  # noqa: N818 - not a mistake
    """The user has had enough before the command ran."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def record(options: argparse.Namespace) -> int:
    """Record a command; gives its exit status, or dies of the signal that it died of.

    Raises:
        DatacrumbsError: (exit 125) The command was not run, since it could not be traced.
    """
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        raise usage_error("no command", "datacrumbs_record CMD ARG...")
    if options.sample and options.mode == Mode.PROFILE:
        raise usage_error("--sample: a profile counts every call", "leave out one of --sample and --mode profile")
    mask = {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)}
    signals = SignalWait(SIGNALS)
    try:
        status = _Session(options, command, mask, signals).run()
    finally:
        signals.close()
    return end_as(status)


class _Session:
    def __init__(self, options: argparse.Namespace, command: list[str], mask: set[int], signals: SignalWait) -> None:
        self._options = options
        self._command = command
        self._mask = mask
        self._signals = signals
        self._run_id = f"record-{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(4)}"
        self._report_wanted = not options.no_report
        self._ended_early = False

    def run(self) -> int:
        """Gives a wait status."""
        try:
            self._user = invoker(given_environment())
            self._paths = SystemPaths(installation_of(self._options.prefix, self._user))
            # Only towards less: which calls may be recorded one by one, the signer has decided.
            given = self._options.probe_file is not None and self._options.mode == Mode.TRACE
            if given and (self._user.is_other or os.geteuid() != 0):
                raise usage_error("--mode trace: the probe file decides", "leave out one of --mode and --probe-file")
            try:
                return self._recorded()
            except DatacrumbsError as error:
                if not self._options.best_effort or self._options.dry_run:
                    raise
                return self._untraced(error)
        except _Interrupted as interrupted:
            return interrupted.number
        except CommandError as error:
            warn(f"{printable(self._command[0])}: {error.message}")
            return error.status << 8
        except DatacrumbsError as error:
            raise DatacrumbsError(error.message, hint=error.hint, exit_code=ExitCode.NOT_RUN) from None

    def _recorded(self) -> int:
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
        from datacrumbs.runs.asking import is_served
        from datacrumbs.session.served_run import ServedRecording, as_probe_file

        if not self._options.dry_run and not is_served(self._paths):
            raise DatacrumbsError(
                "tracing needs root, and no service of runs answers here",
                hint="sudo datacrumbs record CMD; or an administrator starts datacrumbs_runs.socket",
            )
        if self._options.probe_file is not None:
            signed = as_probe_file(self._options.probe_file)
            if self._options.dry_run:
                self._print_plan(self._given_plan().plan)
                return 0
        else:
            composed = self._composed_and_signed()
            if self._options.dry_run:
                self._print_plan(decode(self._composed.document.encode()))
                return 0
            signed = base64.b64decode(composed)
        options, command, paths = self._options, self._command, self._paths
        return self._traced(lambda trace: ServedRecording(paths, signed, options, command, trace.stream))

    def _composed_and_signed(self) -> str:
        from datacrumbs.session.own_plan import OwnPlan, compose_plan
        from datacrumbs.session.served_run import signed_by_service

        wanted, dry = self._wanted(), self._options.dry_run

        def work() -> Any:
            composed = compose_plan(self._command, wanted, self._paths)
            needless = dry or composed["status"]
            return [composed, "" if needless else signed_by_service(composed["document"], self._paths)]

        worker = Worker(self._user, work)
        try:
            self._await_end(worker)
            composed, signed = worker.result()
        finally:
            worker.close()
        self._composed = OwnPlan(**composed)
        if self._composed.status:
            raise CommandError(self._composed.problem, self._composed.status)
        return str(signed)

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
            wrapped = ["datacrumbs_wrap", "--run-id", recording.run_id, "--", *self._command]
            command = Foreground(launcher(), wrapped, self._user, self._mask)
            failing.pop_all()  # the command runs: now the trace stays, and the command's end is this one's
        status = command.wait(self._signals, recording)
        self._ended_early = recording.ended
        self._finish(recording, trace)
        return status

    # The library of a plan is read, and the interpreter of a script asked, with the rights of the user alone.
    def _signed_plan(self) -> SignedPlan:
        if self._options.probe_file is not None:
            return self._given_plan()
        from datacrumbs.session.own_plan import OwnPlan, compose_plan

        wanted = self._wanted()
        worker = Worker(self._user, lambda: compose_plan(self._command, wanted, self._paths))
        try:
            # Meanwhile, since the other processor is idle.
            from datacrumbs.daemon import run  # noqa: F401
            from datacrumbs.session.own_decision import begin_decision, signed

            self._await_end(worker)
            self._composed = OwnPlan(**worker.result())
        finally:
            worker.close()
        if self._composed.status:
            raise CommandError(self._composed.problem, self._composed.status)
        plan_bytes = self._composed.document.encode()
        child = begin_decision(plan_bytes, self._user, self._paths)
        return signed(self._answer_of(child), plan_bytes, self._user)

    def _given_plan(self) -> SignedPlan:
        from datacrumbs.probefile.storage import read_probe_file

        self._file()
        uid = self._user.uid
        return read_probe_file(
            self._options.probe_file, self._paths.trusted_keys, now=time.time(), uid=uid, as_user=uid
        )

    def _wanted(self) -> Wanted:
        from datacrumbs.session.own_plan import Wanted

        options = self._options
        return Wanted(
            options.site,
            names(options.providers),
            names(options.without),
            options.preset,
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
        how = RunOptions(name, self._run_id, trace.path, trace.stream, configuration, mode)
        return OwnRecording(self._paths, plan, how)

    def _output(self) -> Path:
        if self._options.output is not None:
            return Path(self._options.output)
        name = _UNSAFE.sub("_", Path(self._command[0]).name)[:_LONGEST_NAME]
        return Path(f"datacrumbs-{name}-{time.strftime('%Y%m%dT%H%M%S')}{SUFFIX}")

    # Before the command runs: what would have ended it ends this, what would have stopped it stops this.
    def _attend(self, descriptor: Any) -> None:
        while (taken := self._signals.take(float("inf"), [descriptor.fileno()])) is not None:
            if taken.si_signo in ENDING:
                raise _Interrupted(taken.si_signo)
            if taken.si_signo in _STOPPING:
                stop_as(taken.si_signo)

    def _await_end(self, worker: Worker) -> None:
        self._attend(worker)
        while not worker.has_ended():
            self._attend(worker)

    def _answer_of(self, child: Child) -> bytes:
        with os.fdopen(child.answer, "rb", buffering=0) as stream:
            answer = b""
            try:
                self._attend(stream)
                while part := stream.read(_ANSWER):
                    answer += part
                    self._attend(stream)
            except BaseException:
                child.kill()
                child.wait()
                raise
        return b"" if child.wait() else answer

    def _finish(self, recording: Recording, trace: NewTrace) -> None:
        deadline = time.monotonic() + _STOP_SECONDS
        recording.stop()
        while not recording.ended and time.monotonic() < deadline:
            taken = self._signals.take(deadline - time.monotonic(), [recording.fileno()])
            if taken is None:
                recording.listen()
            elif taken.si_signo in ENDING:
                self._report_wanted = False
        said = recording.messages()
        failure = None
        try:
            outcome = recording.outcome()
        except DatacrumbsError as error:
            failure = error
        recording.discard()
        trace.stream.close()
        sys.stderr.write(said)
        if failure is None and self._ended_early:
            warn("tracing ended before the command did, by --duration, --max-size or what this host allows")
        if failure is not None:
            warn(f"the trace is not complete: {failure.message}" + (f"\nhint: {failure.hint}" if failure.hint else ""))
        if self._report_wanted:
            self._report(trace.path)
            return
        if failure is None:
            verdict = "every call accounted for" if outcome.balanced else "the counts do not balance; see the footer"
            inform(f"{counted(outcome.recorded, 'call')} recorded, {outcome.lost:,} lost; {verdict}")
        inform(f"trace {printable(str(trace.path))}")

    # By the user's own rights: what is read was written as that user.
    def _report(self, trace: Path) -> None:
        pid = os.fork()
        if not pid:
            _be_the_report(self._user, [str(trace), *(["--json"] if self._options.json else [])])
        while True:
            ended, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
            if ended and not os.WIFSTOPPED(status):
                return
            if ended:
                stop_as(os.WSTOPSIG(status))
                os.kill(pid, signal.SIGCONT)
                continue
            taken = self._signals.take(float("inf"))
            if taken is not None and taken.si_signo in ENDING:
                os.kill(pid, signal.SIGKILL)

    # What the command is, with the rights of the user alone.
    def _file(self) -> Path:
        worker = Worker(self._user, lambda: looked_up(self._command[0], os.environ))
        try:
            self._await_end(worker)
            file, status, problem = worker.result()
        finally:
            worker.close()
        if status:
            raise CommandError(problem, status)
        return Path(file)

    def _untraced(self, error: DatacrumbsError) -> int:
        status = Foreground(self._file(), self._command, self._user, self._mask).wait(self._signals)
        warn(f"not traced: {error.message}" + (f"\nhint: {error.hint}" if error.hint else ""))
        return status

    def _print_plan(self, plan: Plan) -> None:
        for group in plan.groups:
            print(f"{group.provider}: {group.target.path or 'kernel'}: {counted(len(group.functions), 'function')}")


def _be_the_report(user: Invoker, words: list[str]) -> NoReturn:
    try:
        os.dup2(2, 1)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        user.become()
        from datacrumbs.commands._main import main
        from datacrumbs.commands.report import COMMAND

        main(COMMAND, words)
    finally:
        os._exit(0)
