"""The process that writes: from the rings' records to the trace, as the run's user and without privileges.

It gets the rings and each file as descriptors and opens nothing itself. When the process that traces is
gone, it writes what the rings still hold.
"""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

from datacrumbs.daemon import messages
from datacrumbs.daemon.channel import Channel, Gone, Received
from datacrumbs.daemon.profile_transfer import read_profiles
from datacrumbs.daemon.snapshot_server import SnapshotServer
from datacrumbs.daemon.spool import Spool
from datacrumbs.engine.ring import RingMaps, Rings
from datacrumbs.errors import DatacrumbsError
from datacrumbs.model.record import Batch, FunctionCounts
from datacrumbs.trace.clocks import clock_readings
from datacrumbs.trace.footer import Footer
from datacrumbs.trace.mounts import node_mounts
from datacrumbs.trace.notes import Note
from datacrumbs.trace.snapshot import CUT_SHORT, ENDED, RUNNING
from datacrumbs.trace.writer import TraceWriter

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray


_SHORTEST_WAIT = 0.004  # batches of some size are cheaper to write, and smaller when written
_LONGEST_WAIT = 0.25  # the kernel side wakes us before that when the ring begins to fill
_PROFILES = 4096  # written at once


def write_trace(channel: Channel, request: messages.WritingRequest) -> None:
    """Wait for the rings and the file, write until the order to finish, say what became of the calls."""
    try:
        received = channel.wait()
    except Gone:
        return  # the run never began
    begin: messages.Begin = received.message
    calls, names, trace = received.descriptors
    rings = Rings(RingMaps(calls, begin.calls_size, names, begin.names_size))
    os.close(names)
    stream = os.fdopen(trace, "wb", buffering=0)
    configuration = request.configuration
    try:
        writer = TraceWriter(
            stream,
            request.plan,
            host=request.host,
            epoch_offset_ns=begin.epoch_offset_ns,
            user=request.user,
            run_id=request.run_id,
            flush_seconds=configuration.flush_seconds,
            redact_paths=configuration.redact_paths,
            max_megabytes=configuration.max_megabytes,
            names_mib=configuration.names_mib,
            mounts=node_mounts(),
            clock=clock_readings(request.clock_setter).__next__,
        )
    except DatacrumbsError as error:
        _say_failed(channel, error)
        return
    Writing(channel, writer, Spool(rings, configuration.spool_mib), waker=calls).run()


class Writing:
    """The work from the first record to the footer."""

    def __init__(self, channel: Channel, writer: TraceWriter, spool: Spool, *, waker: int) -> None:
        self._channel = channel
        self._writer = writer
        self._spool = spool
        self._waker = waker
        self._snapshots: SnapshotServer | None = None
        self._finish: messages.Finish | None = None
        self._deadline = float("inf")
        self._alone = False
        self._told_full = False

    def run(self) -> None:
        self._say(messages.Begun())
        wait = _SHORTEST_WAIT
        while True:
            taken = self._spool.fill()
            item = self._spool.take()
            if item is not None:
                self._write(item)
                wait = _SHORTEST_WAIT
            elif not taken and (self._finish or self._alone):
                break
            else:
                wait = min(wait * 2, _LONGEST_WAIT)
            self._try(self._writer.tick)
            if self._writer.full and not self._told_full:
                self._told_full = True
                self._say(messages.Full())
            self._show(drained=item is None)
            self._listen(0.0 if self._spool.waiting else wait, asleep=item is None)
        self._try(self._writer.flush)
        if self._finish:
            self._close(self._finish)
        if self._snapshots:
            state = ENDED if self._finish else CUT_SHORT
            self._snapshots.answer(lambda: self._writer.snapshot(state), everyone=True)
            self._snapshots.close()

    def _listen(self, seconds: float, *, asleep: bool) -> None:
        if self._alone or self._finish:
            return
        wakers = [self._waker] if asleep else []
        if self._snapshots:
            wakers += self._snapshots.wakers
            seconds = min(seconds, _SHORTEST_WAIT) if self._snapshots.is_busy else seconds
        try:
            received = self._channel.receive(seconds, wakers)
        except Gone:
            self._alone = True
            return
        if received is not None:
            self._obey(received)

    # What ended before the question is in the answer, if the rings are emptied in time.
    def _show(self, *, drained: bool) -> None:
        if not self._snapshots:
            return
        self._snapshots.hear()
        if self._snapshots.is_asked and (drained or self._snapshots.is_overdue):
            self._snapshots.answer(lambda: self._writer.snapshot(RUNNING))

    def _obey(self, received: Received) -> None:
        match received.message:
            case messages.Show(uid=uid):
                listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, received.descriptors[0])
                self._snapshots = SnapshotServer(listener, uid)
            case messages.Finish(seconds=seconds) as finish:
                self._finish = finish
                self._deadline = time.monotonic() + seconds
            case messages.AddProfiles():  # names that they refer to may wait before them
                self._spool.fill()
                self._spool.put(read_profiles(*received.descriptors))
            case messages.AddNotes(notes=notes):
                self._try(lambda: self._writer.note(*(Note(*note) for note in notes)))  # type: ignore[arg-type]
            case messages.Arguments(process=process, beginning=beginning, whole=whole):
                self._try(lambda: self._writer.add_arguments(process, bytes.fromhex(beginning), whole))
            case messages.Continue(provenance=provenance):
                stream = os.fdopen(received.descriptors[0], "wb", buffering=0)
                self._try(lambda: self._writer.continue_in(stream, provenance).close())

    def _write(self, item: Batch | NDArray[np.void]) -> None:
        if isinstance(item, Batch):
            self._in_time(lambda: self._writer.write(item))
            return
        for start in range(0, len(item), _PROFILES):
            self._in_time(lambda start=start: self._writer.write_profiles(item[start : start + _PROFILES]))  # type: ignore[misc]
        self._say(messages.Profiled())

    # What is left when the time is over is counted as lost: the footer is worth more.
    def _in_time(self, work: Callable[[], None]) -> None:
        if time.monotonic() >= self._deadline:
            self._writer.give_up()
        self._try(work)

    def _close(self, finish: messages.Finish) -> None:
        counts = [FunctionCounts() for _ in range(finish.functions)]
        for index, values in finish.counts:
            counts[index] = FunctionCounts(**values)  # type: ignore[arg-type]
        for index, count in enumerate(counts):
            # What user space filtered or could not write was recorded by the kernel side.
            filtered = int(self._writer.filtered[index])
            lost = {cause: int(calls[index]) for cause, calls in self._writer.lost.items()}
            count.recorded -= filtered + sum(lost.values())
            count.filtered += filtered
            count.lost.update({cause: calls for cause, calls in lost.items() if calls})
        self._writer.profiles.settle(counts)
        self._try(lambda: self._writer.close(Footer(counts, finish.provenance, finish.totals)))
        self._say(
            messages.Written(
                entered=sum(count.entered for count in counts),
                recorded=sum(count.recorded for count in counts),
                lost=sum(sum(count.lost.values()) for count in counts),
                balanced=all(count.balanced for count in counts),
            )
        )

    # A file that cannot be written is said once; from then on the calls are counted.
    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except DatacrumbsError as error:
            if not self._alone:
                try:
                    _say_failed(self._channel, error)
                except Gone:
                    self._alone = True

    def _say(self, message: object) -> None:
        try:
            self._channel.send(message)
        except Gone:
            self._alone = True


def _say_failed(channel: Channel, error: DatacrumbsError) -> None:
    channel.send(messages.Failed(error.message, error.hint))
