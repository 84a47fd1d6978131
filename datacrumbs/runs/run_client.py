"""Asking the service of runs, as any user: the run lives for as long as its connection, or the one that claims it."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from datacrumbs.errors import DatacrumbsError, unforeseen
from datacrumbs.probefile.codec import parse
from datacrumbs.runs.run_order import ALLOWED, CLAIM, LIST, STATUS, STOP, ShownRun, start_request
from datacrumbs.serving.asking import BUSY, PassingError, patiently
from datacrumbs.serving.denial import DenialError, refused_by
from datacrumbs.serving.protocol import REPLY_LIMIT, VERSION, frame, receive_message

if TYPE_CHECKING:
    from datacrumbs.runs.order_options import OrderOptions
    from datacrumbs.system import SystemPaths

    _Opened = tuple[socket.socket, dict[str, Any]]

ANSWER_SECONDS = 600.0
"""Longer than the service takes at most to judge a request, as for signatures."""
RECLAIM_SECONDS = 30.0
"""How long a client tries to claim its run from the service's successor; less than the service waits for it."""
BUSY_SECONDS = 60.0
HINT = "systemctl start datacrumbs_runs.socket, or as root: datacrumbs_runs"


def is_served(paths: SystemPaths) -> bool:
    """Whether a service of runs answers here."""
    with suppress(DatacrumbsError):
        return _asked(paths, {"request": STATUS}).get("status") == "ready"
    return False


def allowed_runs(paths: SystemPaths) -> dict[str, Any]:
    """What runs the caller may have, by the policy: ``modes``, ``at_once``, ``duration``, ``size`` and ``total``.

    Raises:
        DenialError: (exit 3) when the caller may have none.
        DatacrumbsError: (exit 1) when no service answers.
    """
    return _asked(paths, {"request": ALLOWED})


def shown_runs(paths: SystemPaths) -> tuple[ShownRun, ...]:
    """The caller's runs that go on; for root everyone's.

    Raises:
        DatacrumbsError: (exit 1) when no service answers.
    """
    return tuple(ShownRun(**run) for run in _asked(paths, {"request": LIST})["runs"])


def stop_run(paths: SystemPaths, run: str) -> None:
    """Have a run of the caller's come to its end.

    Raises:
        DenialError: (exit 3) when the caller has no such run.
    """
    _asked(paths, {"request": STOP, "run": run})


class RunningRun:
    """A run of the service, for as long as this is open.

    Args:
        paths: The installation.
        signed: The probe file.
        options: How it is recorded.

    Raises:
        DenialError: (exit 3) when the service refuses.
        DatacrumbsError: (exit 1) when no service answers.
    """

    def __init__(self, paths: SystemPaths, signed: bytes, options: OrderOptions) -> None:
        self._paths = paths
        request = start_request(signed, options)
        self._connection, reply = patiently(lambda: open_request(paths, request), BUSY_SECONDS)
        self._news = b""
        self.run_id = str(reply["run"])
        self.trace = ""
        self.log = ""
        self.ready = False
        self.ended = False
        self._stopping = False
        self._claim: _Claim | None = None

    def fileno(self) -> int:
        """Readable when there is something to `listen` to."""
        return self._claim.fileno() if self._claim is not None else self._connection.fileno()

    def listen(self) -> None:
        """Take what the service says, and wait for it; when it has gone, claim the run from its successor.

        The claim is made beside this: what `fileno` gives is another descriptor then.

        Raises:
            DenialError: (exit 3) when the successor has no such run.
            DatacrumbsError: (exit 1) when there is no successor: then the run ends by itself at its time limit.
        """
        if self._claim is not None:
            claim, self._claim = self._claim, None
            self._connection, reply = claim.result()
            if self._stopping:
                self.stop()
        else:
            try:
                reply = _received(self._connection)
            except PassingError:
                self._connection.close()
                self._claim = _Claim(self._paths, self.run_id)
                return
        if reply.get("status") == "refused":
            raise refused_by("service of runs", reply)
        self.ready = self.ready or reply["status"] == "ready" or bool(reply.get("ready"))
        self.trace = str(reply.get("trace") or self.trace)
        if reply["status"] == "ended":
            self.ended, self.log = True, str(reply.get("log", ""))

    def stop(self) -> None:
        """Have it come to its end: `ended` follows."""
        self._stopping = True
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Let go of it: a run that has not ended does so; idempotent."""
        if self._claim is not None:
            self._claim.give_up()
        self._connection.close()


class _Claim:
    """The claim of a run whose service has gone, in a thread: its user is not kept waiting meanwhile."""

    def __init__(self, paths: SystemPaths, run: str) -> None:
        self._request: dict[str, object] = {"request": CLAIM, "run": run}
        self._paths, self._run = paths, run
        self._given_up = threading.Event()
        self._opened: _Opened | DatacrumbsError | None = None
        self._read_end, self._write_end = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._be_made, daemon=True)
        self._thread.start()

    def fileno(self) -> int:
        """Readable when the claim is decided."""
        return self._read_end

    def result(self) -> _Opened:
        """What came of it; waits for that. Once only.

        Raises:
            DatacrumbsError: Nothing.
        """
        self._thread.join()
        os.close(self._read_end)
        if isinstance(self._opened, tuple):
            return self._opened
        raise self._opened or DatacrumbsError("the claim of the run was given up")

    def give_up(self) -> None:
        """Let go of the run."""
        self._given_up.set()

    def _be_made(self) -> None:
        try:
            self._opened = self._patiently()
        except DatacrumbsError as error:
            self._opened = error
        except Exception as error:  # noqa: BLE001 - said where it is waited for
            self._opened = unforeseen(error)
        finally:
            os.close(self._write_end)

    def _patiently(self) -> _Opened:
        end = time.monotonic() + RECLAIM_SECONDS
        while True:
            try:
                opened = open_request(self._paths, self._request)
            except DenialError:
                raise
            except (DatacrumbsError, PassingError):
                pass
            else:
                if self._given_up.is_set():
                    opened[0].close()
                return opened
            if time.monotonic() > end:
                raise DatacrumbsError(
                    f"the service of runs has gone; run {self._run} ends at its time limit", hint=HINT
                )
            # So that clients do not ask in step.
            if self._given_up.wait(random.uniform(0.05, 0.2)):  # noqa: S311
                raise DatacrumbsError("the claim of the run was given up")


def _asked(paths: SystemPaths, request: dict[str, object]) -> dict[str, Any]:
    connection, reply = patiently(lambda: open_request(paths, request), BUSY_SECONDS)
    connection.close()
    return reply


def open_request(paths: SystemPaths, request: dict[str, object]) -> _Opened:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        try:
            connection.connect(str(paths.runs_socket))
        except OSError as error:
            raise DatacrumbsError(
                f"{paths.runs_socket}: the service of runs is not running: {error.strerror or error}", hint=HINT
            ) from None
        connection.settimeout(ANSWER_SECONDS)
        body = frame({"version": VERSION, **request})
        with suppress(BrokenPipeError, ConnectionResetError):  # one that has refused already does not read
            connection.sendall(body)
        reply = _received(connection)
        connection.settimeout(None)
    except BaseException:
        connection.close()
        raise
    if reply.get("status") == "refused":
        connection.close()
        refused = refused_by("service of runs", reply)
        raise PassingError(refused) if refused.code == BUSY else refused
    return connection, reply


def _received(connection: socket.socket) -> dict[str, Any]:
    try:
        reply = parse(receive_message(connection, REPLY_LIMIT), "reply")
    except TimeoutError:
        raise DatacrumbsError("the service of runs does not answer", hint=HINT) from None
    except (EOFError, OSError):
        raise PassingError(DatacrumbsError("the service of runs does not answer", hint=HINT)) from None
    if not isinstance(reply, dict):
        raise DatacrumbsError("the reply is not an object; is it the service of runs?")
    return reply
