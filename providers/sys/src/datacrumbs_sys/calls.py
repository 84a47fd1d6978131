"""What is known of system calls beyond what the machine knows: libc's names, classes, roles, results."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

from datacrumbs.provider import Argument, Function, Result, Role

CLASSES = ("file", "descriptor", "data", "metadata", "network", "memory", "process", "signal", "ipc", "time", "all")
DEFAULT_CLASSES = ("data", "metadata")
_PATH_ROLES = frozenset((Role.PATH,))
_DESCRIPTOR_ROLES = frozenset((Role.FD, Role.DIRFD))


@dataclass(frozen=True, slots=True)
class Call:
    """A system call as a trace shows it.

    Args:
        function: By libc's name (``open``), by which readers classify it, and by the kernel's (``openat``). Its
            category is POSIX for what libc's input and output interface has, else SYS; the number is the machine's.
        classes: Which of `CLASSES` it is in, ``all`` apart.
    """

    function: Function
    classes: frozenset[str]


@cache
def curated_calls() -> dict[str, Call]:
    """The calls of ``calls.txt`` by the kernel's name."""
    arguments = _curated_arguments()
    calls: dict[str, Call] = {}
    category = ""
    for line in _lines("calls.txt"):
        if line.startswith("["):
            category = line.strip("[]")
            continue
        kernel_name, name, classes, result, *captured = line.split()
        described = tuple(
            replace(arguments[key], index=position) for position, key in enumerate(captured) if key != "-"
        )
        shown = kernel_name if name == "." else name
        function = Function(shown, kernel_name, category, arguments=described, result=Result(result))
        calls[kernel_name] = Call(function, _classes(classes, described))
    return calls


def uncurated_call(kernel_name: str, arguments: tuple[Argument, ...]) -> Call:
    """A call that only the machine describes: every system call fails with ``-errno``.

    Addresses of user memory are left out: nothing is read from them, and by themselves they say nothing.
    """
    captured = tuple(argument for argument in arguments if argument.role is not Role.OUT)
    function = Function(kernel_name, kernel_name, "SYS", arguments=captured, result=Result.STATUS)
    return Call(function, _classes("-", captured))


def _classes(text: str, arguments: tuple[Argument, ...]) -> frozenset[str]:
    classes = {word.removeprefix("=") for word in text.split(",")} - {"-"}
    roles = {argument.role for argument in arguments}
    if roles & _PATH_ROLES:
        classes.add("file")
    if roles & _DESCRIPTOR_ROLES:
        classes.add("descriptor")
    return frozenset(classes)


def _curated_arguments() -> dict[str, Argument]:
    arguments = {}
    for line in _lines("arguments.txt"):
        key, label, role, size, sign, ctype = line.split(maxsplit=5)
        arguments[key] = Argument(0, label, ctype, Role(role), int(size), sign == "signed")
    return arguments


def _lines(name: str) -> list[str]:
    text = (files("datacrumbs_sys") / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]
