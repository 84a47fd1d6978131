"""The page itself: one file with everything in it, which loads nothing and allows no code but its own."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from importlib import resources
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from datacrumbs import __version__
from datacrumbs.model.layers import LAYERS
from datacrumbs.output import counted, printable
from datacrumbs.report.human_readable import duration
from datacrumbs.report.page import drawing
from datacrumbs.report.page.compared import drawn_comparison
from datacrumbs.report.page.contents import TRACES, Contents, account, merged, verdict
from datacrumbs.report.page.explained import drawn_explanation
from datacrumbs.report.page.faults import drawn_findings
from datacrumbs.report.page.sections import (
    LAYER_NAMES,
    channel_sheet,
    failure_sheet,
    file_sheet,
    function_sheet,
    layer_parts,
    layer_sheet,
    pattern_sheet,
    process_sheet,
    size_sheet,
    stacked,
    stretch_sheet,
    tiles,
    window_sheet,
)

if TYPE_CHECKING:
    from datacrumbs.report.windows import Window

HEAT_ROWS = 256
HEAT_HEIGHT, HEAT_ROW = 384, 22
LABELLED = 28
"""Rows of a heat map that have room for a name each."""
LONGEST_LABEL = 26


def unbroken(text: str) -> str:
    """Text in which no line ends between a number and its unit."""
    return re.sub(r"(?<=[0-9]) (?=(?:[num]?s|[KMGT]?i?B)\b)", "\u00a0", text)


def render(contents: Contents) -> str:
    """The page as text."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["unbroken"] = unbroken
    template = environment.from_string(_asset("page.html"))
    style, script = _asset("page.css"), _asset("page.js")
    headline, qualifiers = verdict(contents)
    heat, cells = _heat(contents)
    data = {**cells, "windows": _windows(contents)}
    return template.render(
        style=Markup(style),  # noqa: S704 - our own files
        script=Markup(script),  # noqa: S704
        style_hash=_digest(style),
        script_hash=_digest(script),
        data=_packed(data),
        version=__version__,
        headline=headline,
        qualifiers=qualifiers,
        whole=not any(file.lacking for file in contents.traces.files) and not contents.figures.unlined,
        tiles=tiles(contents),
        compared=drawn_comparison(contents),
        findings=drawn_findings(contents),
        explained=drawn_explanation(contents),
        heat=heat,
        layers=layer_sheet(contents),
        stack=drawing.stack(layer_parts(contents)),
        legend=[(drawing.layer_class(category), name) for category, name in _legend(contents)],
        functions=function_sheet(contents),
        sizes=size_sheet(contents),
        patterns=pattern_sheet(contents),
        files=file_sheet(contents),
        channels=channel_sheet(contents),
        failures=failure_sheet(contents),
        processes=process_sheet(contents),
        windows=window_sheet(contents),
        timeline=drawing.timeline(contents.figures.windows[0]) if contents.figures.windows else None,
        costs=[printable(f"{cost.host}: {cost.described()}.") for cost in contents.costs[:TRACES]],
        accounts=[_account(trace) for trace in contents.traces.files[:TRACES]],
        more_traces=max(len(contents.traces.files) - TRACES, 0),
    )


def _asset(name: str) -> str:
    return resources.files("datacrumbs.report.page").joinpath(name).read_text("utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


# Base64 has no character that HTML knows.
def _packed(data: object) -> str:
    text = json.dumps(data, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def _legend(contents: Contents) -> list[tuple[str, str]]:
    return [(LAYER_NAMES.get(row["layer"], row["layer"]), printable(row["layer"])) for row in stacked(contents.layers)]


def process_name(contents: Contents, place: tuple[int, int] | None) -> str:
    """What a row of the heat map is."""
    if place is None:
        return "all others"
    trace, pid = place
    name = printable(contents.traces.processes.get(place, ""))
    host = printable(contents.traces.files[trace].host)
    several = len({file.host for file in contents.traces.files}) > 1
    return " ".join(filter(None, (f"{host}:" if several else "", name, str(pid))))


def _label(text: str) -> str:
    return text if len(text) <= LONGEST_LABEL else f"{text[:6]}…{text[6 + 1 - LONGEST_LABEL :]}"


def _heat(contents: Contents) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    found = contents.figures.heat
    if not found.places or not found.time_us.any():
        return None, {"heat": None}
    time, moved, places = merged(found, HEAT_ROWS)
    names = [process_name(contents, place) for place in places]
    height = max(min(HEAT_HEIGHT, HEAT_ROW * len(names)), HEAT_ROW * 2)
    span = found.width_us * found.stretches
    drawn = {
        "picture": drawing.heat_map(time, height),
        "labels": drawing.labels([_label(name) for name in names], height) if len(names) <= LABELLED else None,
        "ticks": [duration(span * part / 4) if part else "0" for part in range(5)],
        "steps": range(1, drawing.LEVELS + 1),
        "largest": duration(float(time.max())),
        "width": duration(found.width_us),
        "rows": counted(len(found.places), "process", "processes"),
        "spread": found.spread,
        "sheet": stretch_sheet(contents),
    }
    cells = {
        "width": found.width_us,
        "names": [name[:200] for name in names],
        "time": [[round(value) for value in row] for row in time.tolist()],
        "bytes": [[round(value) for value in row] for row in moved.tolist()],
    }
    return drawn, {"heat": cells}


def _windows(contents: Contents) -> dict[str, Any]:
    names: dict[tuple[str, str], int] = {}
    paths: dict[str, int] = {}
    drawn = [_window(contents, window, names, paths) for window in contents.figures.windows]
    layers = {category: printable(LAYERS.get(category, category)) for category, _ in names}
    functions = [[layers[category], drawing.layer_class(category), printable(name)] for category, name in names]
    return {"functions": functions, "paths": [printable(path)[:300] for path in paths], "all": drawn}


def _window(
    contents: Contents, window: Window, names: dict[tuple[str, str], int], paths: dict[str, int]
) -> dict[str, Any]:
    several = len({lane[:2] for lane in window.lanes}) < len(window.lanes)
    lanes = [
        process_name(contents, (trace, pid))[:80] + (f" thread {tid}" if several or tid != pid else "")
        for trace, pid, tid in window.lanes
    ]
    slices = [
        [
            each.lane,
            each.depth,
            names.setdefault((each.category, each.name), len(names)),
            paths.setdefault(each.path, len(paths)),
            each.begin_us,
            each.duration_us,
            -1 if each.bytes is None else each.bytes,
            int(each.failed),
        ]
        for each in window.slices
    ]
    return {"begin": window.begin_us, "width": window.width_us, "calls": window.calls, "lanes": lanes, "slices": slices}


def _account(trace: Any) -> dict[str, Any]:
    facts = {**trace.run, **trace.provenance}
    pairs = [(printable(str(key)), printable(str(value))[:300]) for key, value in sorted(facts.items()) if value != ""]
    return {
        "path": printable(str(trace.path)),
        "host": printable(trace.host),
        "text": account(trace),
        "facts": pairs[:200],
        "complete": not trace.lacking,
    }
