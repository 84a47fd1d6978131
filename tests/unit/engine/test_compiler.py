"""Without bcc, the cause is told in words, from the child that misses it to the command."""

from __future__ import annotations

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
