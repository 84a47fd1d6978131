"""What is ClusterShell's: node sets, and ssh to many nodes at once. It is an extra of the package.

The worker is named here, since a user's configuration of ClusterShell may have another one as its default.
"""

from __future__ import annotations

import re
import signal
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ClusterShell.Event import EventHandler
from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException
from ClusterShell.NodeUtils import GroupResolverError
from ClusterShell.Task import task_self
from ClusterShell.Worker.Ssh import WorkerSsh

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

CONNECT_SECONDS = 10
_LOOK_SECONDS = 0.1
"""How often to check for an interruption, and for a node that prints too much."""
_ANSWER_LONGEST = 4 << 20
"""Bytes that a node may print, about; one that prints more is not waited for any longer."""
_OPTIONS = "-oServerAliveInterval=5 -oServerAliveCountMax=3"
"""ssh notices a node that has gone while a command runs."""
_LINE_COST = 128
"""How many bytes a line counts as at least, since a short one takes as long to read."""
_NODES_MOST = 1 << 16
_TOO_MANY = f"it names more than {_NODES_MOST:,} nodes"
_PIECE = re.compile(r"\[(?P<ranges>[^\[\]]*)\]|[,!&^]")
_NUMBER = re.compile(r"[\d_]+")


@dataclass(frozen=True, slots=True)
class Ends:
    """How a command ended on nodes.

    Args:
        statuses: Exit status of each node that ended it.
        late: Nodes that did not in time.
        too_long: Nodes that printed more than is read.
        interrupted: Whether this process was interrupted.
    """

    statuses: Mapping[str, int]
    late: set[str]
    too_long: set[str]
    interrupted: bool


def expanded(text: str) -> list[str]:
    """The nodes of a node set, in its order, groups included.

    Raises:
        ValueError: With words for a message.
    """
    if _size(text) > _NODES_MOST:
        raise ValueError(_TOO_MANY)
    try:
        nodes = NodeSet(text)
    except (NodeSetException, GroupResolverError) as error:
        raise ValueError(str(error)) from None
    if len(nodes) > _NODES_MOST:
        raise ValueError(_TOO_MANY)
    if not nodes and "@" in text:
        raise ValueError("ClusterShell has no such group here, or an empty one")
    return [str(name) for name in nodes]


# ClusterShell makes a set of all numbers of a range at once. At least as many as the text means, without groups' nodes.
def _size(text: str) -> int:
    total, here = 0, 1
    for piece in _PIECE.finditer(text):
        if piece["ranges"] is None:
            total, here = total + here, 1
        else:
            here *= sum(_range_size(each) for each in piece["ranges"].split(","))
    return total + here


def _range_size(text: str) -> int:
    span, _, step = text.partition("/")
    try:
        numbers = [int(each) for each in _NUMBER.findall(span)]
        each = max(int(step or 1), 1)
    except ValueError:
        return 1  # which ClusterShell refuses
    if len(numbers) != 2:
        return 1
    first, last = numbers
    return max(last - (-first if span.lstrip().startswith("-") else first), 0) // each + 1


def folded(nodes: Sequence[str]) -> str:
    """The node set of these nodes."""
    return str(NodeSet.fromlist(nodes, resolver=RESOLVER_NOGROUP))


def run_over_ssh(
    nodes: Sequence[str],
    line: str,
    *,
    login: str,
    fan_out: int,
    seconds: float,
    given: bytes,
    heard: Callable[[str, str, bytes], None],
) -> Ends:
    """Run a command line on nodes until all have ended it, or this process is interrupted (SIGINT, SIGTERM).

    Args:
        nodes: Their names.
        line: For the shell there.
        login: User to log in as; empty for what ssh and ClusterShell are configured for.
        fan_out: How many at once.
        seconds: How long each is waited for.
        given: What the command reads.
        heard: Called with node, stream (``stdout``, ``stderr``) and each line.

    Returns:
        How it came to its end.
    """
    task = task_self()
    for stream in ("stdout", "stderr"):
        task.set_default(f"{stream}_msgtree", False)  # noqa: FBT003 - else all that is read is kept there as well
    task.set_info("fanout", fan_out)
    task.set_info("connect_timeout", CONNECT_SECONDS)
    task.set_info("ssh_options", f"{task.info('ssh_options') or ''} {_OPTIONS}".strip())
    if login:
        task.set_info("ssh_user", login)
    handler = _Handler(heard)
    # ClusterShell replaces %hosts; quotes that quote nothing keep the sign from what follows it.
    worker = WorkerSsh(
        NodeSet.fromlist(nodes, resolver=RESOLVER_NOGROUP),
        handler=handler,
        command=line.replace("%", "%''"),
        timeout=seconds,
        stderr=True,
    )
    if given:
        worker.write(given)
    worker.set_write_eof()
    task.schedule(worker)
    watch = _Watch(worker, handler.sizes)
    task.timer(_LOOK_SECONDS, handler=watch, interval=_LOOK_SECONDS, autoclose=True)
    with watch.noted():
        task.resume()
    late = {str(node) for node in task.iter_keys_timeout()}
    task.abort(kill=True)
    return Ends(handler.statuses, late, watch.too_long, watch.is_interrupted)


class _Handler(EventHandler):  # type: ignore[misc]
    def __init__(self, heard: Callable[[str, str, bytes], None]) -> None:
        self._heard = heard
        self.statuses: dict[str, int] = {}
        self.sizes: Counter[str] = Counter()

    def ev_read(self, _worker: object, node: str, sname: str, msg: bytes) -> None:
        self.sizes[str(node)] += max(len(msg), _LINE_COST)
        self._heard(str(node), sname, msg)

    def ev_hup(self, _worker: object, node: str, rc: int) -> None:
        self.statuses[str(node)] = rc


# An exception in the middle of ClusterShell's work would leave that in pieces, and what was started could not be ended.
class _Watch(EventHandler):  # type: ignore[misc]
    def __init__(self, worker: WorkerSsh, sizes: Counter[str]) -> None:
        self._worker, self._sizes = worker, sizes
        self.too_long: set[str] = set()
        self.is_interrupted = False

    def ev_timer(self, _timer: object) -> None:
        if self.is_interrupted:
            self._worker.abort()
            return
        for client in self._worker._engine_clients():  # noqa: SLF001 - a line without an end is nowhere else
            node = str(client.key)
            unended = sum(len(stream.rbuf) for stream in client.streams.values())
            if self._sizes[node] + unended > _ANSWER_LONGEST:
                self.too_long.add(node)
                client.abort()

    @contextmanager
    def noted(self) -> Iterator[None]:
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, self._note)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, _number: int, _frame: object) -> None:
        self.is_interrupted = True
