"""Snapshots of runs as metrics: the text format of Prometheus, for node_exporter's textfile collector.

Series are bounded: by the number of runs, `MOST_LAYERS` and `MOST_FUNCTIONS`. Files and processes are not among them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from datacrumbs.output import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MOST_LAYERS, MOST_FUNCTIONS = 64, 32
"""Rows of a run that are shown: those that took the most time."""
_WHOLE = (
    ("start_time_seconds", "gauge", "begin_us", "When the run began, since the epoch."),
    ("recorded_calls_total", "counter", "recorded", "Calls with lines of their own."),
    ("counted_calls_total", "counter", "counted", "Calls that were only counted."),
    ("lost_calls_total", "counter", "lost", "Calls that should be in the trace and are not."),
)
_PARTS = (
    ("calls_total", "calls", "calls, without those inside others of their layer"),
    ("errors_total", "errors", "those of these calls that failed"),
    ("bytes_total", "bytes", "bytes that they moved"),
    ("seconds_total", "time_ns", "time that threads spent in them"),
)
_RUN = "datacrumbs_run_"
_VIEWS = (
    (_RUN + "layer_", "By layer", ("layer",), MOST_LAYERS, "layer"),
    (
        _RUN + "function_",
        f"Of the {MOST_FUNCTIONS} functions with the most time",
        ("layer", "function"),
        MOST_FUNCTIONS,
        "function",
    ),
)
_SECONDS = {"begin_us": 1e6, "time_ns": 1e9}
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"'})


def exposition(documents: Sequence[Mapping[str, Any]], runs: int) -> str:
    """The text of a scrape.

    Args:
        documents: As `runs.snapshot_client.snapshot` gives them.
        runs: How many runs there are, also those that are not among them.
    """
    return "".join(f"{line}\n" for line in _lines(documents, runs))


def _lines(documents: Sequence[Mapping[str, Any]], runs: int) -> Iterator[str]:
    yield from _head("datacrumbs_runs", "gauge", "Runs that go on here.")
    yield f"datacrumbs_runs {runs}"
    yield from _head(_RUN + "info", "gauge", "Whose the run is, and where.")
    for each in documents:
        yield _sample(_RUN + "info", {key: printable(each[key]) for key in ("run", "user", "host")}, "1")
    for name, kind, key, text in _WHOLE:
        yield from _head(_RUN + name, kind, text)
        for each in documents:
            yield _sample(_RUN + name, {"run": each["run"]}, _value(key, each[key]))
    for prefix, which, labels, most, view in _VIEWS:
        sums = [_summed(each, view, labels, most) for each in documents]
        for name, key, text in _PARTS:
            yield from _head(prefix + name, "counter", f"{which}: {text}.")
            for rows in sums:
                yield from (_sample(prefix + name, row[0], _value(key, row[1][key])) for row in rows if key in row[1])


# Two functions of a layer may have one name, or names that are escaped to one, and a series may be there once only.
def _summed(
    document: Mapping[str, Any], view: str, labels: Sequence[str], most: int
) -> list[tuple[dict[str, str], dict[str, int]]]:
    sums: dict[tuple[str, ...], dict[str, int]] = {}
    for row in document["views"][view]:
        total = sums.setdefault(tuple(printable(row[label]) for label in labels), {})
        for _, key, _ in _PARTS:
            if row[key] is not None:
                total[key] = total.get(key, 0) + row[key]
    best = sorted(sums.items(), key=lambda item: (-item[1]["time_ns"], item[0]))[:most]
    return [({"run": document["run"], **dict(zip(labels, names, strict=True))}, total) for names, total in best]


def _value(key: str, value: int) -> str:
    return repr(value / _SECONDS[key]) if key in _SECONDS else str(value)


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def _sample(name: str, labels: Mapping[str, str], value: str) -> str:
    inner = ",".join(f'{key}="{text.translate(_ESCAPES)}"' for key, text in labels.items())
    return f"{name}{{{inner}}} {value}"
