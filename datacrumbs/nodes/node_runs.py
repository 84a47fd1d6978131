"""One run on many nodes, each with its own trace: started on all of them or on none, and ended."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from datacrumbs.nodes.fan_out import Answer, Answers, NodeOutcome, ask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datacrumbs.nodes.fan_out import Access

WRAPPER = "datacrumbs_service_wrapper"
NONE_HERE = "none"
"""What ending a run prints where there is none."""
END_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class RunOrder:
    """Which run is started, and how it is waited for.

    Args:
        run: Its id, the same on all nodes.
        user: Whose programs are traced.
        probes: The user's probe file, where each node has it.
        prefix: The installation on the nodes.
        seconds: How long each node may take.
        keep_going: Whether it stays where it started though it did not on others.
    """

    run: str
    user: str
    probes: str
    prefix: str
    seconds: float
    keep_going: bool = False


@dataclass(frozen=True, slots=True)
class NodeState:
    """What became of a run on one node.

    Args:
        node: Its name.
        state: ``ready``, ``failed``, ``unreachable``, ``no answer``, ``interrupted`` or ``ended`` (it was ready, but
            not on all nodes); of an end ``complete``, ``none`` or one of the others.
        words: Where the trace is, or why there is none.
        status: Exit status of the command there; None where there is none.
    """

    node: str
    state: str
    words: str
    status: int | None


@dataclass(frozen=True, slots=True)
class NodeStates:
    """What became of it on all nodes.

    Args:
        states: In the order of the nodes.
        interrupted: Whether the user interrupted it.
        is_settled: Whether each node said what it did; else a run that is not said to be there may go on, or begin yet.
    """

    states: tuple[NodeState, ...]
    interrupted: bool
    is_settled: bool = True

    def are_all(self, *states: str) -> bool:
        """Whether each node is in one of these states."""
        return all(each.state in states for each in self.states)


def start_on_nodes(order: RunOrder, nodes: Sequence[str], access: Access) -> NodeStates:
    """Start a run on nodes; where it does not begin on all of them, end it again, unless it is to go on.

    A node that did not answer is asked to end it as well: it may have started it all the same.
    """
    options = ["--timeout", f"{order.seconds:g}", "--prefix", order.prefix]
    line = access.command_line(WRAPPER, [*options, "start", order.run, order.user, order.probes])
    started = ask(nodes, line, access, order.seconds)
    failed = any(answer.outcome is not NodeOutcome.DONE for answer in started.answers)
    ended: Answers | None = None
    if started.interrupted or (failed and not order.keep_going):
        doubtful = [each.node for each in started.answers if each.outcome is NodeOutcome.DONE or not each.is_definite]
        ended = _ended(order.run, order.prefix, doubtful, access, END_SECONDS) if doubtful else None
    after = {answer.node: answer for answer in ended.answers} if ended else {}
    states = tuple(_started(answer, after.get(answer.node)) for answer in started.answers)
    is_settled = all(_is_settled(answer, after.get(answer.node)) for answer in started.answers)
    return NodeStates(states, started.interrupted or bool(ended and ended.interrupted), is_settled)


def stop_on_nodes(run: str, prefix: str, nodes: Sequence[str], access: Access, seconds: float) -> NodeStates:
    """End a run on nodes, and wait until its traces are complete.

    Args:
        run: Its id.
        prefix: The installation on the nodes.
        nodes: Their names.
        access: How they are reached.
        seconds: How long each node may take.
    """
    ended = _ended(run, prefix, nodes, access, seconds)
    states = tuple(_state(answer, NONE_HERE if _had_none(answer) else "complete") for answer in ended.answers)
    return NodeStates(states, ended.interrupted)


def _ended(run: str, prefix: str, nodes: Sequence[str], access: Access, seconds: float) -> Answers:
    line = access.command_line(WRAPPER, ["--timeout", f"{seconds:g}", "--prefix", prefix, "stop", run])
    return ask(nodes, line, access, seconds)


def _started(answer: Answer, ended: Answer | None) -> NodeState:
    found = _state(answer, "ready")
    if ended is None or (answer.is_definite and _had_none(ended)):
        return found
    if _had_none(ended):  # which may be since the start has not come so far
        return _with_words(found, "it may begin there yet: datacrumbs_stop ends it")
    if ended.outcome is NodeOutcome.DONE:
        return NodeState(answer.node, "ended", found.words, answer.status)
    if answer.outcome is not NodeOutcome.DONE and ended.outcome is not NodeOutcome.FAILED:
        return found  # it was not reached again either
    return _with_words(found, f"it may go on there: {_words(ended)}")


def _is_settled(answer: Answer, ended: Answer | None) -> bool:
    if ended is None:
        return answer.is_definite
    return ended.outcome is NodeOutcome.DONE and (answer.is_definite or not _had_none(ended))


def _with_words(state: NodeState, words: str) -> NodeState:
    return replace(state, words="; ".join(filter(None, (state.words, words))))


def _state(answer: Answer, done: str) -> NodeState:
    state = done if answer.outcome is NodeOutcome.DONE else str(answer.outcome)
    return NodeState(answer.node, state, _words(answer), answer.status)


def _had_none(answer: Answer) -> bool:
    return answer.outcome is NodeOutcome.DONE and answer.output == (NONE_HERE,)


def _words(answer: Answer) -> str:
    if answer.outcome is NodeOutcome.DONE:
        return " ".join(line for line in answer.output if line != NONE_HERE)
    return answer.last_message
