"""An image to maps and programs in the kernel, without a compiler."""

from __future__ import annotations

import errno
import os
import re
import threading
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.engine.bpf_objects import Instructions, Map, ProgramKind, load_program, verifier_log
from datacrumbs.engine.image import TASK_STORAGE
from datacrumbs.engine.type_information import INTEGER, PROGRAM, TypeInformation
from datacrumbs.errors import DatacrumbsError, hint_of
from datacrumbs.model.contract import KernelFunction, OwnFunction
from datacrumbs.model.layouts import ENVIRONMENT, HANDLE_REQUEST, OPENED, REQUEST, VECTOR

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from datacrumbs.engine.image import Code, Image

_TRACING, _TRACE_ITERATOR = 26, 28

KERNEL_FUNCTIONS = {f"bpf_{function.name.lower()}": function.value for function in KernelFunction}
"""Functions of the kernel that programs call: as a call of this number, which no helper has."""
_ARGUMENTS = {
    OwnFunction.RESOLVE_REQUEST: REQUEST,
    OwnFunction.ADD_VECTOR: VECTOR,
    OwnFunction.BIND_OPENED: OPENED,
    OwnFunction.CHANGE_HANDLE: HANDLE_REQUEST,
    OwnFunction.INHERIT_HANDLE: HANDLE_REQUEST,
    OwnFunction.READ_ENVIRONMENT: REQUEST,
    OwnFunction.READ_VARIABLE: ENVIRONMENT,
    OwnFunction.READ_COMMAND_LINE: REQUEST,
}
FUNCTIONS = {
    f"dc_{function.name.lower()}": (function.value, argument.itemsize) for function, argument in _ARGUMENTS.items()
}
"""Functions of the image that programs call: the number in the call, and the bytes that their argument points to."""
ITERATOR_TARGET = "bpf_iter_task"

_INSTRUCTION = np.dtype([("code", "u1"), ("registers", "u1"), ("offset", "<i2"), ("immediate", "<i4")])
_CALL, _OWN_FUNCTION, _KERNEL_FUNCTION, _MAP_DESCRIPTOR = 0x85, 1, 2, 1
_LINES_SHOWN, _LINE_SHOWN = 20, 200
_NO_REASON = re.compile(
    r"(processed|verification time|stack depth|cur state|old state|mark_precise|from|\d+:|R\d+\w*=)"
)


class VerifierError(DatacrumbsError):
    """The kernel refuses a program: its ``name``, all that the verifier says (``log``), the ``reason`` in one line."""

    def __init__(self, name: str, error: OSError, log: str) -> None:
        lines = log.splitlines()
        said = [line for line in lines if not _NO_REASON.match(line)]
        self.name, self.log = name, log
        self.reason = said[-1] if said else str(error.strerror)
        self.last_words = "".join(f"\n{line[:_LINE_SHOWN]}" for line in lines[-_LINES_SHOWN:])
        super().__init__(
            f"the kernel refuses the program {name}: {error.strerror}{self.last_words}",
            hint="run datacrumbs_doctor; it names what this kernel lacks",
        )


class LoadedImage:
    """An image's maps, and its programs as they are asked for.

    Args:
        image: What to load.
        entries: Map name -> how many entries it gets, where that is not for the image to say.

    Raises:
        DatacrumbsError: (exit 1) when the kernel refuses a map.

    """

    def __init__(self, image: Image, entries: Mapping[str, int]) -> None:
        self._image = image
        self._code = {code.name: code for code in image.programs}
        self._loads: dict[tuple[str, ProgramKind], _Load] = {}
        self._closing = ExitStack()
        self.maps: dict[str, Map] = {}
        storages = {entry.name: entry.value_size for entry in image.maps if entry.kind == TASK_STORAGE}
        try:
            self._types = self._closing.enter_context(
                TypeInformation([*storages.values()], {name: size for name, (_, size) in FUNCTIONS.items()})
            )
            described = {
                name: (self._types.descriptor, INTEGER, value)
                for name, value in zip(storages, self._types.values, strict=True)
            }
            for entry in image.maps:
                size = entries.get(entry.name, entry.entries)
                made = Map(entry, size, described.get(entry.name, (0, 0, 0)))
                self.maps[entry.name] = self._closing.enter_context(made)
        except OSError as error:
            self.close()
            raise DatacrumbsError(
                f"the kernel refuses the maps of the probe program: {error.strerror}",
                hint=hint_of(error) or "run datacrumbs_doctor; it names what this kernel lacks",
            ) from None

    def iterator_kind(self) -> ProgramKind:
        """As what an iterator over tasks is loaded."""
        return ProgramKind(_TRACING, _TRACE_ITERATOR, self._image.functions.get(ITERATOR_TARGET, 0))

    def begin(self, wanted: Iterable[tuple[str, ProgramKind]]) -> None:
        """Start to load programs, each in a thread of its own: the verifier takes its time."""
        for name, kind in wanted:
            if (name, kind) not in self._loads and name in self._code:
                self._loads[name, kind] = _Load(name, self._relocated(name), kind)

    def program(self, name: str, kind: ProgramKind) -> int:
        """The descriptor of a program, loaded if it was not.

        Raises:
            VerifierError: (exit 1) when the kernel refuses it.

        """
        self.begin([(name, kind)])
        try:
            return self._loads[name, kind].result()
        except OSError as error:
            raise VerifierError(name, error, verifier_log(name, self._relocated(name), kind).strip()) from None

    def has_loaded(self, name: str, kind: ProgramKind) -> bool:
        """Whether the loading of a program, which was begun, has come to its end, well or not."""
        return self._loads[name, kind].has_ended

    def loaded(self) -> dict[str, int]:
        """Name -> descriptor of the programs that are loaded."""
        return {name: load.result() for (name, _), load in self._loads.items()}

    def close(self) -> None:
        """Give everything back; what is attached keeps what it uses. Idempotent."""
        for load in self._loads.values():
            with suppress(OSError):
                os.close(load.result())
        self._loads.clear()
        self._closing.close()

    # The one place that changes instructions: descriptors of maps, type ids of kernel functions, and calls of
    # functions of the image, which are put behind the program.
    def _relocated(self, name: str) -> Instructions:
        parts = [self._with_descriptors(self._code[name])]
        starts = {}
        for called, (number, _) in FUNCTIONS.items():
            if any((_calls(part, number)).any() for part in parts):
                starts[called] = sum(map(len, parts))
                parts.append(self._with_descriptors(self._code[called]))
        instructions = np.concatenate(parts)
        for called, start in starts.items():
            places = np.flatnonzero(_calls(instructions, FUNCTIONS[called][0]))
            instructions["registers"][places] = _OWN_FUNCTION << 4
            instructions["immediate"][places] = start - places - 1
        for called, number in KERNEL_FUNCTIONS.items():
            calls = _calls(instructions, number)
            instructions["registers"][calls] = _KERNEL_FUNCTION << 4
            instructions["immediate"][calls] = self._image.functions.get(called, 0)
        functions = [(0, PROGRAM), *((start, self._types.functions[called]) for called, start in starts.items())]
        return Instructions(instructions.tobytes(), self._types.descriptor, tuple(functions))

    def _with_descriptors(self, code: Code) -> NDArray[np.void]:
        instructions = np.frombuffer(bytearray(code.instructions), _INSTRUCTION)
        for index, name in code.maps:
            instructions[index]["registers"] = instructions[index]["registers"] & 0xF | _MAP_DESCRIPTOR << 4
            instructions[index]["immediate"] = self.maps[name].descriptor
        return instructions


def _calls(instructions: NDArray[np.void], number: int) -> NDArray[np.bool_]:
    return np.asarray((instructions["code"] == _CALL) & (instructions["immediate"] == number))


# One program being verified; the call into the kernel lets other threads run.
class _Load:
    def __init__(self, name: str, instructions: Instructions, kind: ProgramKind) -> None:
        self._descriptor = -1
        self._error = errno.EINVAL
        self._thread = threading.Thread(target=self._run, args=(name, instructions, kind))
        self._thread.start()

    def _run(self, name: str, instructions: Instructions, kind: ProgramKind) -> None:
        try:
            self._descriptor = load_program(name, instructions, kind)
        except OSError as error:
            self._error = error.errno or errno.EINVAL

    @property
    def has_ended(self) -> bool:
        return not self._thread.is_alive()

    def result(self) -> int:
        self._thread.join()
        if self._descriptor < 0:
            raise OSError(self._error, os.strerror(self._error))
        return self._descriptor
