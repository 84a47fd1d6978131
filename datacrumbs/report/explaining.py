"""What the calls of a function spent in each call below: a tree of paths, summed over all of them.

A unit is a call of the function that is in no other call of it on its thread. What happened inside of units is added up
by path: `H5Dwrite > pwrite` is all calls of pwrite that calls of H5Dwrite made directly.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from datacrumbs.errors import did_you_mean, usage_error
from datacrumbs.model.layers import LAYERS
from datacrumbs.report.block_requests import with_directions
from datacrumbs.report.call_selection import select
from datacrumbs.report.findings.gaps import of_calls
from datacrumbs.report.nesting import from_the_top, with_runs
from datacrumbs.report.parents import with_parents
from datacrumbs.trace.dataframes import pl

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from datacrumbs.report.call_selection import CallSelection
    from datacrumbs.trace.reader import Traces

    Numbers = NDArray[np.int64]

SLOW, FAST = 0.9, 0.5
THREAD = ("run", "pid", "tid")


@dataclass(slots=True)
class Node:
    """All calls on one path.

    Attributes:
        name: Of the function.
        layer: Its layer.
        calls: How many.
        time_us: Their time.
        self_us: Without the time of the calls inside them.
        bytes: Moved, or None where none of them says.
        device_us: From issue to completion of requests of the block layer, of those whose completion is in the trace.
        completed: How many these are.
        slow: Mean of a slow unit: calls, self_us, bytes.
        fast: Mean of a fast unit.
        children: The calls inside, the most time first.
    """

    name: str
    layer: str
    calls: int
    time_us: int
    self_us: int
    bytes: int | None
    device_us: int = 0
    completed: int = 0
    slow: tuple[float, float, float] | None = None
    fast: tuple[float, float, float] | None = None
    children: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Explanation:
    """Where the calls of a function spent their time.

    Attributes:
        function: Its name.
        units: How many of its calls are in no other call of it.
        time_us: Their time.
        p50_us: Of their durations.
        p90_us: Likewise.
        incomplete: Why times inside and shares are not known; empty when they are.
        root: All of them.
        layer_bytes: Layer -> bytes of the outermost of its calls in them; not to be added up.
        slow_units: How many took at least ``p90_us``; 0 where that was not asked.
        fast_units: How many took at most ``p50_us``.
    """

    function: str
    units: int
    time_us: int
    p50_us: int
    p90_us: int
    incomplete: str
    root: Node
    layer_bytes: dict[str, int]
    slow_units: int = 0
    fast_units: int = 0


def explain(traces: Traces, selection: CallSelection, function: str, *, slow_vs_fast: bool = False) -> Explanation:
    """Add up what happened inside the calls of a function.

    Args:
        traces: Read with their details.
        selection: Which calls of the function; whatever was inside them counts.
        function: Its name.
        slow_vs_fast: Whether to compare the slow tenth of its calls with the fast half.

    Raises:
        DatacrumbsError: (exit 2) No such call of it is there.
    """
    chosen = _chosen(traces, selection, function)
    frame = _threads_with(traces, chosen)
    nested = with_parents(with_directions(frame), THREAD)
    parent = nested["parent"].to_numpy()
    unit = _units(parent, (nested["name"].cast(pl.String) == function).to_numpy())
    wanted = nested["order"].is_in(chosen["order"].implode()).to_numpy()
    unit[(unit >= 0) & ~wanted[unit]] = -1
    if not (unit >= 0).any():
        raise usage_error(f"--explain {function}: what the selection leaves is inside other calls of it")
    tree = _Tree(nested, parent, unit)
    duration = nested["dur"].to_numpy()[tree.roots]
    p50, p90 = (int(np.quantile(duration, part, method="inverted_cdf")) for part in (FAST, SLOW))
    if slow_vs_fast:
        tree.compare(duration >= p90, duration <= p50)
    incomplete = of_calls(traces) or _unseen(nested, tree.roots)
    return Explanation(
        function,
        len(tree.roots),
        int(duration.sum()),
        p50,
        p90,
        incomplete,
        tree.root(),
        tree.layer_bytes(),
        int((duration >= p90).sum()) if slow_vs_fast else 0,
        int((duration <= p50).sum()) if slow_vs_fast else 0,
    )


def _chosen(traces: Traces, selection: CallSelection, function: str) -> pl.DataFrame:
    calls = with_runs(traces, select(traces, selection))
    found = calls.filter(pl.col("name").cast(pl.String) == function)
    chosen = found.select(*THREAD, "order").collect(engine="streaming")
    if chosen.is_empty():
        known = calls.select(pl.col("name").cast(pl.String).unique()).collect(engine="streaming").to_series().to_list()
        if traces.profiles.filter(pl.col("name") == function).height:
            raise usage_error(f"--explain {function}: its calls were only added up, so what was inside is not known")
        where = "in the trace" if selection == type(selection)() else "in what the selection leaves"
        raise usage_error(f"--explain {function}: no call of it is {where}{did_you_mean(function, known)}")
    return chosen


def _threads_with(traces: Traces, chosen: pl.DataFrame) -> pl.DataFrame:
    threads = chosen.lazy().select(THREAD).unique()
    columns = ["category", "name", "ts", "dur", "ret", "bytes", "order", "depth", "dev", "sector", "rwbs"]
    calls = with_runs(traces, traces.calls).join(threads, on=THREAD)
    return calls.select(*THREAD, *columns).collect(engine="streaming")


# Of each call the unit that it is in or is; -1 for none.
def _units(parent: Numbers, matches: NDArray[np.bool_]) -> Numbers:
    unit = np.full(len(parent), -1, np.int64)
    rows = np.arange(len(parent))
    above = parent.copy()
    inner = np.zeros(len(parent), np.bool_)
    # The outermost call of the name on the way up is the unit.
    unit[matches] = rows[matches]
    while len(rows):
        going = above[rows] >= 0
        rows = rows[going]
        found = matches[above[rows]]
        unit[rows[found]] = above[rows][found]
        inner[rows[found]] = True
        above[rows] = parent[above[rows]]
    return unit


def _unseen(nested: pl.DataFrame, roots: Numbers) -> str:
    seen = nested["ret"].is_not_null().to_numpy()[roots] | (nested["dur"].to_numpy()[roots] > 0)
    return "" if seen.any() else "its return is not observed"


class _Tree:
    def __init__(self, nested: pl.DataFrame, parent: Numbers, unit: Numbers) -> None:
        self._rows = np.flatnonzero(unit >= 0)
        self._nested = nested
        self.roots = self._rows[unit[self._rows] == self._rows]
        self._unit = unit
        self._parent = parent
        word = pl.concat_str(pl.col("category").cast(pl.String), pl.col("name").cast(pl.String), separator="\0")
        words = nested.select(word.cast(pl.Categorical).alias("word"))["word"]
        codes = words.to_physical().to_numpy().astype(np.int64)
        self._node = np.full(len(parent), -1, np.int64)
        self._above: list[int] = [-1]
        self._words: list[str] = [words.cast(pl.String)[int(self.roots[0])]]
        self._number(codes, words)
        self._means: dict[str, tuple[Any, ...]] = {}
        self._sum()

    # Level by level: the calls inside a node, by function, are a node each.
    def _number(self, codes: Numbers, words: pl.Series) -> None:
        self._node[self.roots] = 0
        rows = self._rows[self._unit[self._rows] != self._rows]
        width = int(codes.max()) + 1
        while len(rows):
            ready = self._node[self._parent[rows]] >= 0
            now, rows = rows[ready], rows[~ready]
            if not len(now):
                return
            place = self._node[self._parent[now]] * width + codes[now]
            _, first, number = np.unique(place, return_index=True, return_inverse=True)
            self._node[now] = len(self._above) + number
            self._above += self._node[self._parent[now[first]]].tolist()
            self._words += words[now[first]].cast(pl.String).to_list()

    def _sum(self) -> None:
        rows, count = self._rows, len(self._above)
        duration = self._nested["dur"].to_numpy().astype(np.int64)
        inside = rows[self._unit[rows] != rows]
        of_children = np.bincount(self._parent[inside], duration[inside], len(duration)).astype(np.int64)
        self._own = np.maximum(duration - of_children, 0)
        moved = self._nested["bytes"]
        self._moved = moved.fill_null(0).to_numpy()
        node = self._node[rows]
        known = np.bincount(node, moved.is_not_null().to_numpy()[rows], count)
        latency = self._nested["latency"]
        sums = (duration, self._own, self._moved, latency.fill_null(0).to_numpy())
        self._sums = [np.bincount(node, each[rows], count).astype(np.int64) for each in sums]
        self._calls, self._known = np.bincount(node, minlength=count), known > 0
        self._completed = np.bincount(node, latency.is_not_null().to_numpy()[rows], count).astype(np.int64)

    def compare(self, slow: NDArray[np.bool_], fast: NDArray[np.bool_]) -> None:
        """Add the means of the slow and of the fast units to each node."""
        of_unit = np.full(len(self._parent), -1, np.int64)
        of_unit[self.roots] = np.arange(len(self.roots))
        for name, chosen in (("slow", slow), ("fast", fast)):
            rows = self._rows[chosen[of_unit[self._unit[self._rows]]]]
            node, count = self._node[rows], len(self._above)
            sums = [np.ones(len(rows)), self._own[rows], self._moved[rows]]
            self._means[name] = tuple(np.bincount(node, each, count) / chosen.sum() for each in sums)

    def root(self) -> Node:
        """The tree."""
        nodes = []
        for number, word in enumerate(self._words):
            category, name = word.split("\0")
            time, own, moved, device = (int(each[number]) for each in self._sums)
            means = {key: tuple(float(each[number]) for each in value) for key, value in self._means.items()}
            size = moved if self._known[number] else None
            calls, completed = int(self._calls[number]), int(self._completed[number])
            layer = LAYERS.get(category, category)
            nodes.append(Node(name, layer, calls, time, own, size, device, completed, **means))  # type: ignore[arg-type]
        for number, above in enumerate(self._above):
            if above >= 0:
                nodes[above].children.append(nodes[number])
        nodes[0].layer = self._layers_of_roots()
        for node in nodes:
            node.children.sort(key=lambda child: (-child.time_us, -child.calls, child.name))
        return nodes[0]

    # Functions of several layers may have the same name.
    def _layers_of_roots(self) -> str:
        found = set(self._nested["category"].gather(self.roots).cast(pl.String))
        return ", ".join(LAYERS.get(name, name) for name in from_the_top(found))

    def layer_bytes(self) -> dict[str, int]:
        """Bytes of the outermost calls of each layer, from the application down."""
        category = self._nested["category"].cast(pl.String)
        codes = category.cast(pl.Categorical).to_physical().to_numpy()
        rows = self._rows
        top = (self._unit[rows] == rows) | (codes[self._parent[rows]] != codes[rows])
        frame = pl.DataFrame({"category": category.gather(rows[top]), "bytes": self._nested["bytes"].gather(rows[top])})
        sums = dict(frame.drop_nulls().group_by("category").agg(pl.col("bytes").sum()).iter_rows())
        return {LAYERS.get(name, name): sums[name] for name in from_the_top(sums)}
