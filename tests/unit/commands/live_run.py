"""A run that is looked at: the product's own writer and its socket, without a kernel behind them."""

from __future__ import annotations

import io
import os
import select
import threading
from typing import TYPE_CHECKING

from datacrumbs.daemon.identity import Owner
from datacrumbs.daemon.run_files import RunFiles
from datacrumbs.daemon.snapshot_server import SnapshotServer
from datacrumbs.trace.snapshot import ENDED, RUNNING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    from datacrumbs.trace.writer import TraceWriter

ME = Owner(os.geteuid(), os.getegid(), "me")


class LiveRun:
    """A run of the synthetic trace's calls, which answers until it is ended.

    Args:
        synthetic: Where its calls come from.
        prefix: Of the installation.
        run: Its id.
        snapshot: Makes what is answered of the writer and the state.
    """

    def __init__(
        self, synthetic: ModuleType, prefix: Path, run: str, snapshot: Callable[[TraceWriter, str], bytes] | None = None
    ) -> None:
        self.writer = synthetic.TraceWriter(
            io.BytesIO(), synthetic.plan(), host="node1", epoch_offset_ns=0, user="ada", flush_seconds=1.0, run_id=run
        )
        for batch in synthetic.batches(13):
            self.writer.write(batch)
        self.files = RunFiles(prefix / "run/datacrumbs", run)
        self.files.announce(prefix / "trace", ME)
        self._make = snapshot or (lambda writer, state: writer.snapshot(state))
        self._snapshots = SnapshotServer(self.files.listen(ME), ME.uid)
        self._woken, self._waker = os.pipe()
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def _answer(self) -> None:
        while self._woken not in select.select([self._woken, *self._snapshots.wakers], [], [], 0.02)[0]:
            self._snapshots.hear()
            if self._snapshots.is_asked:
                self._snapshots.answer(lambda: self._make(self.writer, RUNNING))
        self._snapshots.hear()
        self._snapshots.answer(lambda: self._make(self.writer, ENDED), everyone=True)
        self._snapshots.close()

    def end(self) -> None:
        """Let it end; idempotent."""
        if self._thread.is_alive():
            os.write(self._waker, b"x")
        self._thread.join()
        self.files.close()

    def close(self) -> None:
        """End it, and free what it has."""
        self.end()
        os.close(self._woken)
        os.close(self._waker)
