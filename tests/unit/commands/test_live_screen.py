"""``datacrumbs_top`` on a terminal: keys, sizes, the end of a run, and what it leaves of the terminal."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from typing import TYPE_CHECKING

import pytest

from .live_run import LiveRun
from .scripts import SCRIPTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BOUND = 120.0
HOME, END = "\x1b[H", "\x1b[J"
LEFT = "\x1b[?25h\x1b[?1049l"
_SEQUENCE = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")


class Terminal:
    """A terminal with the command on it."""

    def __init__(self, prefix: Path, *words: str, size: tuple[int, int] = (24, 100), **environment: str) -> None:
        self.ours, self.theirs = pty.openpty()
        self.resize(*size)
        self.before = termios.tcgetattr(self.theirs)
        self.text = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()  # what is read may end within a character
        variables = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "COLUMNS", "LINES"}}
        self.process = subprocess.Popen(
            [SCRIPTS / "datacrumbs_top", "--prefix", prefix, "4711", *words],
            stdin=self.theirs, stdout=self.theirs, stderr=self.theirs, start_new_session=True,
            env={**variables, "TERM": "xterm", "LANG": "C.UTF-8", **environment},
        )  # fmt: skip

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def type(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    @property
    def screen(self) -> str:
        """The last screen that is whole: a terminal gives what is drawn in pieces."""
        return _SEQUENCE.sub("", self.text.rpartition(END)[0].rpartition(HOME)[2])

    def until(self, reached: Callable[[str], object], *, whole: bool = False) -> str:
        end = time.monotonic() + BOUND
        while not reached(self.text if whole else self.screen):
            assert time.monotonic() < end, self.screen
            if select.select([self.ours], [], [], 0.1)[0]:
                self.text += self._decoder.decode(os.read(self.ours, 1 << 16))
        return self.screen

    def ended(self) -> int:
        self.until(lambda text: text.endswith(LEFT), whole=True)
        status = self.process.wait(BOUND)
        assert termios.tcgetattr(self.theirs) == self.before
        return status

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def live(synthetic, tmp_path: Path) -> Iterator[LiveRun]:
    run = LiveRun(synthetic, tmp_path, "4711")
    yield run
    run.close()


@pytest.fixture
def terminal(live: LiveRun, tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    made = []

    def start(*words: str, **options) -> Terminal:
        made.append(Terminal(tmp_path, *words, **options))
        return made[-1]

    yield start
    for each in made:
        each.close()


def heads(*names: str) -> Callable[[str], object]:
    return lambda screen: re.search(rf"^ *{names[0]} +.*{re.escape(names[-1])}", screen, re.MULTILINE)


def test_keys_choose_views_and_orders(terminal) -> None:
    shown = terminal("--interval", "100ms")
    shown.until(heads("layer +function", "busy*"))
    for keys, wanted in (
        ("i", ("file", "busy*")), ("p", ("process +program", "busy*")), ("r", ("rank +job", "busy*")),
        ("l", ("layer", "busy*")), ("f", ("layer +function", "busy*")), ("B", ("layer +function", "bytes*")),
        ("C", ("layer +function", "calls*")), (">", ("layer +function", "errors*")),
        ("<<", ("layer +function", "bytes/s*")),
        ("iE", ("file", "errors*")),
    ):  # fmt: skip
        shown.type(keys)
        shown.until(heads(*wanted))
    shown.type("n")
    screen = shown.until(lambda text: "*" not in text.replace("/data", ""))
    files = [line.split()[0] for line in screen.splitlines() if line.startswith("/data")]
    assert files == sorted(files)
    shown.type("q")
    assert shown.ended() == 0


def test_it_goes_on_until_the_run_ends_and_stays(terminal, live: LiveRun) -> None:
    shown = terminal("--interval", "50ms")
    shown.until(lambda screen: "running" in screen)
    live.end()
    shown.until(lambda screen: ": ended, " in screen)
    shown.type("l")
    shown.until(heads("layer", "busy*"))
    shown.type("q")
    assert shown.ended() == 0


def test_it_follows_the_size_and_cuts_no_number(terminal) -> None:
    shown = terminal("--interval", "1h")
    wide = shown.until(heads("layer +function", "time"))
    figures = set(re.findall(r"[0-9][0-9.,]*", wide.split("layer", 1)[1]))
    shown.resize(60, 31)
    os.kill(shown.process.pid, signal.SIGWINCH)
    narrow = shown.until(lambda screen: "\r\n" in screen and max(map(len, screen.splitlines())) <= 31)
    kept = set(re.findall(r"[0-9][0-9.,]*", narrow))
    first = re.search(r"^POSIX.*$|^system.*$", wide, re.MULTILINE)
    assert first
    assert set(re.findall(r" ([0-9][0-9.,]*)", first[0])) <= kept | figures - figures
    assert len(narrow.splitlines()) <= 60


@pytest.mark.parametrize("size", [(1, 1), (2, 7), (5, 200), (0, 0)])
def test_no_size_is_too_small(terminal, size: tuple[int, int]) -> None:
    shown = terminal(size=size)
    shown.until(lambda text: text.count(HOME) >= 2, whole=True)
    shown.type("ifplr<>")
    shown.type("q")
    assert shown.ended() == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_signals_leave_the_terminal_as_it_was(terminal, number: int, status: int) -> None:
    shown = terminal()
    shown.until(lambda screen: "running" in screen)
    shown.process.send_signal(number)
    assert shown.ended() == status


def test_stopped_and_continued(terminal) -> None:
    shown = terminal("--interval", "50ms")
    shown.until(lambda screen: "running" in screen)
    os.kill(shown.process.pid, signal.SIGTSTP)
    assert os.WIFSTOPPED(os.waitpid(shown.process.pid, os.WUNTRACED)[1])
    shown.until(lambda text: text.endswith(LEFT), whole=True)
    assert termios.tcgetattr(shown.theirs) == shown.before
    shown.text = ""
    os.kill(shown.process.pid, signal.SIGCONT)
    shown.until(lambda screen: "running" in screen)
    shown.type("q")
    assert shown.ended() == 0


def test_without_colours(terminal) -> None:
    shown = terminal(NO_COLOR="1")
    shown.until(lambda screen: "running" in screen)
    assert "\x1b[7m" not in shown.text
    shown.type("q")
    assert shown.ended() == 0


def test_a_terminal_that_can_do_nothing_gets_one_table(terminal) -> None:
    shown = terminal(TERM="dumb")
    assert shown.process.wait(BOUND) == 0
    shown.until(lambda text: "running" in text, whole=True)
    assert "\x1b" not in shown.text
