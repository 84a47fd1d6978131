"""A small image, and its key."""

from __future__ import annotations

from datacrumbs.engine.image import Code, Image, MapSpecification

IMAGE = Image(
    maps=(MapSpecification("dc_calls", 27, 0, 0, 4096, 0), MapSpecification("dc_threads", 29, 4, 6000, 0, 1)),
    programs=(Code("dc_enter", bytes(range(64)), ((2, "dc_calls"), (5, "dc_threads"))), Code("dc_leave", b"7" * 8, ())),
    functions={"bpf_iter_task": 1009},
)
KEY = "ab" * 32
