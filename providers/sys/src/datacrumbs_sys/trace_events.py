"""Trace events of the kernel as functions to probe: io_uring, the block layer, the page cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.kernel.tracepoints import may_be_recorded, tracepoint_fields
from datacrumbs.provider import ARGUMENT_LIMIT, Argument, Function, Result, Role

if TYPE_CHECKING:
    from collections.abc import Collection

    from datacrumbs.kernel.btf import TypedValue

IO_URING = ("io_uring:io_uring_submit_req", "io_uring:io_uring_submit_sqe", "io_uring:io_uring_complete")
BLOCK = ("block:block_rq_issue", "block:block_rq_complete")
PAGE_CACHE = (
    "filemap:mm_filemap_add_to_page_cache",
    "filemap:mm_filemap_delete_from_page_cache",
    "filemap:mm_filemap_fault",
)
EVENTS = IO_URING + BLOCK + PAGE_CACHE
CATEGORIES = {"io_uring": "SYS", "block": "BLOCK", "filemap": "PAGECACHE"}

# The engine copies this much of a record; what follows cannot be captured.
_RECORD_LIMIT = 128
# The name in the trace, where kernels have had several.
_NAMES = {"io_uring_submit_req": "io_uring_submit", "io_uring_submit_sqe": "io_uring_submit"}
# Which fields are captured, in the order in which they matter.
_FIELDS = (
    "dev", "s_dev", "i_ino", "index", "order", "sector", "nr_sector", "bytes", "error", "rwbs", "opcode", "user_data",
    "res", "flags", "cflags", "sq_thread",
)  # fmt: skip
# Labels of those whose own names are others.
_LABELS = {"s_dev": "dev", "i_ino": "ino"}
_ROLES = {"bytes": Role.BYTES, "flags": Role.FLAGS}


def trace_event_functions(events: Collection[str]) -> tuple[Function, ...]:
    """The events among those given that the running kernel has.

    Args:
        events: ``category:event`` each.
    """
    functions = []
    for symbol in events:
        group, _, event = symbol.partition(":")
        fields = tracepoint_fields(group, event)
        if fields is not None:
            functions.append(_function(symbol, CATEGORIES.get(group, "KERNEL"), fields))
    return tuple(functions)


def _function(symbol: str, category: str, fields: tuple[TypedValue, ...]) -> Function:
    event = symbol.partition(":")[2]
    fields = tuple(field for field in fields if field.offset + min(field.size, 8) <= _RECORD_LIMIT)
    known = [field for field in fields if field.name in _FIELDS]
    # An event that is not one of ours: every number, but no address of kernel memory.
    chosen = known if symbol in EVENTS else [field for field in fields if field.scalar and may_be_recorded(field)]
    if symbol in EVENTS:
        chosen.sort(key=lambda field: _FIELDS.index(field.name))
    arguments = tuple(_argument(field) for field in chosen[:ARGUMENT_LIMIT])
    return Function(_NAMES.get(event, event), symbol, category, arguments=arguments, result=Result.VOID)


def _argument(field: TypedValue) -> Argument:
    label = _LABELS.get(field.name, field.name.lower())
    role = _ROLES.get(label, Role.VALUE)
    if field.scalar:
        return Argument(field.offset, label, field.ctype, role, field.size, field.signed)
    # The first characters of an array, as many as can be read in one aligned piece: `WS` says a
    # synchronous write.
    size = next(size for size in (8, 4, 2, 1) if field.offset % size == 0 and size <= field.size)
    return Argument(field.offset, label, f"char[{size}]", role, size, signed=False)
