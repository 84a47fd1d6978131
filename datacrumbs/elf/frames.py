"""What the unwind information of a file says of the stack at a function's first instruction.

A function that is called finds its return address on top of the stack (x86-64) or in the link register (arm64), and
its unwind entry says so. What is reached in another way says something else: the entry point of a program and the
first function of a thread have no return address, the frame above a signal's handler is marked as one, code that is
jumped to has more on the stack. A return probe there would overwrite what is no return address.

Format: call frame instructions of DWARF 5, section 6.4.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from datacrumbs.elf.unwind import Reader

if TYPE_CHECKING:
    from datacrumbs.elf.segments import ProgramImage
    from datacrumbs.elf.unwind import Entry

_ADVANCE, _OFFSET, _RESTORE = 0x40, 0x80, 0xC0  # with an operand in the lower six bits
_SET_LOCATION, _UNDEFINED, _SAME_VALUE, _REMEMBER, _RESTORE_STATE = 0x01, 0x07, 0x08, 0x0A, 0x0B
_STEPS = {0x02: "<B", 0x03: "<H", 0x04: "<I"}
_CFA, _CFA_REGISTER, _CFA_OFFSET, _CFA_EXPRESSION, _CFA_FACTORED = 0x0C, 0x0D, 0x0E, 0x0F, 0x12
_CFA_OFFSET_FACTORED = 0x13
# Rules of one register with one number more (ULEB, SLEB), or with an expression.
_NUMBERED, _SIGNED = {0x05, 0x09, 0x14}, {0x11, 0x15}
_EXPRESSIONS = {0x10, 0x16}
_RESTORE_EXTENDED = 0x06
_IGNORED, _IGNORED_NUMBER = {0x00, 0x2D}, 0x2E  # no-operation, a signed return address of arm64; size of arguments
_STEP_LIMIT = 4096


class _Called(NamedTuple):
    # Machine's numbers: stack pointer, return address; where the canonical frame address and the return address are.
    stack: int
    above: int
    column: int
    saved: frozenset[int | None]


# arm64's return address is in its register, so nothing is said of it, or that it has the same value.
_CALLED = {
    "EM_X86_64": _Called(7, 8, 16, frozenset({-8})),
    "EM_AARCH64": _Called(31, 0, 30, frozenset({None})),
}


def is_called(image: ProgramImage, entry: Entry, address: int) -> bool:
    """Whether the instruction at an address finds the stack as a call leaves it.

    Args:
        image: The file.
        entry: The unwind entry of the address.
        address: Of a function's first instruction.

    Raises:
        Exception: One of `ELF_PROBLEMS` for instructions that cannot be read.
    """
    called = _CALLED.get(image.machine)
    if called is None or entry.common.signal or entry.common.return_column != called.column:
        return False
    state = _State(image, entry)
    state.run(entry.common.program, None)
    state.run(entry.program, address)
    return (state.register, state.above) == (called.stack, called.above) and state.saved in called.saved


class _State:
    # Of the canonical frame address and of the return address; a text for what is said in another way.

    def __init__(self, image: ProgramImage, entry: Entry) -> None:
        self.image, self.common = image, entry.common
        self.at = entry.start
        self.register: int | str = ""
        self.above: int | str = ""
        self.saved: int | str | None = None

    def run(self, program: tuple[int, int], until: int | None) -> None:
        """Follow instructions; up to those of a later address."""
        at, end = program
        reader = Reader(self.image, at)
        first = self.saved
        remembered: list[tuple[int | str, int | str, int | str | None]] = []
        for _ in range(_STEP_LIMIT):
            if reader.at >= end:
                return
            operation = reader.take("<B")
            low = operation & 0x3F
            if operation & 0xC0 == _ADVANCE or operation in _STEPS or operation == _SET_LOCATION:
                self._advance(reader, operation)
                if until is not None and self.at > until:
                    return
            elif operation & 0xC0 == _OFFSET:
                self._rule(low, reader.leb() * self.common.data_unit)
            elif operation & 0xC0 == _RESTORE:
                self._rule(low, first)
            elif operation == _REMEMBER:
                remembered.append((self.register, self.above, self.saved))
            elif operation == _RESTORE_STATE:
                self.register, self.above, self.saved = remembered.pop()
            elif not self._define(reader, operation):
                self._rule_of(reader, operation, first)
        raise ValueError("instructions that do not end")

    def _advance(self, reader: Reader, operation: int) -> None:
        if operation == _SET_LOCATION:
            self.at = reader.pointer(self.common.addresses)
        else:
            step = operation & 0x3F if operation & 0xC0 else reader.take(_STEPS[operation])
            self.at += step * self.common.code_unit

    def _define(self, reader: Reader, operation: int) -> bool:
        if operation in {_CFA, _CFA_FACTORED}:
            self.register = reader.leb()
        if operation in {_CFA, _CFA_OFFSET}:
            self.above = reader.leb()
        elif operation in {_CFA_FACTORED, _CFA_OFFSET_FACTORED}:
            self.above = reader.signed_leb() * self.common.data_unit
        elif operation == _CFA_REGISTER:
            self.register = reader.leb()
        elif operation == _CFA_EXPRESSION:
            self.register = "expression"
            size = reader.leb()
            reader.at += size
        else:
            return False
        return True

    def _rule_of(self, reader: Reader, operation: int, first: int | str | None) -> None:
        if operation in _IGNORED:
            return
        register = reader.leb()
        if operation == _IGNORED_NUMBER:
            return
        if operation == _RESTORE_EXTENDED:
            self._rule(register, first)
        elif operation == _SAME_VALUE:
            self._rule(register, None)
        elif operation == _UNDEFINED:
            self._rule(register, "undefined")
        elif operation in _EXPRESSIONS:
            self._rule(register, "expression")
            size = reader.leb()
            reader.at += size
        elif operation in _NUMBERED:
            value = reader.leb() * self.common.data_unit
            self._rule(register, value if operation == 0x05 else "elsewhere")
        elif operation in _SIGNED:
            value = reader.signed_leb() * self.common.data_unit
            self._rule(register, value if operation == 0x11 else "elsewhere")
        else:
            raise ValueError("an instruction that is not known")

    def _rule(self, register: int, rule: int | str | None) -> None:
        if register == self.common.return_column:
            self.saved = rule
