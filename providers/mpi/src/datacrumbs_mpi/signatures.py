"""What is known about MPI's functions: the file functions in full, the others by kind.

Source: the MPI 4.1 standard's C bindings, which fix the arguments' order in every implementation.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from datacrumbs.elf.signatures import Signature, signature
from datacrumbs.provider import Returns

if TYPE_CHECKING:
    from collections.abc import Iterator

IO = "MPIIO"
OTHER = "MPI"

_HANDLE = "fh:MPI_File=handle"
_OFFSET = "offset:MPI_Offset=offset"
# Transfers without and with an explicit offset, as `read` and `read_at`. An `i` starts one and does not
# wait, `_all`, `_ordered` and `_shared` are the collective ones and those of the shared file pointer.
_PLAIN = (
    "read", "read_all", "read_shared", "read_ordered", "read_all_begin", "read_ordered_begin",
    "write", "write_all", "write_shared", "write_ordered", "write_all_begin", "write_ordered_begin",
    "iread", "iread_all", "iread_shared", "iwrite", "iwrite_all", "iwrite_shared",
)  # fmt: skip
_AT = (
    "read_at", "read_at_all", "read_at_all_begin", "write_at", "write_at_all", "write_at_all_begin",
    "iread_at", "iread_at_all", "iwrite_at", "iwrite_at_all",
)  # fmt: skip
_ENDS = (
    "read_all_end", "read_ordered_end", "read_at_all_end", "write_all_end", "write_ordered_end", "write_at_all_end",
)  # fmt: skip
_REST = (
    ("open", "-", "filename:const char *=path", "amode:int=flags", "-", "fh:MPI_File *=out_handle"),
    ("delete", "filename:const char *=path"),
    ("set_size", _HANDLE, "size:MPI_Offset=count"),
    ("preallocate", _HANDLE, "size:MPI_Offset=count"),
    ("get_size", _HANDLE),
    ("get_group", _HANDLE),
    ("get_amode", _HANDLE),
    ("set_info", _HANDLE),
    ("get_info", _HANDLE),
    ("set_view", _HANDLE, "disp:MPI_Offset=offset", "-2", "datarep:const char *=string"),
    ("get_view", _HANDLE),
    ("seek", _HANDLE, _OFFSET, "whence:int=whence"),
    ("seek_shared", _HANDLE, _OFFSET, "whence:int=whence"),
    ("get_position", _HANDLE),
    ("get_position_shared", _HANDLE),
    ("get_byte_offset", _HANDLE, _OFFSET),
    ("get_type_extent", _HANDLE),
    ("get_type_extent_c", _HANDLE),
    ("set_atomicity", _HANDLE, "flag:int"),
    ("get_atomicity", _HANDLE),
    ("sync", _HANDLE),
    ("set_errhandler", _HANDLE),
    ("get_errhandler", _HANDLE),
    ("create_errhandler",),
)

DATA = frozenset(f"MPI_File_{stem}{big}" for stem in (*_PLAIN, *_AT) for big in ("", "_c")) | frozenset(
    f"MPI_File_{stem}" for stem in _ENDS
)
"""The functions that move data of files."""

METADATA = frozenset({f"MPI_File_{stem}" for stem, *_ in _REST} | {"MPI_File_close", "MPI_File_call_errhandler"})
"""The other functions on files."""

TRIVIAL = re.compile(r"MPIX?_(Wtime|Wtick|Aint_(add|diff)|Initialized|Finalized|\w+_(f2c|c2f|f082c|c2f08|f2f08|f082f))")
"""Functions that only return or convert a value: programs call them in loops, and they do no I/O."""

_CONVERSION = re.compile(r"MPI_\w+_(f2c|c2f|toint|fromint)")
_VALUES = frozenset({"MPI_Wtime", "MPI_Wtick", "MPI_Aint_add", "MPI_Aint_diff"})
# They run a handler of the user, which may throw or longjmp: a return probe on a frame that a C++
# exception passes aborts the program.
_RUNS_HANDLER = re.compile(r"MPI_(Comm|File|Win|Session)_call_errhandler")
_NEVER_RETURNS = frozenset({"MPI_Abort"})


def file_signatures(implementation: str) -> tuple[Signature, ...]:
    """Curated signatures of all MPI_File functions.

    Args:
        implementation: Prefix of the snippets that know this implementation's datatypes (``openmpi``,
            ``mpich``), or empty: transfers then have no bytes.
    """
    return (*_transfers(implementation), *_others())


def _transfers(implementation: str) -> Iterator[Signature]:
    for stems, before, position in ((_PLAIN, ("-",), 2), (_AT, (_OFFSET, "-"), 3)):
        for stem in stems:
            for suffix, ctype, wide in (("", "int", 0), ("_c", "MPI_Count", 1)):
                snippet = f"{implementation}_transfer"
                values: tuple[int, ...] = (position,) if implementation == "openmpi" else (position, wide)
                if not implementation or (implementation == "openmpi" and wide):
                    snippet, values = "", ()  # no release of Open MPI with wide names was at hand to find its layout
                yield signature(
                    IO,
                    f"MPI_File_{stem}{suffix}",
                    "code",
                    _HANDLE,
                    *before,
                    f"count:{ctype}=count",
                    snippet=snippet,
                    snippet_arguments=values,
                )


def _others() -> Iterator[Signature]:
    for stem in _ENDS:
        yield signature(IO, f"MPI_File_{stem}", "code", _HANDLE)
    for stem, *arguments in _REST:
        yield signature(IO, f"MPI_File_{stem}", "code", *arguments)
    yield signature(IO, "MPI_File_close", "code", snippet="close_handle")
    yield signature(IO, "MPI_File_call_errhandler", "code", _HANDLE, "errorcode:int", returns=Returns.CALLS_BACK)


def result_of(name: str) -> str:
    """What a function without a curated signature returns: a `Result` by value."""
    return "value" if name in _VALUES or _CONVERSION.fullmatch(name) else "code"


def returns(name: str) -> Returns:
    """Whether a function's returns can be probed: not where it runs the program's own handlers, or never returns."""
    if name in _NEVER_RETURNS:
        return Returns.NEVER
    return Returns.CALLS_BACK if _RUNS_HANDLER.fullmatch(name) else Returns.PROBED
