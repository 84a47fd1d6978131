"""What is taken from the daemon's processes beside their privileges: system calls, files, the terminal.

libseccomp knows the numbers of system calls on each machine; systemd needs it, so nodes have it. Where it is missing,
or the kernel has no filters, no calls are filtered: privileges are given up all the same.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NOT_EQUAL, _EQUAL, _MASKED_EQUAL = 1, 4, 7
_FOR_ALL_THREADS = 4
_ERROR = errno.ENOSYS  # libraries then do it another way, as on an older kernel
_IOCTLS = (0x5401, 0x5421, 0x5450, 0x5451)  # TCGETS, FIONBIO, FIONCLEX, FIOCLEX: Python uses them
_WRITING = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC
_UNIX = 1

# Of the processes beside: memory, what is open, messages, files to read, time (which without privileges is only asked
# for), the end.
_BESIDE = """
    brk madvise membarrier mmap mprotect mremap munmap
    close close_range dup fadvise64 fcntl fcntl64 fdatasync fstat fstatfs fsync ftruncate ftruncate64 lseek _llseek
    pread64 preadv pwrite64 pwritev read readv write writev
    epoll_create1 epoll_ctl epoll_pwait epoll_wait poll ppoll pselect6 recvfrom recvmsg select sendmsg sendto shutdown
    access faccessat faccessat2 fstatat64 getcwd getdents64 lstat newfstatat readlink readlinkat stat statfs statx
    adjtimex clock_adjtime clock_getres clock_gettime clock_nanosleep getcpu getrandom gettimeofday nanosleep sysinfo
    time times uname
    getegid geteuid getgid getgroups getpgrp getpid getppid getresgid getresuid getrusage getsid gettid getuid
    exit exit_group futex get_robust_list restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn
    rt_sigtimedwait sched_getaffinity sched_yield set_robust_list sigaltstack
"""
# Of the process that traces, which by then has nothing to begin, to mount or to look into.
_TRACING = """
    execve execveat fsconfig fsmount fsopen mount mount_setattr move_mount open_tree pivot_root chroot umount2
    process_vm_readv process_vm_writev ptrace setns unshare
    delete_module finit_module init_module kexec_file_load kexec_load reboot swapoff swapon
    add_key io_uring_enter io_uring_register io_uring_setup keyctl request_key userfaultfd
    acct adjtimex clock_adjtime clock_settime ioperm iopl mknod mknodat open_by_handle_at personality quotactl
    setdomainname sethostname settimeofday syslog vhangup
"""

# Commands of bpf(2) that make programs and tables, or find those of others (linux/bpf.h): with CAP_BPF, a process that
# may load programs can read all memory. Everything that a run needs is loaded before.
_MAP_CREATE, _PROG_LOAD, _OBJ_PIN, _OBJ_GET, _BTF_LOAD, _TOKEN_CREATE = 0, 5, 6, 7, 18, 36
_BY_ID = (11, 12, 13, 14, 19, 23, 30, 31)
_LOADING = (_MAP_CREATE, _PROG_LOAD, _OBJ_PIN, _OBJ_GET, _BTF_LOAD, _TOKEN_CREATE, *_BY_ID)
_WHOLE = 0xFFFFFFFF  # of a register the kernel takes as many bits as the argument has

# linux/landlock.h, of its first version: all rights but those to read files and directories.
_LANDLOCK_CREATE, _LANDLOCK_RESTRICT, _LANDLOCK_VERSION = 444, 446, 1
_CHANGES = 0x1FFF & ~0b1100


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


class _PathRule(NamedTuple):
    name: str
    comparison: tuple[int, int, int, int] | None = None


_READING = (
    _PathRule("open", (1, _MASKED_EQUAL, _WRITING, 0)),
    _PathRule("openat", (2, _MASKED_EQUAL, _WRITING, 0)),
    *(_PathRule("ioctl", (1, _EQUAL, number, 0)) for number in _IOCTLS),
)
_SOCKETS = (_PathRule("socket", (0, _NOT_EQUAL, _UNIX, 0)),)
_LIBC = ctypes.CDLL(None, use_errno=True)


def _library() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return None
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Comparison),
    ]
    library.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
    library.seccomp_load.argtypes = library.seccomp_release.argtypes = [ctypes.c_void_p]
    return library


_SECCOMP = _library()


def confine_beside(more_calls: Iterable[str]) -> None:
    """From now on only use what is open, and read files: begin no program, open no socket, write no other file.

    Args:
        more_calls: System calls that are allowed beside.
    """
    _filter(_ERRNO | _ERROR, _ALLOW, [*map(_PathRule, (*_BESIDE.split(), *more_calls)), *_READING])


def confine_tracing(*, perf_events: bool) -> None:
    """From now on begin no program, and do nothing that a run needs only at its beginning, or never.

    Args:
        perf_events: Whether further ones may be made.
    """
    calls = [*_TRACING.split(), *([] if perf_events else ["perf_event_open"])]
    _filter(_ALLOW, _ERRNO | _ERROR, [*map(_PathRule, calls), *_SOCKETS])


def load_nothing() -> None:
    """From now on put no program and no table into the kernel, and find none of others."""
    _filter(_ALLOW, _ERRNO | _ERROR, [_PathRule("bpf", (0, _MASKED_EQUAL, _WHOLE, command)) for command in _LOADING])


def change_no_files() -> bool:
    """Make, remove, execute and open for writing no file any more; those that are open stay so.

    Returns:
        Whether the kernel has landlock (5.13 and later, where it is switched on).
    """
    if _LIBC.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), _LANDLOCK_VERSION) < 1:
        return False
    rights = ctypes.c_uint64(_CHANGES)
    rules = _LIBC.syscall(_LANDLOCK_CREATE, ctypes.byref(rights), ctypes.c_size_t(8), 0)
    if rules < 0 or _LIBC.syscall(_LANDLOCK_RESTRICT, rules, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    os.close(rules)
    return True


def _filter(otherwise: int, action: int, rules: Iterable[_PathRule]) -> None:
    if _SECCOMP is None:
        return
    context = _SECCOMP.seccomp_init(otherwise)
    try:
        result = _SECCOMP.seccomp_attr_set(context, _FOR_ALL_THREADS, 1)
        if result == -errno.EOPNOTSUPP:
            return  # a kernel without filters
        _checked(result)
        for rule in rules:
            number = _SECCOMP.seccomp_syscall_resolve_name(rule.name.encode())
            if number < 0:
                continue  # this machine has no such call
            comparisons = (_Comparison * 1)(_Comparison(*(rule.comparison or ())))
            count = int(rule.comparison is not None)
            _checked(_SECCOMP.seccomp_rule_add_array(context, action, number, count, comparisons))
        _checked(_SECCOMP.seccomp_load(context))
    finally:
        _SECCOMP.seccomp_release(context)
        # Making a filter takes a megabyte and a half, and a process has what its start has left as well.
        _LIBC.malloc_trim(0)


def _checked(result: int) -> None:
    if result:
        raise OSError(-result, os.strerror(-result))
