"""Curated signatures: how providers write down what well-known functions take and return.

A provider's table is a tuple of `signature` calls, one a line::

    signature("POSIX", "pwrite pwrite64", "bytes", "fd:int=fd", "-", "count:size_t=count", "offset:off_t=offset")

`functions_of` matches such a table with the symbols that a library really has.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datacrumbs.elf.c_types import integer_type
from datacrumbs.elf.functions import base_name
from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.model import problems, rule_kinds
from datacrumbs.model.plan import ARGUMENT_LIMIT, Argument, Attach, Function, Result, Returns, Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from datacrumbs.elf.functions import ElfFunction

_SPECIFICATION = re.compile(r"(?P<label>[a-z][a-z0-9_]*)(:(?P<ctype>[^=]+))?(=(?P<role>[a-z_]+))?")
_ROLES = frozenset(role.value for role in Role)
_RESULTS = frozenset(result.value for result in Result)
_SKIP = re.compile(r"-(?P<count>[1-9]?)")


class SignatureError(DatacrumbsError):
    """A provider's table is wrong (exit 2); loading the provider adds its name."""

    def __init__(self, message: str) -> None:
        super().__init__(message, exit_code=ExitCode.USAGE)


@dataclass(frozen=True, slots=True)
class Signature:
    """What a provider knows about one function.

    Args:
        name: Its name in the trace.
        symbols: The symbols that mean it, the preferred one first.
        category: The trace's category.
        result: What it returns.
        arguments: What is captured of each call.
        snippet: Name of the provider's snippet that runs for it, or empty.
        snippet_arguments: What it runs with, see `Function.snippet_arguments`.
        returns: Whether its returns are probed, or why not.
    """

    name: str
    symbols: tuple[str, ...]
    category: str
    result: Result
    arguments: tuple[Argument, ...] = ()
    snippet: str = ""
    snippet_arguments: tuple[int, ...] = ()
    returns: Returns = Returns.PROBED

    def function(self, symbol: str, *, offset: int = 0, aliases: Sequence[str] = ()) -> Function:
        """The plan's function for one symbol of this signature."""
        return Function(
            self.name,
            symbol,
            self.category,
            offset=offset,
            aliases=tuple(aliases),
            arguments=self.arguments,
            result=self.result,
            returns=self.returns,
            snippet=self.snippet,
            snippet_arguments=self.snippet_arguments,
        )


def args(*specifications: str) -> tuple[Argument, ...]:
    """Captured arguments from compact text, in the order of the call.

    Each is ``label:ctype=role``; the type may be left out (``long``), and so may the role (``value``).
    ``-`` skips one argument of the call, ``-3`` three.

    Example::

        args("fd:int=fd", "-", "count:size_t=count", "offset:off_t=offset")

    Raises:
        SignatureError: (exit 2) for text of another form, an unknown role, a repeated label, or more
            than 6 captured arguments.
    """
    arguments: list[Argument] = []
    index = 0
    for text in specifications:
        skip = _SKIP.fullmatch(text)
        if skip:
            index += int(skip["count"] or 1)
            continue
        argument = _argument(index, text)
        if any(other.label == argument.label for other in arguments):
            raise SignatureError(f"argument {text!r}: duplicate label; expected each label once")
        arguments.append(argument)
        index += 1
    if len(arguments) > ARGUMENT_LIMIT:
        raise SignatureError(f"{len(arguments)} captured arguments; expected at most {ARGUMENT_LIMIT}")
    return tuple(arguments)


def _argument(index: int, text: str) -> Argument:
    match = _SPECIFICATION.fullmatch(text)
    if not match:
        raise SignatureError(f"argument {text!r} is not `label:ctype=role` or `-`; expected e.g. `count:size_t=count`")
    role = match["role"] or Role.VALUE.value
    if role not in _ROLES:
        raise SignatureError(f"argument {text!r}: {role} is not a role; expected one of {', '.join(Role)}")
    ctype = (match["ctype"] or "long").strip()
    size, signed = integer_type(ctype)
    return Argument(index, match["label"], ctype, Role(role), size, signed)


def signature(
    category: str,
    names: str,
    result: str,
    *specifications: str,
    snippet: str = "",
    snippet_arguments: tuple[int, ...] = (),
    returns: Returns = Returns.PROBED,
) -> Signature:
    """One line of a provider's table.

    Args:
        category: The trace's category.
        names: ``name``, or ``name symbol symbol`` when further symbols mean the same, or
            ``name: symbol symbol`` when only those symbols have this form of arguments (``stat: __xstat``).
        result: A `Result` by value.
        specifications: As `args` takes them.
        snippet: See `Function.snippet`.
        snippet_arguments: See `Function.snippet_arguments`.
        returns: See `Function.returns`.

    Raises:
        SignatureError: (exit 2) as `args`, for an unknown result, for no symbol, or for arguments that a probe of a
            function cannot record: beyond the registers, or more names than are found for one call.
    """
    name, colon, rest = names.partition(":")
    symbols = tuple(rest.split()) if colon else tuple(names.split())
    name = name.split()[0] if name.split() else ""
    if not name or not symbols:
        raise SignatureError(f"signature {names!r} names no function; expected `name symbol ...` or `name: symbol ...`")
    if result not in _RESULTS:
        raise SignatureError(f"signature {names!r}: {result} is not a result; expected one of {', '.join(Result)}")
    try:
        arguments = args(*specifications)
        _check(arguments)
    except SignatureError as error:
        raise SignatureError(f"signature {names!r}{_written_at()}: {error}") from None
    return Signature(name, symbols, category, Result(result), arguments, snippet, snippet_arguments, returns)


def _check(arguments: tuple[Argument, ...]) -> None:
    many = rule_kinds.Many(0, ARGUMENT_LIMIT, Argument)
    for problem in problems.value_problems(arguments, many, Attach.UPROBE):
        position = problem.path[0]
        raise SignatureError(f"argument {arguments[int(position)].label!r}: {problem.text}")


# The line of the table, which is what its author looks for.
def _written_at() -> str:
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return f" ({frame.f_code.co_filename}:{frame.f_lineno})" if frame is not None else ""


def functions_of(signatures: Iterable[Signature], symbols: Iterable[ElfFunction]) -> tuple[Function, ...]:
    """The functions that a table describes and a library has: one for each address, sorted by name and symbol.

    Where several signatures meet at one address, the first of the table wins. The address's other names, in the table
    or not, become the aliases. Functions of old versions (``realpath@GLIBC_2.2.5``) are described as the newer ones
    are. Indirect functions are given as the library has them; composing puts their implementations in their place.
    """
    table: dict[str, tuple[int, Signature]] = {}
    order = 0
    for entry in signatures:
        for symbol in entry.symbols:
            table.setdefault(symbol, (order, entry))
            order += 1
    found = []
    for function in symbols:
        names = (function.name, *function.aliases)
        known = sorted((table[base][0], "@" in name, name) for name in names if (base := base_name(name)) in table)
        if not known:
            continue
        chosen = known[0][2]
        aliases = tuple(sorted(name for name in names if name != chosen))
        found.append(table[base_name(chosen)][1].function(chosen, offset=function.offset, aliases=aliases))
    return tuple(sorted(found, key=lambda item: (item.name, item.symbol, item.offset)))
