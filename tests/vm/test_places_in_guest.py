"""What instructions leave when the guest's kernel executes them for a probe: a share of all forms."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import pytest

from datacrumbs.elf.execution import Execution

from ..kernel.conftest import Tracer  # noqa: TID252 - the engine of the kernel tests
from ..kernel.form_runs import differences, execution_of  # noqa: TID252
from ..kernel.forms import instruction_forms  # noqa: TID252

if TYPE_CHECKING:
    from pathlib import Path

    from datacrumbs.system import SystemConfiguration

pytestmark = pytest.mark.guest

SHARE = 29
"""One of how many stepped forms; a prime number, so that all prefixes and opcodes have their turn."""


def test_forms_leave_what_they_leave_bare(
    engine_state: Path, configuration: SystemConfiguration, tmp_path: Path
) -> None:
    accepted = [form for form in instruction_forms() if isinstance(execution_of(form), Execution)]
    stepped = [form for form in accepted if execution_of(form) is Execution.STEPPED]
    emulated = [form for form in accepted if execution_of(form) is Execution.EMULATED]
    forms = [*stepped[::SHARE], *emulated]
    # As the daemon does it: before Linux 6.6 each probe has a descriptor.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    assert len(forms) > 400
    assert differences(forms, tmp_path, lambda plan: Tracer(plan, engine_state, configuration)) == {}
