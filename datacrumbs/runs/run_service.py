"""The service of runs: starts and ends runs for users, from signed probe files of their own.

A run belongs to the connection on which it was asked for. When that closes, the run ends; when the service ends first,
the run goes on, and its client claims it from the next one.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from datacrumbs import __version__
from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.quantities import MEGABYTE
from datacrumbs.runs.kept_run import KeptRun, KeptRuns
from datacrumbs.runs.launching import first_of, until_over
from datacrumbs.runs.run_order import (
    ALLOWED,
    CLAIM,
    LIST,
    REQUEST_LIMIT,
    RUNS,
    START,
    STATUS,
    STOP,
    ShownRun,
    no_such_run,
    order_bytes,
    read_order,
)
from datacrumbs.serving.denial import DenialError
from datacrumbs.serving.protocol import frame
from datacrumbs.serving.server import Server
from datacrumbs.serving.shares import Limits

if TYPE_CHECKING:
    from datacrumbs.runs.launching import Launcher
    from datacrumbs.runs.run_order import Order
    from datacrumbs.serving.caller import Caller
    from datacrumbs.serving.reception import Visit
    from datacrumbs.serving.replies import RequestReport
    from datacrumbs.system import SystemPaths

ROOT = 0
CLAIM_SECONDS = 60.0
"""How long a run stays whose client has lost the service that started it."""
READY_SECONDS = 180.0
END_SECONDS = 120.0
LOOK_SECONDS = 0.02
LIMITS = Limits(connections_per_user=16, request_bytes=REQUEST_LIMIT)


@dataclass(slots=True, eq=False)
class _Live:
    """A run, and what has happened to it."""

    kept: KeptRun
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    holders: int = 0
    trace: str = ""
    log: str = ""

    @property
    def state(self) -> str:
        if self.stop.is_set() or self.gone.is_set():
            return "ending"
        return "running" if self.ready.is_set() else "starting"

    def shown(self) -> ShownRun:
        kept = self.kept
        return ShownRun(kept.run, kept.uid, kept.started, kept.label, self.state, self.trace)


class RunService(Server):
    """Starts, shows and ends runs.

    Args:
        paths: The installation.
        launcher: How runs become processes.
        limits: What callers may use up.
        claim_seconds: How long a run of an earlier service waits for its client.
        ready_seconds: How long a run may take to begin.
    """

    def __init__(
        self,
        paths: SystemPaths,
        launcher: Launcher,
        limits: Limits | None = None,
        claim_seconds: float = CLAIM_SECONDS,
        ready_seconds: float = READY_SECONDS,
    ) -> None:
        super().__init__(RUNS, limits or LIMITS)
        self._paths = paths
        self._places = KeptRuns(paths)
        self._launcher = launcher
        self._claim_seconds = claim_seconds
        self._ready_seconds = ready_seconds
        self._live: dict[str, _Live] = {}
        self._attending: set[asyncio.Task[None]] = set()

    async def begin(self) -> None:
        """Take the runs of an earlier service."""
        await super().begin()
        for kept in self._places.all():
            live = _Live(kept)
            self._look(live)
            self._attend(live, begin=False)
            self.loop.call_later(self._claim_seconds, self._end_unless_held, live)

    def judge(self, peer: Caller, body: bytearray, _digest: bytes) -> bytes:
        """Judge an order; see `order_bytes`."""
        return order_bytes(self._paths, peer, body)

    async def answer(self, visit: Visit) -> None:
        """Answer a connection's request; one that starts or claims a run is open for as long as that goes on."""
        body = await self.read(visit)
        async with self.turn(visit):
            peer = visit.peer
            report, reply = await self.judged(visit, body)
            if report.decision:
                self.note(visit, report)
                await self.send(visit, reply)
                return
            order = read_order(reply)
            live = self._begun(visit, order, report) if order.kind == START else None
            del reply
            self.hold(visit, 0)
        if order.kind in {STATUS, LIST, ALLOWED}:
            shown = {"status": "allowed", **order.rule} if order.kind == ALLOWED else self._shown(peer.uid, order.kind)
            await self.send(visit, frame(shown))
            return
        live = live or self._named(peer.uid, order.run)
        if order.kind == STOP:
            live.stop.set()
            await self.send(visit, frame({"status": "stopping", "run": order.run}))
            return
        assert order.kind in {START, CLAIM}  # noqa: S101 - `read_order` knows no other
        await self._held(visit, live)

    def _shown(self, uid: int, kind: str) -> dict[str, object]:
        if kind == STATUS:
            return {"status": "ready", "version": __version__, "as_units": self._launcher.as_unit}
        runs = [asdict(live.shown()) for live in self._live.values() if uid in {live.kept.uid, ROOT}]
        return {"status": "runs", "runs": runs}

    def _named(self, uid: int, run: str) -> _Live:
        live = self._live.get(run)
        if live is None or uid not in {live.kept.uid, ROOT}:
            raise no_such_run()
        return live

    def _begun(self, visit: Visit, order: Order, report: RequestReport) -> _Live:
        own = sum(live.kept.share == visit.share.key for live in self._live.values())
        if own >= order.at_once or len(self._live) >= order.in_all:
            whose = f"{own} of your runs go on" if own >= order.at_once else f"{len(self._live)} runs go on"
            most = order.at_once if own >= order.at_once else order.in_all
            raise DenialError(
                "runs.at_once",
                f"policy: {whose}; at most {most} at once",
                "wait until one has ended, or end one: datacrumbs_stop RUN",
                exit_code=ExitCode.FAILED,
            )
        self._check_room(order)
        run = f"run-{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(8)}"
        label, now = order.options.label, int(time.time())
        live = _Live(
            KeptRun(run, visit.peer.uid, visit.share.key, now, label, self._launcher.as_unit, order.options.bytes)
        )
        try:
            self._places.make(live.kept, order.signed, order.options)
        except (OSError, DatacrumbsError) as error:
            self._places.remove(run)
            words = error.message if isinstance(error, DatacrumbsError) else error.strerror
            raise DenialError(
                "runs.files", f"the run's files cannot be written: {words}", exit_code=ExitCode.FAILED
            ) from None
        self._attend(live, begin=True)
        self.note(visit, replace(report, decision="started", reason=run))
        return live

    # All of them can become as large as they may: as much again is left to others who write there.
    def _check_room(self, order: Order) -> None:
        needed = order.options.bytes + sum(live.kept.bytes for live in self._live.values())
        if 2 * needed > order.free:
            raise DenialError(
                "runs.room",
                f"{order.free / MEGABYTE:,.0f} MB are free where traces are kept, of which runs may take half; "
                f"with this one they could take {needed / MEGABYTE:,.0f} MB",
                "ask for a smaller trace (--max-size), or for an administrator to make room",
                exit_code=ExitCode.FAILED,
            )

    def _attend(self, live: _Live, *, begin: bool) -> None:
        self._live[live.kept.run] = live
        task = self.loop.create_task(self._to_its_end(live, begin=begin))
        self._attending.add(task)
        task.add_done_callback(self._attending.discard)

    # When the service ends, this is cancelled wherever it is; the next service takes the run up again.
    async def _to_its_end(self, live: _Live, *, begin: bool) -> None:
        starting = self.loop.create_task(self._started(live, begin=begin))
        await first_of(live.stop, live.gone)
        if not live.gone.is_set():
            await self._launcher.interrupt(live.kept)
            await first_of(live.gone, seconds=END_SECONDS)
        while not live.gone.is_set():
            await self._launcher.kill(live.kept)
            await first_of(live.gone, seconds=END_SECONDS)
        await starting
        self._places_cleared(live)

    async def _started(self, live: _Live, *, begin: bool) -> None:
        if begin:
            try:
                live.kept = await self._launcher.start(live.kept, self._places.keep)
                # A stop before there was something to be stopped did nothing.
                if live.stop.is_set():
                    await self._launcher.interrupt(live.kept)
            except (OSError, DatacrumbsError) as error:  # no process, or no room to write down which
                live.log = str(error)
        else:
            live.kept = await self._launcher.found(live.kept)
        if live.kept.pid:
            await self._until_gone(live)
        await self._launcher.clean_up(live.kept, ended_well=_status(live.kept.pid) in {0, None})
        live.gone.set()

    async def _until_gone(self, live: _Live) -> None:
        end = self.loop.create_task(until_over(live.kept.pid))
        deadline = self.loop.time() + self._ready_seconds
        while not end.done():
            self._look(live)
            if not live.ready.is_set() and self.loop.time() > deadline:
                live.log = f"it was not ready in {self._ready_seconds:g} s and was ended; this host may be very busy"
                live.stop.set()
            await asyncio.wait([end], timeout=None if live.ready.is_set() else LOOK_SECONDS)

    def _look(self, live: _Live) -> None:
        live.trace = live.trace or self._places.trace(live.kept.run)
        if live.trace:
            live.ready.set()

    def _places_cleared(self, live: _Live) -> None:
        run = live.kept.run
        live.log = "\n".join(filter(None, (live.log, self._places.log_tail(run))))
        self._places.remove(run)
        del self._live[run]
        live.over.set()

    def _end_unless_held(self, live: _Live) -> None:
        if not live.holders:
            live.stop.set()

    async def _held(self, visit: Visit, live: _Live) -> None:
        left = asyncio.Event()
        listening = self.loop.create_task(self._until_it_leaves(visit, left))
        live.holders += 1
        run = live.kept.run
        try:
            await self.send(visit, frame({"status": "starting", "run": run}))
            await first_of(live.ready, live.over, left, self.stopping)
            if live.ready.is_set():
                await self.send(visit, frame({"status": "ready", "run": run, "trace": live.trace}))
            await first_of(live.over, left, self.stopping)
            if left.is_set() and live.holders == 1:
                live.stop.set()
            await first_of(live.over, self.stopping)
            if live.over.is_set():
                with suppress(OSError, TimeoutError):  # its caller may have died
                    await self.send(visit, frame(self._outcome(live)))
        finally:
            listening.cancel()
            live.holders -= 1
            if not live.holders and not self.stopping.is_set():
                live.stop.set()

    def _outcome(self, live: _Live) -> dict[str, object]:
        return {
            "status": "ended",
            "run": live.kept.run,
            "ready": live.ready.is_set(),
            "trace": live.trace,
            "log": live.log,
        }

    # Whatever a client sends after its request, or that it closes its side, ends its run.
    async def _until_it_leaves(self, visit: Visit, left: asyncio.Event) -> None:
        with suppress(OSError):
            await self.loop.sock_recv(visit.connection, 1)
        left.set()


# None for a process that an earlier service has started, or systemd.
def _status(pid: int) -> int | None:
    try:
        return os.waitpid(pid, os.WNOHANG)[1] if pid else 1
    except ChildProcessError:
        return None
