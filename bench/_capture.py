"""Records as the product captures them, kept with all that its writer gave the library that renders them."""

from __future__ import annotations

import io
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from _workloads import CLOCKED, Workload

from datacrumbs import client
from datacrumbs.daemon.spool import Spool
from datacrumbs.engine.engine import Engine, Marks
from datacrumbs.engine.ring import Rings
from datacrumbs.model.record import Batch
from datacrumbs.probefile.targets import OpenTargets
from datacrumbs.system import SystemConfiguration
from datacrumbs.trace import writer as trace_writer
from datacrumbs.trace.lines import Lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from datacrumbs.model.plan import Plan
    from datacrumbs.trace.templates import Templates

Step = tuple[str, tuple[Any, ...], dict[str, Any]]
_WAIT_SECONDS = 0.004


class Recorder(Lines):
    """Renders, and keeps what it was asked for."""

    def __init__(self, functions: int, epoch_offset_ns: int, *, filtering: bool) -> None:
        super().__init__(functions, epoch_offset_ns, filtering=filtering)
        self.steps: list[Step] = []

    def function(self, number: int, templates: Templates) -> None:
        self._keep("function", number, templates)
        super().function(number, templates)

    def name(self, identity: int, number: int, *, included: bool) -> None:
        self._keep("name", identity, number, included=included)
        super().name(identity, number, included=included)

    def forget_processes(self) -> None:
        self._keep("forget_processes")
        super().forget_processes()

    def missing(self, calls: NDArray[np.void]) -> NDArray[np.void]:
        self._keep("missing", calls)
        return super().missing(calls)

    def take(self, calls: NDArray[np.void]) -> None:
        self._keep("take", calls)
        super().take(calls)

    def render(self) -> bool:
        self._keep("render")
        return super().render()

    def text(self, text: bytes) -> bool:
        self._keep("text", text)
        return super().text(text)

    def member(self) -> bytes:
        self._keep("member")
        return super().member()

    def _keep(self, name: str, *arguments: Any, **options: Any) -> None:
        self.steps.append((name, arguments, options))


class Recording:
    """What the writer asked the library for while one program ran.

    Args:
        functions: Of the plan.
        steps: Name of a method of `Lines` and its arguments, in order.
    """

    def __init__(self, functions: int, steps: Sequence[Step]) -> None:
        self.functions = functions
        self.steps = steps
        self.calls = sum(len(arguments[0]) for name, arguments, _ in steps if name == "take")

    def replay(self, lines: Lines) -> list[bytes]:
        """The gzip members that come of it."""
        members = []
        for name, arguments, options in self.steps:
            result = getattr(lines, name)(*arguments, **options)
            if name == "member":
                members.append(result)
        return members


def record(plan: Plan, workload: Workload) -> Recording:
    """Trace one run of a program by the product's engine, and write its trace to nowhere."""
    workload.prepare()
    with tempfile.TemporaryDirectory(prefix="datacrumbs-bench-") as directory:
        configuration = SystemConfiguration(trace_log_dir=Path(directory))
        engine = Engine.load(plan, configuration, Marks(os.getuid()), Path(directory))
        try:
            with OpenTargets(plan) as targets:
                engine.attach(targets, [client.client_library(), client.launcher()])
            spool = Spool(Rings(engine.ring_maps), configuration.spool_mib)
            return _written(
                plan, spool, [str(client.launcher()), *(word for word in workload.command if word != CLOCKED)]
            )
        finally:
            engine.close()


# The loop of `datacrumbs.daemon.writing` without the messages.
def _written(plan: Plan, spool: Spool, command: Sequence[str]) -> Recording:
    with mock.patch.object(trace_writer, "Lines", Recorder):
        writer = trace_writer.TraceWriter(
            io.BytesIO(),
            plan,
            host="node",
            epoch_offset_ns=time.time_ns() - time.monotonic_ns(),
            user="user",
            flush_seconds=1.0,
        )
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        ended = False
        while True:
            taken, item = spool.fill(), spool.take()
            if isinstance(item, Batch):
                writer.write(item)
            elif ended and not taken:
                break
            else:
                ended = process.poll() is not None
                time.sleep(_WAIT_SECONDS)
            writer.tick()
        if process.returncode:
            raise SystemExit(f"{command}: exit {process.returncode}")
    writer.flush()
    return Recording(len(plan.functions), writer._lines.steps)  # noqa: SLF001 -- it is ours, put there above
