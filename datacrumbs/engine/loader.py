"""An image to maps and programs in the kernel, without a compiler."""

from __future__ import annotations

import errno
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.engine.objects import TASK_STORAGE, Map, ProgramKind, load_program, load_types, verifier_log
from datacrumbs.errors import DatacrumbsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from datacrumbs.engine.image import Code, Image

_TRACING, _TRACE_ITERATOR = 26, 28

KERNEL_FUNCTIONS = {"bpf_session_is_return": 0x70000001, "bpf_session_cookie": 0x70000002}
"""Functions of the kernel that programs call: as a call of this number, which no helper has."""
ITERATOR_TARGET = "bpf_iter_task"

_INSTRUCTION = np.dtype([("code", "u1"), ("registers", "u1"), ("offset", "<i2"), ("immediate", "<i4")])
_CALL, _KERNEL_FUNCTION, _MAP_DESCRIPTOR = 0x85, 2, 1
_LOG_SHOWN = 4000


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
        self.maps: dict[str, Map] = {}
        storages = [entry for entry in image.maps if entry.kind == TASK_STORAGE]
        try:
            types = load_types([entry.value_size for entry in storages])
            try:
                for entry in image.maps:
                    described = (types, 1, 2 + storages.index(entry)) if entry in storages else (0, 0, 0)
                    self.maps[entry.name] = Map(entry, entries.get(entry.name, entry.entries), described)
            finally:
                os.close(types)
        except OSError as error:
            self.close()
            raise DatacrumbsError(
                f"the kernel refuses the maps of the probe program: {error.strerror}",
                hint="run datacrumbs_doctor; it names what this kernel lacks",
            ) from None

    def has(self, name: str) -> bool:
        """Whether the image has a program of this name."""
        return name in self._code

    def iterator_kind(self) -> ProgramKind:
        """As what an iterator over tasks is loaded."""
        return ProgramKind(_TRACING, _TRACE_ITERATOR, self._image.functions.get(ITERATOR_TARGET, 0))

    def begin(self, wanted: Iterable[tuple[str, ProgramKind]]) -> None:
        """Start to load programs, each in a thread of its own: the verifier takes its time."""
        for name, kind in wanted:
            if (name, kind) not in self._loads and name in self._code:
                self._loads[name, kind] = _Load(name, self._relocated(self._code[name]), kind)

    def try_program(self, name: str, kind: ProgramKind) -> int:
        """The descriptor of a program, loaded if it was not.

        Raises:
            OSError: with the kernel's refusal.

        """
        self.begin([(name, kind)])
        return self._loads[name, kind].result()

    def program(self, name: str, kind: ProgramKind) -> int:
        """The descriptor of a program, loaded if it was not.

        Raises:
            DatacrumbsError: (exit 1) with the verifier's words when the kernel refuses it.

        """
        try:
            return self.try_program(name, kind)
        except OSError as error:
            log = verifier_log(name, self._relocated(self._code[name]), kind).strip()[-_LOG_SHOWN:]
            raise DatacrumbsError(
                f"the kernel refuses the program {name}: {error.strerror}" + (f"\n{log}" if log else ""),
                hint="run datacrumbs_doctor; it names what this kernel lacks",
            ) from None

    def loaded(self) -> dict[str, int]:
        """Name -> descriptor of the programs that are loaded."""
        return {name: load.result() for (name, _), load in self._loads.items() if load.succeeded()}

    def close(self) -> None:
        """Give everything back; what is attached keeps what it uses. Idempotent."""
        for load in self._loads.values():
            with suppress(OSError):
                os.close(load.result())
        self._loads.clear()
        for each in self.maps.values():
            each.close()

    # The one place that changes instructions: descriptors of maps, and type ids of kernel functions.
    def _relocated(self, code: Code) -> bytes:
        instructions = np.frombuffer(bytearray(code.instructions), _INSTRUCTION)
        for index, name in code.maps:
            instructions[index]["registers"] = instructions[index]["registers"] & 0xF | _MAP_DESCRIPTOR << 4
            instructions[index]["immediate"] = self.maps[name].descriptor
        for name, number in KERNEL_FUNCTIONS.items():
            calls = (instructions["code"] == _CALL) & (instructions["immediate"] == number)
            instructions["registers"][calls] = _KERNEL_FUNCTION << 4
            instructions["immediate"][calls] = self._image.functions.get(name, 0)
        return instructions.tobytes()


# One program being verified; the call into the kernel lets other threads run.
class _Load:
    def __init__(self, name: str, instructions: bytes, kind: ProgramKind) -> None:
        self._descriptor = -1
        self._error = errno.EINVAL
        self._thread = threading.Thread(target=self._run, args=(name, instructions, kind))
        self._thread.start()

    def _run(self, name: str, instructions: bytes, kind: ProgramKind) -> None:
        try:
            self._descriptor = load_program(name, instructions, kind)
        except OSError as error:
            self._error = error.errno or errno.EINVAL

    def succeeded(self) -> bool:
        self._thread.join()
        return self._descriptor >= 0

    def result(self) -> int:
        self._thread.join()
        if self._descriptor < 0:
            raise OSError(self._error, os.strerror(self._error))
        return self._descriptor
