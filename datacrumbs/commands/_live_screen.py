"""A live view of a run on a terminal: drawn by the sequences that every terminal has, keys read one by one."""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import termios
import time
import tty
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.cells import chop_cells

from datacrumbs.commands._live_table import FIELDS, NAME, Choice, table_lines
from datacrumbs.errors import DatacrumbsError
from datacrumbs.output import printable, terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datacrumbs.runs.snapshot_client import WatchedRun

_VIEWS = {"f": "function", "i": "file", "p": "process", "r": "rank", "l": "layer"}
_SORTS = {
    "b": "busy",
    "c": "rate",
    "t": "throughput",
    "C": "calls",
    "E": "errors",
    "B": "bytes",
    "T": "time",
    "n": NAME,
}
_ORDER = (*FIELDS, NAME)
_QUIT = {"q", "Q", "\x04", ""}
_HELP = "view: f i p r l (function file process rank layer)   order: < > b c t C E B T n   q quit"
_BEGIN, _END = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _REST_OF_LINE, _REST = "\x1b[H", "\x1b[K", "\x1b[J"
_REVERSE, _PLAIN = "\x1b[7m", "\x1b[0m"
_KEYS = 64
_LONG_AGO = float("-inf")


class Screen:
    """Shows a run until a key ends it.

    Args:
        look: The run.
        choice: What is shown first.
        interval: Seconds between two looks.
    """

    def __init__(self, look: WatchedRun, choice: Choice, interval: float) -> None:
        self._look = look
        self._choice = choice
        self._interval = interval
        self._document: dict[str, Any] | None = None
        self._asked = _LONG_AGO
        self._waits = False
        self._is_to_stop = False
        self._problem = ""
        self._plain = "NO_COLOR" in os.environ
        self._input = sys.stdin.fileno()
        self._output = terminal(sys.stdout)

    def run(self) -> None:
        """Show it; the terminal is afterwards as it was before."""
        with self._terminal() as (woken, before):
            while True:
                self._ask()
                self._draw()
                readable = [self._input, woken, *([] if self._look.ended or self._problem else [self._look])]
                found = select.select(readable, [], [], self._wait())[0]
                if woken in found:
                    os.read(woken, _KEYS)
                if self._is_to_stop:
                    self._stop(before)
                if self._look in found:
                    self._hear()
                if self._input in found and not all(
                    map(self._take, os.read(self._input, _KEYS).decode("latin-1") or [""])
                ):
                    return

    def _ask(self) -> None:
        if self._waits or self._look.ended or self._problem or time.monotonic() - self._asked < self._interval:
            return
        self._look.question()
        self._asked, self._waits = time.monotonic(), True

    def _wait(self) -> float | None:
        if self._waits or self._look.ended or self._problem:
            return None
        return max(self._asked + self._interval - time.monotonic(), 0)

    def _hear(self) -> None:
        try:
            found = self._look.heard()
        except (DatacrumbsError, OSError) as error:
            self._problem = str(error)
            return
        if found is not None:
            self._document, self._waits = found, False
        elif self._look.ended and (self._document is None or self._document["state"] == "running"):
            self._problem = "the run has gone"

    # Whether to go on.
    def _take(self, key: str) -> bool:
        view, sort = self._choice.view, self._choice.sort
        place = _ORDER.index(sort)
        step = {"<": -1, ",": -1, ">": 1, ".": 1}.get(key, 0)
        self._choice = Choice(_VIEWS.get(key, view), _SORTS.get(key, _ORDER[(place + step) % len(_ORDER)]))
        return key not in _QUIT

    def _draw(self) -> None:
        columns, rows = shutil.get_terminal_size()
        lines = [f"asking run {self._look.run} ..."]
        if self._document is not None:
            lines = table_lines(self._document, self._choice, columns, marked=True)
        foot = chop_cells(printable(self._problem or _HELP), max(columns, 1))
        lines = lines[: max(rows - len(foot), 0)]
        lines += [""] * (rows - len(foot) - len(lines))
        shown = [*lines, *(foot if self._plain else [f"{_REVERSE}{line}{_PLAIN}" for line in foot])][:rows]
        self._output.write(_HOME + f"{_REST_OF_LINE}\n".join(shown) + _REST_OF_LINE + _REST)
        self._output.flush()

    @contextmanager
    def _terminal(self) -> Iterator[tuple[int, list[Any]]]:
        before = termios.tcgetattr(self._input)
        woken, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        old_waker = signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        handlers = {
            number: signal.signal(number, handler)
            for number, handler in (
                (signal.SIGWINCH, lambda *_: None),
                (signal.SIGTERM, _leave),
                (signal.SIGHUP, _leave),
                (signal.SIGTSTP, self._want_to_stop),
            )
        }
        try:
            self._enter()
            yield woken, before
        finally:
            self._exit(before)
            signal.set_wakeup_fd(old_waker)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            os.close(woken)
            os.close(waker)

    def _enter(self) -> None:
        tty.setcbreak(self._input)
        self._output.write(_BEGIN)
        self._output.flush()

    def _exit(self, before: list[Any]) -> None:
        self._output.write(_END)
        self._output.flush()
        termios.tcsetattr(self._input, termios.TCSADRAIN, before)

    # A signal may come while something is drawn.
    def _want_to_stop(self, *_: object) -> None:
        self._is_to_stop = True

    def _stop(self, before: list[Any]) -> None:
        self._is_to_stop = False
        self._exit(before)
        os.kill(os.getpid(), signal.SIGSTOP)
        self._enter()


def _leave(*_: object) -> None:
    raise SystemExit(0)
