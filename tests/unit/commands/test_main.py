"""The boundary of every command."""

from __future__ import annotations

import gc

import pytest

from datacrumbs.commands._command import Command
from datacrumbs.commands._main import main
from datacrumbs.errors import DatacrumbsError, ExitCode


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_looked_through_while_a_command_is_imported(monkeypatch, *, fails: bool) -> None:
    collects = []

    def load(_):
        collects.append(gc.isenabled())
        if fails:
            raise DatacrumbsError("no")
        return lambda _: collects.append(gc.isenabled())

    monkeypatch.setattr(Command, "load", load)
    command = Command(name="test", summary="Test.", examples=(), arguments=lambda _: None, work="")
    status = main(command, [], lambda: collects.append(gc.isenabled()))
    assert (status, collects) == ((ExitCode.FAILED, [False]) if fails else (ExitCode.DONE, [False, False, True]))
    assert gc.isenabled()
