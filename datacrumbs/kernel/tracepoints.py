"""Trace events of the kernel: the fields of their records."""

from __future__ import annotations

import re
from dataclasses import astuple

from datacrumbs.cache.analysis_cache import cached
from datacrumbs.cache.running_kernel import kernel_state
from datacrumbs.kernel.btf import TypedValue, kernel_btf
from datacrumbs.kernel.tracefs import tracefs_directory

_FIELD = re.compile(
    r"^\s*field:(?P<type>.+?)\s*\b(?P<name>\w+)(?P<array>\[\d*\])?;"
    r"\s*offset:(?P<offset>\d+);\s*size:(?P<size>\d+);\s*signed:(?P<signed>[01]);",
    re.MULTILINE,
)
# The text of an event is put together from its fields: what it casts to an address there is one, whatever its type.
_SHOWN_AS_ADDRESS = re.compile(r"\(\s*(?:const\s+)?void\s*\*\s*\)\s*\(?\s*REC->(\w+)")
# Integers that hold addresses of code or numbers of pages, by the names that the kernel's own events use.
_ADDRESSES = frozenset((
    "addr", "address", "call_site", "caller", "caller_ip", "func", "function", "ip", "item", "kaddr", "netmem", "page",
    "parent_ip", "pfn", "ptr", "vaddr",
))  # fmt: skip
TEXT = "char["
# Events that share the record of their class. The kernel's BTF names records by class and says
# nowhere which events belong to one.
_EVENTS_OF_CLASSES = {
    "block_bio": "block_bio_backmerge block_bio_frontmerge block_bio_queue block_getrq",
    "block_rq": "block_io_done block_io_start block_rq_insert block_rq_issue block_rq_merge",
    "block_rq_completion": "block_rq_complete block_rq_error",
    "mm_filemap_op_page_cache": "mm_filemap_add_to_page_cache mm_filemap_delete_from_page_cache",
    "mm_filemap_op_page_cache_range": "mm_filemap_get_pages mm_filemap_map_pages",
}
_CLASSES = {event: name for name, events in _EVENTS_OF_CLASSES.items() for event in events.split()}


def tracepoint_fields(category: str, event: str) -> tuple[TypedValue, ...] | None:
    """The fields of a trace event's record, with their byte offsets in it.

    The kernel's BTF comes first, since every user can read it; then the event's ``format`` file in
    tracefs, which only root can. The four common fields and those of variable length are left out.

    Args:
        category: The event's group in tracefs (``block``).
        event: Its name (``block_rq_issue``).

    Returns:
        None when the event does not exist or its record is unknown here.

    """
    found = cached("trace-event", [kernel_state(), category, event], lambda: {"fields": _described(category, event)})
    return None if found["fields"] is None else tuple(TypedValue(*field) for field in found["fields"])


def _described(category: str, event: str) -> list[list[object]] | None:
    fields = _fields_from_btf(event)
    if fields is None:
        fields = fields_from_tracefs(category, event)
    return None if fields is None else [list(astuple(field)) for field in fields]


def declared_fields(category: str, event: str) -> tuple[TypedValue, ...] | None:
    """The numbers and texts of a trace event's record that may be recorded: those that hold no kernel address.

    The event's ``format`` file comes first, which says what the running kernel records.

    Returns:
        None when neither that nor the kernel's BTF describes the event.

    """
    text = _format_text(category, event)
    fields = parse_format(text) if text else _fields_from_btf(event)
    if fields is None:
        return None
    addresses = _SHOWN_AS_ADDRESS.findall(text)
    return tuple(field for field in fields if field.name not in addresses and may_be_recorded(field))


def may_be_recorded(field: TypedValue) -> bool:
    """Whether a field is a number or a text and, by its type and its name, no address."""
    return not field.pointer and field.name not in _ADDRESSES and (field.scalar or field.ctype.startswith(TEXT))


def parse_format(text: str) -> tuple[TypedValue, ...]:
    """The fields that a tracefs ``format`` file describes, without the common ones."""
    fields = []
    for match in _FIELD.finditer(text):
        ctype, name, array = match["type"], match["name"], match["array"] or ""
        if name.startswith("common_") or "__data_loc" in ctype or "__rel_loc" in ctype:
            continue
        offset, size, signed = int(match["offset"]), int(match["size"]), match["signed"] == "1"
        pointer = "*" in ctype
        fields.append(
            TypedValue(name, ctype + array, size, signed and not array, offset, scalar=not array, pointer=pointer)
        )
    return tuple(fields)


def _fields_from_btf(event: str) -> tuple[TypedValue, ...] | None:
    btf = kernel_btf()
    if btf is None or not btf.has_typedef(f"btf_trace_{event}"):
        return None
    members = btf.structure(f"trace_event_raw_{event}")
    if members is None and event in _CLASSES:
        members = btf.structure(f"trace_event_raw_{_CLASSES[event]}")
    if members is None:
        return None
    return tuple(
        member
        for member in members
        if member.size and member.name != "ent" and not member.name.startswith(("__data_loc_", "__rel_loc_"))
    )


def fields_from_tracefs(category: str, event: str) -> tuple[TypedValue, ...] | None:
    text = _format_text(category, event)
    return parse_format(text) if text else None


def _format_text(category: str, event: str) -> str:
    directory = tracefs_directory()
    if directory is None:
        return ""
    try:
        return (directory / "events" / category / event / "format").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
