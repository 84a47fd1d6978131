"""Without bcc, the cause is told in words, from the child that misses it to the command."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from datacrumbs.engine import compiler
from datacrumbs.errors import DatacrumbsError

WITHOUT_BCC = "import sys; sys.modules['bcc'] = None; from datacrumbs.engine import compiler; compiler.main()"


def test_what_is_missing_is_named() -> None:
    command = [sys.executable, "-I", "-c", WITHOUT_BCC]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output, words = child.communicate(b"[]", 60)
    assert output == b""
    with pytest.raises(DatacrumbsError) as caught:
        compiler.check_found(child, words)
    assert caught.value.message == "bcc is not importable by this Python"
    assert "python3-bpfcc" in caught.value.hint
    assert "snippet" not in caught.value.hint


def test_time_on_the_clock_says_nothing_about_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """No compiler is ready at once, and a busy host's may not be for minutes."""
    monkeypatch.setattr(compiler.signal, "getitimer", lambda _: (0.001, 0.0))  # this process has as little left
    with pytest.raises(compiler.SlowCompilerError, match="this host is very busy"):
        compiler.complaint("int one;", (), limited=True)


def test_processor_time_is_the_programs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = compiler._Answer(-signal.SIGXCPU, b"", "", {})
    monkeypatch.setattr(compiler, "_ask", lambda *_, **__: answer)
    with pytest.raises(DatacrumbsError, match="does not compile in 30 s of processor time") as caught:
        compiler.complaint("int one;", (), limited=True)
    assert not isinstance(caught.value, compiler.SlowCompilerError)
