"""C text to an image, by bcc, in a child process.

Only the child has bcc and its compiler in memory. And some errors inside clang end the whole process
(an assertion, a stack over 512 bytes) before any ``except`` runs: they end the child alone.
"""

from __future__ import annotations

import ctypes
import dataclasses
import hashlib
import importlib.util
import json
import os
import re
import resource
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from datacrumbs.engine import image
from datacrumbs.engine.image import TASK_STORAGE, Code, Image, MapSpecification
from datacrumbs.errors import DatacrumbsError
from datacrumbs.kernel import structures
from datacrumbs.kernel.header_files import missing_headers
from datacrumbs.secure.user_rights import give_up_root

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from datacrumbs.engine.image_store import ImageStore
    from datacrumbs.kernel.btf import Btf

_HEADERS_HINT = (
    "kernel headers are missing: install linux-headers for this kernel (kernel-devel on the RHEL family), "
    "or link /lib/modules/$(uname -r)/build to headers of a near version; datacrumbs_doctor checks"
)
_KERNEL_NOTES = Path("/sys/kernel/notes")  # holds the kernel's build-id
_CHILD_KEY = "compiled"
_NO_COMPILER = 77
# bcc's functions about table n of a module, in the order of MapSpecification, with its descriptor behind its name.
_OF_TABLES = {
    "bpf_table_name": ctypes.c_char_p,
    "bpf_table_fd_id": ctypes.c_int,
    "bpf_table_type_id": ctypes.c_int,
    "bpf_table_key_size_id": ctypes.c_size_t,
    "bpf_table_leaf_size_id": ctypes.c_size_t,
    "bpf_table_max_entries_id": ctypes.c_size_t,
    "bpf_table_flags_id": ctypes.c_int,
}
LIMITED_SECONDS = 30
"""Processor time of a limited compilation."""
_LIMITED_CLOCK_SECONDS = 300
"""Its time on the clock where this process has no alarm of its own: for a compiler that waits without end."""
_OUT_OF_LIMITS = frozenset((signal.SIGXCPU, signal.SIGKILL))
_LIMITED_MEMORY = 768 << 20
_WORDS_SHOWN = 4000
_SHOW_LINES = 8  # bcc's DEBUG_SOURCE
_UNPRIVILEGED = re.compile(r"could not open bpf map: \w+, error: Operation not permitted")
_LOAD_ADDRESS, _MAP_DESCRIPTOR = 0x18, 1
_STORAGE = re.compile(r"^DC_TASK_STORAGE\((\w+),", re.MULTILINE)
_WITHOUT_TYPES = "-g0"
"""Instructions are the same with debug information, in four thirds of the time."""


class CompileError(DatacrumbsError):
    """The compiler does not take a program; ``words`` is what it says."""

    def __init__(self, words: str, status: int) -> None:
        super().__init__(
            f"the probe program does not compile (compiler exit {status}):\n{words[-_WORDS_SHOWN:]}",
            hint="a snippet may be wrong, or " + _HEADERS_HINT,
        )
        self.words = words


class SlowCompilerError(DatacrumbsError):
    """A compilation did not end in its time on the clock, which says nothing about the program."""


def load_bcc() -> Any:
    """The class ``bcc.BPF``.

    Raises:
        DatacrumbsError: (exit 1) when the system's bcc is not importable.

    """
    try:
        from bcc import BPF  # noqa: PLC0415 - only what compiles needs bcc
    except ImportError:
        raise DatacrumbsError(
            "bcc is not importable by this Python",
            hint="install the system package python3-bpfcc (python3-bcc on the RHEL family) "
            "and use a virtual environment with system site packages; the Python index's `bcc` is another project",
        ) from None
    return BPF


def compiled_program(
    text: str, flags: Sequence[str], functions: Collection[str], store: ImageStore, tell: Callable[[str], None]
) -> Image:
    """The image of a C program: the one that was kept, else compiled now and kept.

    Args:
        text: The C program.
        flags: Compiler flags; the offsets of the running kernel's structures are added.
        functions: Names of the running kernel's functions whose type ids the program needs, if it has them.
        store: Where images are kept.
        tell: Takes one line before the compiler runs.

    Raises:
        DatacrumbsError: (exit 1) with the compiler's words, or when bcc, headers or type information are missing.

    """
    key = _key(text, flags, functions)
    kept = store.load(key)
    if kept is not None:
        return kept
    tell("compiling the probe program, once for this kernel; takes a few seconds")
    made = compiled(text, flags, functions)
    store.save(key, made)
    return made


def compiled(text: str, flags: Sequence[str], functions: Collection[str]) -> Image:
    """The image of a C program, compiled now; arguments and errors are those of `compiled_program`."""
    answer = _ask(text, flags, functions)
    if answer.status:
        raise CompileError(answer.words, answer.status)
    return dataclasses.replace(image.decode(answer.output, _CHILD_KEY), functions=answer.functions)


def complaint(text: str, flags: Sequence[str], *, limited: bool = False) -> str:
    """What the compiler says against a program; empty when it takes it.

    It needs no rights: that the maps of the program cannot be made without them is no complaint.

    Args:
        text: As for `compiled_program`.
        flags: As for `compiled_program`.
        limited: Give the child no rights and `LIMITED_SECONDS`, for text that need not be well meant.

    Raises:
        DatacrumbsError: (exit 1) when bcc, headers or type information are missing, or the limits are too narrow.
        SlowCompilerError: (exit 1) when its time on the clock is over.

    """
    if importlib.util.find_spec("bcc") is None:
        raise DatacrumbsError("bcc is not importable by this Python")
    answer = _ask(text, flags, limited=limited)
    if limited and -answer.status in _OUT_OF_LIMITS:
        raise DatacrumbsError(f"the probe program does not compile in {LIMITED_SECONDS} s of processor time")
    if limited and -answer.status == signal.SIGALRM:
        raise SlowCompilerError("the compiler was not ready in time: this host is very busy, or it waits for a file")
    if not answer.status or _UNPRIVILEGED.search(answer.words):
        return ""
    return answer.words or f"the compiler ended with {answer.status}"


def disassembled(text: str, flags: Sequence[str]) -> str:
    """The instructions of a program's functions, each run of them below the line of the text that it comes from.

    Empty when it does not compile.
    """
    answer = _ask(text, flags, debug=_SHOW_LINES)
    return "" if answer.status else answer.words


# Of the child: its exit status, its output, what it says; and the type ids of the functions that were asked for.
class _Answer(NamedTuple):
    status: int
    output: bytes
    words: str
    functions: dict[str, int]


def _ask(
    text: str, flags: Sequence[str], functions: Collection[str] = (), *, debug: int = 0, limited: bool = False
) -> _Answer:
    if missing := missing_headers():
        raise DatacrumbsError(f"{missing}: no kernel headers", hint=_HEADERS_HINT)
    with subprocess.Popen(
        [sys.executable, "-I", "-m", "datacrumbs.engine.compiler"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": os.defpath},  # bcc and clang read many more
        cwd="/",  # this one's may be gone, which clang does not forgive
    ) as child:  # imports the compiler while the flags are looked up
        try:
            types = structures.running_kernel()
            given = _request(types, text, flags, debug, limited=limited)
            identities = structures.function_ids(types, functions)
        except BaseException:
            child.kill()
            raise
        output, words = child.communicate(given)
    check_found(child, words)
    return _Answer(child.returncode, output, words.decode(errors="replace").strip(), identities)


def check_found(child: subprocess.Popen[bytes], words: bytes) -> None:
    """Check that the child that compiles has found its compiler.

    Args:
        child: The process, ended.
        words: What it wrote to its standard error: without bcc the parts of an error, as JSON.

    Raises:
        DatacrumbsError: It has not.
    """
    if child.returncode == _NO_COMPILER:
        raise DatacrumbsError.of_parts(*json.loads(words))


def _request(types: Btf, text: str, flags: Sequence[str], debug: int = 0, *, limited: bool = False) -> bytes:
    seconds = (signal.getitimer(signal.ITIMER_REAL)[0] or _LIMITED_CLOCK_SECONDS) if limited else 0
    return json.dumps([text, [*flags, *structures.definitions(types)], debug, seconds]).encode()


# Offsets and type ids are those of the kernel's build, which its notes identify.
def _key(text: str, flags: Sequence[str], functions: Collection[str]) -> str:
    system = os.uname()
    notes = _KERNEL_NOTES.read_bytes() if _KERNEL_NOTES.exists() else b""
    parts = [text, flags, sorted(functions), _compiler_version(), system.release, system.version, system.machine]
    return hashlib.sha256(json.dumps(parts).encode() + notes + image.MAGIC).hexdigest()


# As a file, since an import brings the compiler with it.
def _compiler_version() -> str:
    found = importlib.util.find_spec("bcc")
    if found is None or not found.submodule_search_locations:
        return ""
    try:
        return (Path(found.submodule_search_locations[0]) / "version.py").read_text(encoding="utf-8")
    except OSError:
        return ""


# What bcc made of the text: its instructions hold descriptors of maps, which are named here.
def _image_of(module: Any, storages: Collection[str]) -> Image:
    from bcc import lib  # noqa: PLC0415 - see load_bcc

    lib.bpf_num_tables.restype = ctypes.c_size_t
    lib.bpf_num_tables.argtypes = [ctypes.c_void_p]
    for function, result in _OF_TABLES.items():
        getattr(lib, function).restype = result
        getattr(lib, function).argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    descriptors, maps = {}, []
    for index in range(lib.bpf_num_tables(module)):
        name, descriptor, *numbers = (getattr(lib, function)(module, index) for function in _OF_TABLES)
        descriptors[descriptor] = name.decode()
        made = MapSpecification(name.decode(), *numbers)
        is_storage = made.name in storages
        maps.append(dataclasses.replace(made, kind=TASK_STORAGE, entries=0) if is_storage else made)
    programs = []
    for index in range(lib.bpf_num_functions(module)):
        name = lib.bpf_function_name(module, index)
        start, size = lib.bpf_function_start(module, name), lib.bpf_function_size(module, name)
        programs.append(_code(name.decode(), ctypes.string_at(start, size), descriptors))
    return Image(tuple(maps), tuple(sorted(programs, key=lambda code: code.name)), {})


def _code(name: str, instructions: bytes, descriptors: dict[int, str]) -> Code:
    clean, maps = bytearray(instructions), []
    for index, (code, registers, _, immediate) in enumerate(struct.iter_unpack("<BBhi", instructions)):
        if code == _LOAD_ADDRESS and registers >> 4 == _MAP_DESCRIPTOR:
            maps.append((index, descriptors[immediate]))
            struct.pack_into("<i", clean, index * image.INSTRUCTION_SIZE + 4, 0)
    return Code(name, bytes(clean), tuple(maps))


def main() -> None:
    """What the child does: the request from standard input, the image to standard output."""
    output = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints must not get into the image
    try:
        compiler = load_bcc()
    except DatacrumbsError as error:
        json.dump(error.parts(), sys.stderr)
        sys.exit(_NO_COMPILER)
    text, flags, debug, seconds = json.load(sys.stdin)
    if seconds:
        resource.setrlimit(resource.RLIMIT_AS, (_LIMITED_MEMORY, _LIMITED_MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (LIMITED_SECONDS, LIMITED_SECONDS))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.setitimer(signal.ITIMER_REAL, seconds)
        give_up_root()
    compiled = compiler(text=text.encode(), cflags=[*flags, *([] if debug else [_WITHOUT_TYPES])], debug=debug)
    with os.fdopen(output, "wb") as stream:
        stream.write(image.encode(_image_of(compiled.module, _STORAGE.findall(text)), _CHILD_KEY))


if __name__ == "__main__":
    main()
