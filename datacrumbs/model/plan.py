"""The probe plan: everything that the daemon needs to know, and nothing that it must trust.

The configurator composes a plan, the signer signs its canonical bytes, the engine turns it
into one BPF program. The dataclasses here are the schema; `datacrumbs.probefile.codec` turns
them into canonical JSON and back. Providers describe their functions with the same classes,
which `datacrumbs.provider` re-exports.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

FORMAT = "datacrumbs-plan/4"
FUNCTION_LIMIT = 16384
ARGUMENT_LIMIT = 6
SKIP_LIMIT = 240
SAMPLE_LIMIT = 1_000_000


class Attach(StrEnum):
    """How a group of functions is probed."""

    UPROBE = "uprobe"
    USDT = "usdt"
    SYSCALL = "syscall"
    TRACEPOINT = "tracepoint"
    KPROBE = "kprobe"


class Mode(StrEnum):
    """How much of a call the trace keeps.

    TRACE: a line for each call. PROFILE: calls added up in the kernel by process, function and file.
    """

    TRACE = "trace"
    PROFILE = "profile"


class Role(StrEnum):
    """What an argument means to the engine and to the writer of the trace.

    FD: a descriptor; the engine resolves its file, which becomes the call's file unless a PATH did.
    TARGET_FD: a descriptor of a second file, which the call writes what it reads of the first one to; kept as its name.
    PATH: a C string naming a file; the first one is the call's file, the second is kept as a name.
    DIRFD: the directory descriptor that a relative PATH after it starts from.
    STRING: a C string that names something else (an HDF5 dataset, a communicator).
    BYTES: a number of bytes that was moved; SIZE: bytes of an element, for a result in ITEMS;
    COUNT: how much was asked for (bytes, or items of SIZE).
    HANDLE: an opaque handle (FILE *, DIR *, hid_t, MPI_File) whose file an earlier call announced.
    CLOSED: a HANDLE that the call gives back, whatever it returns; RELEASED: one that it gives back when it returns 0
    (a count of references).
    OUT_HANDLE: address that receives a new handle (MPI_File *).
    OUT: an address whose content is not read.
    """

    FD = "fd"
    TARGET_FD = "target_fd"
    PATH = "path"
    DIRFD = "dirfd"
    STRING = "string"
    BYTES = "bytes"
    SIZE = "size"
    COUNT = "count"
    OFFSET = "offset"
    FLAGS = "flags"
    WHENCE = "whence"
    HANDLE = "handle"
    CLOSED = "closed"
    RELEASED = "released"
    OUT_HANDLE = "out_handle"
    OUT = "out"
    VALUE = "value"


FOLLOWED_ROLES = frozenset((Role.PATH, Role.STRING))
"""Roles of addresses of a program's memory of which the content is recorded, and not the address."""


class Result(StrEnum):
    """What a function returns, and so what a failure looks like.

    Failure is -1 (a system call: -errno) for BYTES, STATUS, FD and OFFSET; zero or negative for
    HANDLE; zero for POINTER (of libc: with a system call's error behind it, since fgets() returns
    zero at the end of a file, too); -1 for MAPPING; non-zero for CODE (MPI); negative for NEGATIVE
    (HDF5's herr_t); never for ITEMS, VALUE and VOID. ITEMS is a number of elements, of which the
    argument with Role.SIZE has the number of bytes. A HANDLE belongs to the file of the call that made it.
    """

    BYTES = "bytes"
    ITEMS = "items"
    STATUS = "status"
    FD = "fd"
    OFFSET = "offset"
    HANDLE = "handle"
    POINTER = "pointer"
    MAPPING = "mapping"
    CODE = "code"
    NEGATIVE = "negative"
    VALUE = "value"
    VOID = "void"


class Returns(StrEnum):
    """Whether the returns of a function are probed, or why only its entries are.

    A return probe exchanges the return address on the stack. PROBED: nothing minds.
    CALLS_BACK: it runs code of the program, which may throw through it or leave it suspended on another stack.
    THROWS: exceptions or panics pass through it (C++, Rust). TWICE: it returns more often than it is called.
    NEVER: it does not return. CALLER: it looks at who called it. UNWINDS: it walks up the stack.
    MOVES: its stack is moved while it runs (Go). COLLECTED: a garbage collector looks for its caller (OCaml).
    NOT_CALLED: it finds no return address where a call leaves it. UNDESCRIBED: its file describes the stack of
    other functions and not of this one (hand-written assembly).
    """

    PROBED = "probed"
    CALLS_BACK = "calls_back"
    THROWS = "throws"
    TWICE = "twice"
    NEVER = "never"
    CALLER = "caller"
    UNWINDS = "unwinds"
    MOVES = "moves"
    COLLECTED = "collected"
    NOT_CALLED = "not_called"
    UNDESCRIBED = "undescribed"


@dataclass(frozen=True, slots=True)
class Argument:
    """One captured argument.

    Args:
        index: Position in the call from 0; for a tracepoint, the field's byte offset in its record.
        label: Key in the trace's ``args``; lower case, digits and underscores.
        ctype: C type as declared, for people.
        role: What it means.
        size: Bytes of the value: 1, 2, 4 or 8.
        signed: Whether the value is to be sign-extended.
    """

    index: int
    label: str
    ctype: str = "long"
    role: Role = Role.VALUE
    size: int = 8
    signed: bool = True


@dataclass(frozen=True, slots=True)
class UsdtPlace:
    """One place of a USDT probe.

    Args:
        offset: File offset of the place.
        semaphore: File offset of the counter that switches this place on, or 0.
        arguments: The argument format string of its note (``8@%rdi -4@$5``); empty at the end of a call.
    """

    offset: int
    semaphore: int = 0
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Function:
    """One probed function.

    Args:
        name: Its name in the trace, as the field's readers know it (``open``, not ``openat``).
        symbol: Its name where it lives: ELF symbol, kernel symbol, ``provider:probe`` (USDT),
            ``category:event`` (tracepoint), or the kernel's name of a system call (``openat``).
        category: The trace's category: POSIX, STDIO, MPI, MPIIO, HDF5, SYS, BLOCK ...
        aliases: Other symbols at the same address.
        offset: File offset of the first instruction (uprobe, usdt); system call number (syscall);
            0 for kprobe and tracepoint.
        more_places: Further places of one USDT probe.
        return_places: USDT only: places of the probe that marks the return; empty for a point event.
        arguments: At most 6 captured arguments, in trace order. Functions with a snippet have
            that many fewer as the snippet declares fields.
        result: What it returns.
        returns: Whether its returns are probed, or why not. Reasons that follow from its name need not be given.
        snippet: Name of the snippet that runs for it, or empty.
        snippet_arguments: Whole numbers for the parameters that the snippet's text declares, in their order.
        usdt_arguments: USDT only: the first place's argument format string, see `UsdtPlace`.
        semaphore: USDT only: the first place's semaphore, or 0.
        skip: Uprobe only: bytes from the offset to the probe, where it costs less; the configurator's to say.
    """

    name: str
    symbol: str
    category: str
    offset: int = 0
    aliases: tuple[str, ...] = ()
    more_places: tuple[UsdtPlace, ...] = ()
    return_places: tuple[UsdtPlace, ...] = ()
    arguments: tuple[Argument, ...] = ()
    result: Result = Result.VALUE
    returns: Returns = Returns.PROBED
    snippet: str = ""
    snippet_arguments: tuple[int, ...] = ()
    usdt_arguments: str = ""
    semaphore: int = 0
    skip: int = 0

    @property
    def return_probe(self) -> bool:
        """Whether its returns are probed."""
        return self.returns is Returns.PROBED

    @property
    def usdt_places(self) -> tuple[UsdtPlace, ...]:
        """USDT only: all places of its beginning."""
        return (UsdtPlace(self.offset, self.semaphore, self.usdt_arguments), *self.more_places)

    @property
    def place(self) -> int:
        """File offset of the probe."""
        return self.offset + self.skip

    @property
    def captured(self) -> frozenset[int]:
        """Positions of the arguments that a probe reads; all six in registers for a snippet, which may read any."""
        registers = frozenset(range(ARGUMENT_LIMIT))
        return registers if self.snippet else registers & {argument.index for argument in self.arguments}


@dataclass(frozen=True, slots=True)
class Target:
    """What is probed: an ELF file, or the kernel.

    Args:
        path: Absolute real path of the ELF file; empty for the kernel.
        build_id: Lower-case hex of the file's GNU build-id, or ``sha256:<hex>`` of the file
            when it has none; for the kernel its release (``uname -r``).
        seen_as: What programs in another root directory call that file; empty where they call it by its path.
    """

    path: str
    build_id: str
    seen_as: str = ""

    @property
    def is_kernel(self) -> bool:
        """True for the kernel itself."""
        return not self.path


@dataclass(frozen=True, slots=True)
class Group:
    """Functions of one provider in one target with one way to attach, kept in one way.

    Args:
        provider: Whose they are.
        layer: Their layer, for people.
        attach: How they are probed.
        target: Where they are.
        functions: In the order of their identities.
        mode: What the trace keeps of their calls.
        sample: One of how many calls gets a line, chosen at random; with mode TRACE only.
        helper: Their calls are only followed, for the handles that they make and give back, and not written.
    """

    provider: str
    layer: str
    attach: Attach
    target: Target
    functions: tuple[Function, ...]
    mode: Mode = Mode.TRACE
    sample: int = 1
    helper: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """C that runs at the entry or return of the functions that name it.

    Args:
        name: Unique within its provider; ``[a-z][a-z0-9_]*``. The C functions are
            ``dc_<provider>_<name>_entry`` and ``dc_<provider>_<name>_return``; either may be absent.
        provider: Who gives it; filled in when a provider is asked.
        text: The C source. It declares what the functions that name it have to give, each on a line of its own:
            ``DC_PARAMETER(label, low, high);`` for a whole number from low to high.
        fields: The extra values that it fills: Arguments with role BYTES, COUNT, VALUE, FD, STRING;
            their ``index`` is their order, from 0.
        licence: SPDX expression; the kernel takes GPL-compatible ones only.
    """

    name: str
    text: str
    provider: str = ""
    fields: tuple[Argument, ...] = ()
    licence: str = "GPL-2.0-only"


@dataclass(frozen=True, slots=True)
class Provenance:
    """A provider as it was when the plan was made."""

    name: str
    distribution: str
    version: str
    layer: str
    position: int

    @property
    def release(self) -> str:
        """What it was made by, as traces say it."""
        return f"{self.distribution} {self.version}"


@dataclass(frozen=True, slots=True)
class Sought:
    """The libraries that a selected provider is about, whether they were there when the plan was made or not.

    Args:
        provider: Who says so; it need not have a group.
        names: Shell patterns of file names and sonames (``libmpi.so.*``).
    """

    provider: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Filters:
    """What a run leaves out; calls are counted as ``filtered``.

    Args:
        minimum_duration_ns: Shorter calls are counted but not written.
        inclusion_path: Only calls on files below this directory are written; empty for all.
        command_lines: Whether those of the processes are written, where the node's configuration does not forbid it.
    """

    minimum_duration_ns: int = 0
    inclusion_path: str = ""
    command_lines: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole probe plan. Same inputs give equal plans and equal bytes.

    A function's identity in the kernel and in the trace's footer is its position in the
    concatenation of all groups' functions, from 0.
    """

    providers: tuple[Provenance, ...]
    groups: tuple[Group, ...]
    snippets: tuple[Snippet, ...] = ()
    filters: Filters = Filters()
    sought: tuple[Sought, ...] = ()
    format: str = FORMAT

    @property
    def functions(self) -> tuple[Function, ...]:
        """All functions in the order of their identities."""
        return tuple(function for group in self.groups for function in group.functions)


def with_mode(plan: Plan, mode: Mode | None) -> Plan:
    """The plan with one mode for all of its functions; unchanged for None. Sampling stays where calls are traced."""
    if mode is None:
        return plan
    sampling = mode is Mode.TRACE
    groups = (replace(group, mode=mode, sample=group.sample if sampling else 1) for group in plan.groups)
    return replace(plan, groups=tuple(groups))
