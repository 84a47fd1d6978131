"""The process that seals, as the process that traces sees it."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from datacrumbs.daemon import confinement
from datacrumbs.daemon.child_process import ChildProcess
from datacrumbs.daemon.messages import FROM_SEALER, TO_SEALER, Begun, Sealed, SealEnd, SealPart, SealRun
from datacrumbs.errors import DatacrumbsError
from datacrumbs.secure import privilege
from datacrumbs.secure.file_systems import is_served_by_user
from datacrumbs.secure.files import CREATE_FLAGS
from datacrumbs.secure.user_rights import NOBODY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from datacrumbs.daemon.channel import Channel
    from datacrumbs.daemon.parts import Parts

Answer = TypeVar("Answer", Begun, Sealed)

_ANSWER_LIMIT = 1 << 16
_BEGIN_SECONDS = 60.0
_WRITING_SECONDS = 5.0  # beyond the time to read the trace
_HINT = "run datacrumbs_setup as root: it creates the key that seal_traces in datacrumbs.yaml needs"


class SealerProcess(ChildProcess):
    """The process that seals a run.

    Args:
        key: The private key.
        directory: Where seals are kept.
        run_id: The run.
    """

    def __init__(self, key: Path, directory: Path, run_id: str) -> None:
        self._directory = directory
        self._run_id = run_id
        self._name = ""
        super().__init__(TO_SEALER, FROM_SEALER, lambda: _prepared(key), _ANSWER_LIMIT)

    @property
    def seal(self) -> Path:
        """The seal; empty until the run has ended."""
        return self._directory / self._name

    def begin(self, about: Mapping[str, str | int], now: float) -> None:
        """Make the seal's file, and say what the run is: the fields of a `Summary` that are known.

        Raises:
            DatacrumbsError: There is no key, or the file cannot be made.
        """
        moment = datetime.fromtimestamp(now, UTC)
        self._name = f"{self._run_id}-{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03}Z.seal.json"
        try:
            descriptor = os.open(self.seal, CREATE_FLAGS, 0o400)
        except OSError as error:
            raise DatacrumbsError(f"{self.seal}: cannot be created: {error.strerror}", hint=_HINT) from None
        try:
            self.send(SealRun(about), [descriptor])
            self._answer(Begun, _BEGIN_SECONDS)
        except BaseException:
            self.discard()
            raise
        finally:
            os.close(descriptor)

    def add(self, parts: Parts) -> None:
        """Tell it of the file of a trace that is written now. What a user's program serves is named and never read."""
        descriptor = parts.stream.fileno()
        served = is_served_by_user(descriptor)
        self.send(SealPart(parts.current.name), [] if served else [descriptor])

    def finish(self, about: Mapping[str, str | int | bool], counts: Mapping[str, int], seconds: float) -> int:
        """Have it read the trace and write the seal, in about this time; gives how many files it could not read.

        Raises:
            DatacrumbsError: It cannot.
        """
        self.send(SealEnd(about, counts, seconds))
        return self._answer(Sealed, seconds + _WRITING_SECONDS).unread

    def discard(self) -> None:
        """Remove the seal of a run that never began."""
        if self._name:
            self.seal.unlink(missing_ok=True)

    def _answer(self, kind: type[Answer], seconds: float) -> Answer:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            received = self.receive(left)
            if received and isinstance(received.message, kind):
                return received.message
        raise self.gone()

    def gone(self) -> DatacrumbsError:
        """The error that it is gone, or slow."""
        return DatacrumbsError(
            f"{self.seal}: the process that seals the trace ended, or took too long",
            hint="the trace itself is not affected; was the process killed, or is its file system slow?",
        )


# Nobody: it needs no right but its descriptors, and others of nobody cannot look into it (not dumpable).
def _prepared(key_file: Path) -> Callable[[Channel], None]:
    from datacrumbs.daemon.sealing import refuse, seal_run  # noqa: PLC0415 - only where seals are made
    from datacrumbs.signer.private_key import load_private_key  # noqa: PLC0415 - likewise

    work = partial(refuse, DatacrumbsError(f"{key_file}: no key to seal with", hint=_HINT))
    try:
        if os.path.lexists(key_file):
            work = partial(seal_run, key=load_private_key(key_file))
    except DatacrumbsError as error:
        work = partial(refuse, error)
    privilege.become(NOBODY, NOBODY)
    confinement.change_no_files()
    return work
