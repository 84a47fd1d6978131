"""Which functions must not have their returns probed, by their names. What the file itself says is in `unsafe_returns`.

A return probe exchanges the return address on the stack for the kernel's own. A program notices in four ways: an
exception finds no way on past the frame and ends the program; code that saves the return address (``setjmp``) comes
back to the kernel's when that is long gone; code that asks for its caller (``dlsym``) gets the kernel; and a frame
that is left suspended on another stack is taken for dead when a function further up is called or returns. What a
provider knows beyond that it says itself, by `Function.returns`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from datacrumbs.model.plan import Returns

if TYPE_CHECKING:
    from collections.abc import Iterable

_BY_NAME = {
    # Whatever the unwind information claims: reached by a jump, by a return or by the kernel.
    Returns.NOT_CALLED: """
        _start _start_c _dlstart _dl_start_user __start_context __restore_rt __restore restore_rt
    """,
    Returns.TWICE: """
        setjmp _setjmp __setjmp sigsetjmp __sigsetjmp FPC_SETJMP fpc_setjmp getcontext __getcontext swapcontext
        __swapcontext jump_fcontext ontop_fcontext switch_fcontext coroutine_transfer coro_transfer
    """,
    Returns.NEVER: """
        longjmp _longjmp siglongjmp __longjmp_chk __libc_siglongjmp __libc_longjmp setcontext __setcontext
        __longjmp ____longjmp_chk __pthread_exit exit _exit _Exit quick_exit abort pthread_exit thrd_exit err
        errx verr verrx __assert __assert_fail __assert_perror_fail __stack_chk_fail __chk_fail __fortify_fail
    """,
    Returns.CALLER: """
        dlopen dlmopen dlsym dlvsym __libc_dlopen_mode __libc_dlsym __libc_dlvsym mcount _mcount __fentry__
        _dl_mcount_wrapper __morestack __morestack_non_split
    """,
    Returns.UNWINDS: """
        backtrace pthread_cancel pthread_testcancel pthread_setcanceltype pthread_setcancelstate
        __pthread_unwind __pthread_unwind_next __pthread_unregister_cancel_restore
    """,
    Returns.CALLS_BACK: """
        qsort qsort_r __qsort_r bsearch lfind lsearch tsearch tfind tdelete tdestroy __tsearch __tfind __tdelete
        __tdestroy twalk twalk_r __twalk __twalk_r ftw ftw64 nftw nftw64 scandir scandir64 scandirat scandirat64
        glob glob64 fts_open fts64_open fts_read fts64_read fts_children fts64_children pthread_once
        __pthread_once call_once dl_iterate_phdr dlclose argp_parse argp_help clone __clone _obstack_begin
        _obstack_begin_1 _obstack_newchunk _obstack_free __libc_start_main __libc_start_call_main __cxa_finalize
        svc_run svc_getreqset clnt_broadcast
    """,
}
_NAMES = {name: returns for returns, names in _BY_NAME.items() for name in names.split()}
# C++ and the run-time support below it; D; Rust's newer mangling, of which the older looks like C++.
_THROWS = re.compile(r"_Z.*|_R[A-Z].*|_D\d.*|__cxa_(?!atexit|at_quick_exit|thread_atexit).*|__gxx_.*")
_UNWINDS = re.compile(r"_?_Unwind_.*|uw_\w+(\.\w+)*")  # the second are libgcc's own, in static programs
# Go's names have a package in front; what compilers append to C names is of these words.
_GO = re.compile(r"[A-Za-z_][\w/%.-]*\.(?!(?:part|isra|constprop|cold|lto_priv|llvm|localalias|clone)\b)[(*A-Za-z_].*")


def returns_by_name(names: Iterable[str], ctypes: Iterable[str] = ()) -> Returns:
    """Whether returns of a function can be probed, by its names and by the C types of its arguments."""
    for name in names:
        if name in _NAMES:
            return _NAMES[name]
        if _UNWINDS.fullmatch(name):
            return Returns.UNWINDS
        if _THROWS.fullmatch(name):
            return Returns.THROWS
        if _GO.fullmatch(name):
            return Returns.MOVES
    return Returns.CALLS_BACK if any("(*" in ctype for ctype in ctypes) else Returns.PROBED
