"""Traces from single lines, for tests of what a report makes of them. Loaded by path: tests are no package."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

RUN = {"user": "u", "version": "0", "inclusion_path": "", "run_id": "one", "redacted": "", "part": 0}


def metadata(name: str, arguments: dict[str, Any], process: int = 0) -> dict[str, Any]:
    """A metadata line."""
    return {"name": name, "cat": "dftracer", "ph": "M", "pid": process, "tid": process, "args": arguments}


def call(name: str, category: str, begin: int, duration: int, **arguments: Any) -> dict[str, Any]:
    """A call of process 7 that returned, unless ``ret`` is None; ``process`` and ``thread`` choose others."""
    process = arguments.pop("process", 7)
    thread = arguments.pop("thread", process)
    arguments = {"ret": 0} | arguments
    given = {key: value for key, value in arguments.items() if value is not None}
    return {"name": name, "cat": category, "pid": process, "tid": thread, "ts": begin, "dur": duration} | {
        "ph": "X",
        "args": given,
    }


def profile(name: str, category: str, begin: int, count: int, process: int = 7) -> dict[str, Any]:
    """Calls of a process that were added up."""
    about = {"category": category, "function": name, "symbol": name, "cause": "profile"}
    numbers = {"begin": begin, "end": begin + count, "count": count, "errors": 0}
    return metadata("datacrumbs_profile", about | numbers, process)


def write(path: Path, calls: list[dict[str, Any]], files: dict[str, str] | None = None, **run: Any) -> Path:
    """A complete trace of ``calls``, in whose head ``run`` changes what is said of the run.

    Args:
        path: Where to.
        calls: Lines, in the file's order.
        files: Hash -> name.
        run: Keys of the run; ``host`` is the node's name, ``before`` are lines of the head, ``after`` of the end, and
            ``lost`` is how many more calls were lost.
    """
    host, before, after = run.pop("host", "node"), run.pop("before", []), run.pop("after", [])
    lost = run.pop("lost", 0)
    lines = [metadata("HH", {"name": host, "value": "00"}), metadata("datacrumbs_run", RUN | run), *before]
    lines += [metadata("FH", {"name": name, "value": value}) for value, name in (files or {}).items()]
    lines += [*calls, *after]
    counts = dict.fromkeys(("filtered", "counted", "unmatched", "in_flight"), 0)
    totals = {"entered": len(calls) + lost, "recorded": len(calls), **counts, "lines": len(calls), "profiles": 0}
    totals |= {"lost_ring_full": lost} if lost else {}
    lines.append(metadata("datacrumbs_footer", totals))
    text = ["[", *(json.dumps(line, separators=(",", ":")) for line in lines), "]", ""]
    path.write_bytes(gzip.compress("\n".join(text).encode(), 1))
    return path
