"""A probe changes nothing that an instruction computes: a function for each form of instruction, bare and probed.

Each form runs in a process of its own, from given registers, vectors, flags and memory, and what it leaves is compared
byte by byte, its signals included. Forms that the rule refuses are not run: the kernel may do anything with them.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import pytest

from datacrumbs.elf.execution import Execution

from .conftest import Tracer
from .form_runs import differences, execution_of
from .forms import instruction_forms

if TYPE_CHECKING:
    from pathlib import Path

    from datacrumbs.system import SystemConfiguration

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the instructions are those of x86-64"),
]


def test_every_form_leaves_what_it_leaves_bare(
    engine_state: Path, configuration: SystemConfiguration, tmp_path: Path
) -> None:
    forms = [form for form in instruction_forms() if isinstance(execution_of(form), Execution)]
    assert len(forms) > 5000
    assert len({form.mnemonic for form in forms}) > 800
    emulated = {form.mnemonic for form in forms if execution_of(form) is Execution.EMULATED}
    assert emulated >= {"push", "nop", "jmp", "je", "jno", "jg"}
    assert differences(forms, tmp_path, lambda plan: Tracer(plan, engine_state, configuration)) == {}
