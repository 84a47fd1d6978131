from __future__ import annotations

import os

import pytest

from datacrumbs.kernel import tracepoints
from datacrumbs.kernel.tracepoints import parse_format, tracepoint_fields

FORMAT = """name: block_rq_issue
ID: 2104
format:
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;

	field:dev_t dev;	offset:8;	size:4;	signed:0;
	field:int error;	offset:28;	size:4;	signed:1;
	field:const char * name;	offset:40;	size:8;	signed:0;
	field:char rwbs[10];	offset:34;	size:10;	signed:0;
	field:__data_loc char[] cmd;	offset:60;	size:4;	signed:0;

print fmt: "%d", REC->dev
"""
EVENTS = [
    ("raw_syscalls", "sys_enter"),
    ("block", "block_rq_issue"),
    ("block", "block_rq_complete"),
    ("filemap", "mm_filemap_add_to_page_cache"),
    ("filemap", "mm_filemap_delete_from_page_cache"),
    ("filemap", "mm_filemap_fault"),
    ("io_uring", "io_uring_complete"),
    ("sched", "sched_process_exec"),
]


def test_format_files():
    fields = [(field.name, field.ctype, field.offset, field.size, field.signed) for field in parse_format(FORMAT)]
    assert fields == [
        ("dev", "dev_t", 8, 4, False),
        ("error", "int", 28, 4, True),
        ("name", "const char *", 40, 8, False),
        ("rwbs", "char[10]", 34, 10, False),
    ]


@pytest.mark.parametrize(("category", "event"), EVENTS)
def test_types_and_tracefs_tell_the_same(category, event):
    """What every user reads from BTF is what root reads from tracefs."""
    fields = tracepoint_fields(category, event)
    assert fields
    told = tracepoints.fields_from_tracefs(category, event)
    if os.geteuid() == 0 and told is not None:
        assert [(field.name, field.offset, field.size) for field in fields] == [
            (field.name, field.offset, field.size) for field in told
        ]


def test_an_unknown_event():
    assert tracepoint_fields("block", "no_such_event") is None
