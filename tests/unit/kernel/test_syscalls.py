from __future__ import annotations

import ctypes
import os
import re
import subprocess
from pathlib import Path

import pytest

from datacrumbs.kernel import syscalls
from datacrumbs.kernel._system_call_numbers import bundled_numbers
from datacrumbs.kernel.syscalls import MACHINES, parse_prototypes, system_calls
from datacrumbs.kernel.tracefs import tracefs_directory
from datacrumbs.model.plan import ARGUMENT_LIMIT, Role

MACHINE = os.uname().machine
PROTOTYPES = """
/* a comment with sys_fake(int fd); in it */
asmlinkage long sys_openat(int dfd, const char __user *filename, int flags,
                           umode_t mode);
asmlinkage long sys_getpid(void);
asmlinkage long sys_io_submit(aio_context_t, long, struct iocb __user * __user *);
#if defined(CONFIG_ARCH_SPLIT_ARG64)
asmlinkage long sys_mark(int fd, unsigned int mask_1, unsigned int mask_2);
#else
asmlinkage long sys_mark(int fd, u64 mask);
#endif
asmlinkage long sys_lseek(unsigned int fd, off_t offset, unsigned int whence);
"""


@pytest.fixture(scope="module")
def calls():
    return {call.name: call for call in system_calls(MACHINE)}


def test_numbers_are_the_kernels(calls):
    """The kernel itself answers: getppid by number gives what libc's getppid gives."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.syscall(calls["getppid"].number) == os.getppid()
    assert libc.syscall(calls["getuid"].number) == os.getuid()
    assert libc.syscall(calls["umask"].number, 0o22) == os.umask(0o22)


@pytest.mark.parametrize("header", sorted(Path("/usr/include").glob("*-linux-gnu/asm/unistd_64.h")))
def test_the_bundled_table_agrees_with_the_headers(header):
    machine = header.parent.parent.name.split("-")[0]
    declared = {name: int(number) for name, number in re.findall(r"__NR_(\w+)\s+(\d+)", header.read_text())}
    bundled = bundled_numbers(machine)
    assert declared.items() <= bundled.items() | {(name, declared[name]) for name in set(declared) - set(bundled)}
    assert len(set(declared) & set(bundled)) > 300


def test_bundled_numbers_are_unique():
    for machine in MACHINES:
        numbers = bundled_numbers(machine)
        assert len(set(numbers.values())) == len(numbers) > 300
    assert bundled_numbers("x86_64")["read"] == 0
    assert bundled_numbers("aarch64")["read"] == 63
    assert bundled_numbers("pdp11") == {}
    assert system_calls("pdp11") == ()


def test_exactly_the_calls_that_the_kernel_has(calls):
    directory = tracefs_directory()
    events = directory / "events/syscalls" if directory and os.geteuid() == 0 else Path("/nonexistent")
    entries = {path.name.removeprefix("sys_enter_") for path in events.glob("sys_enter_*")}
    own = {alias for name in calls for alias in (name, *syscalls._ENTRIES.get(name, ()))}
    if entries:  # only root sees them; then each must be ours, and ours no more than they
        assert entries <= own
        assert len(entries) == len(calls)
    assert len(calls) > 300


def test_known_arguments(calls):
    openat = calls["openat"].arguments
    assert [argument.role for argument in openat[:2]] == [Role.DIRFD, Role.PATH]
    assert [argument.index for argument in openat] == [0, 1, 2, 3]
    assert calls["getpid"].arguments == ()
    assert all(len(call.arguments) <= ARGUMENT_LIMIT for call in calls.values())


def test_every_user_gets_the_same_calls(calls):
    """What comes from root's tracefs alone may add arguments, but no call and no number."""
    source = (
        "import os; from datacrumbs.kernel.syscalls import system_calls as calls; "
        "print(sorted((call.number, call.name) for call in calls(os.uname().machine)))"
    )
    root = Path(__file__).parents[3]
    user = {"user": 65534, "group": 65534} if os.geteuid() == 0 else {}
    done = subprocess.run(
        ["/usr/bin/python3", "-c", source],
        env={"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        **user,
    )
    assert done.stdout.strip() == str(sorted((call.number, call.name) for call in calls.values())), done.stderr


def test_prototypes():
    prototypes = parse_prototypes(PROTOTYPES)
    assert set(prototypes) == {"openat", "getpid", "io_submit", "mark", "lseek"}
    assert [(value.name, value.ctype, value.size, value.signed) for value in prototypes["openat"]] == [
        ("dfd", "int", 4, True),
        ("filename", "const char *", 8, False),
        ("flags", "int", 4, True),
        ("mode", "umode_t", 2, False),
    ]
    assert prototypes["getpid"] == ()
    assert [value.name for value in prototypes["io_submit"]] == ["", "", ""]
    assert [value.size for value in prototypes["mark"]] == [4, 8]
    assert prototypes["lseek"][1].size == 8


@pytest.fixture
def bare_host(monkeypatch):
    """A host that shows neither types nor headers nor tracefs."""
    monkeypatch.setattr(syscalls, "kernel_btf", lambda: None)
    monkeypatch.setattr(syscalls, "_header_numbers", lambda _machine: {})
    monkeypatch.setattr(syscalls, "_header_prototypes", dict)
    monkeypatch.setattr(syscalls, "tracefs_directory", lambda: None)
    system_calls.cache_clear()
    yield
    system_calls.cache_clear()


def test_the_bundled_table_is_enough(calls, bare_host):
    found = {call.name: call for call in system_calls(MACHINE)}
    assert {name: call.number for name, call in found.items()} == {name: call.number for name, call in calls.items()}
    assert found["openat"].arguments == ()


def test_without_symbols_no_call_is_left_out(monkeypatch, bare_host):
    monkeypatch.setattr(syscalls, "kernel_symbols", tuple)
    assert {call.name for call in system_calls("aarch64")} == set(bundled_numbers("aarch64"))
