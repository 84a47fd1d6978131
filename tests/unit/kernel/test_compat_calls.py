"""The numbers of 32-bit programs' calls against the kernel's own header."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from datacrumbs.kernel.compat_calls import compat_numbers

HEADER = Path("/usr/include/x86_64-linux-gnu/asm/unistd_32.h")


def test_numbers_are_those_of_the_header() -> None:
    if not HEADER.exists():
        pytest.skip("the header of 32-bit calls comes with the C library's headers for x86")
    header = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", HEADER.read_text())}
    ours = compat_numbers("x86_64")
    assert ours.items() <= header.items()
    assert not {"pread64", "pwrite64", "lseek", "ftruncate64", "fallocate"} & ours.keys()


def test_other_machines_have_none() -> None:
    assert compat_numbers("aarch64") == {}
