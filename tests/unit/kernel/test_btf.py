"""Types that are made by hand, those of the running kernel, and data that is no BTF."""

from __future__ import annotations

import struct

import pytest

from datacrumbs.kernel.btf import HEADER, MAGIC, Btf, Kind, kernel_btf

NAMES = b"\0outer\0inner\0flags\0bits\0deep\0int\0function\0"


def name(text: bytes) -> int:
    return NAMES.index(b"\0" + text + b"\0") + 1


def made(*types: tuple[int, ...]) -> Btf:
    """A BTF of these types, each as its words."""
    data = b"".join(struct.pack(f"<{len(words)}I", *words) for words in types)
    return Btf(HEADER.pack(MAGIC, 1, 0, HEADER.size, 0, len(data), len(data), len(NAMES)) + data + NAMES)


def small_btf() -> Btf:
    """`struct outer { int flags:4, bits:3; union { int deep; }; int inner; }`, and a function of the same name."""
    return made(
        (name(b"int"), Kind.INTEGER << 24, 4, 1 << 24 | 32),
        (0, Kind.UNION << 24 | 1, 4, name(b"deep"), 1, 0),
        (
            *(name(b"outer"), 1 << 31 | Kind.STRUCTURE << 24 | 4, 12),
            *(name(b"flags"), 1, 4 << 24),
            *(name(b"bits"), 1, 3 << 24 | 4),
            *(0, 2, 32),
            *(name(b"inner"), 1, 64),
        ),
        (0, Kind.PROTOTYPE << 24 | 1, 0, name(b"deep"), 1),
        (name(b"outer"), Kind.FUNCTION << 24, 4),
        (name(b"outer"), Kind.STRUCTURE << 24, 1),
    )


def test_members_have_offsets_and_bit_fields_those_of_their_first_bit():
    btf = small_btf()
    assert btf.member_bits("outer") == {"flags": 0, "bits": 4, "deep": 32, "inner": 64}
    assert btf.member_bits("function") == {}
    members = btf.structure("outer")
    assert members is not None
    assert [(member.name, member.offset, member.ctype) for member in members] == [
        ("deep", 4, "int"),
        ("inner", 8, "int"),
    ]


def test_a_type_is_found_by_its_kind_and_name_and_the_first_of_several_is_taken():
    btf = small_btf()
    assert btf.type_count == 7
    assert btf.type_id(Kind.STRUCTURE, "outer") == 3
    assert btf.type_id(Kind.FUNCTION, "outer") == 5
    assert btf.type_id(Kind.FUNCTION, "function") is None
    prototype = btf.prototype("outer")
    assert prototype is not None
    assert [one.name for one in prototype.parameters] == ["deep"]
    assert prototype.result is None


def test_types_of_a_module_build_on_those_of_the_kernel():
    base = small_btf()
    own = b"\0later\0"
    words = (base.string_end + 1, Kind.STRUCTURE << 24 | 1, 4, name(b"inner"), 1, 0)
    same = (name(b"outer"), Kind.STRUCTURE << 24, 4)
    data = struct.pack("<9I", *words, *same)
    head = HEADER.pack(MAGIC, 1, 0, HEADER.size, 0, len(data), len(data), len(own))
    module = Btf(head + data + own, base)
    assert module.type_id(Kind.STRUCTURE, "later") == base.type_count
    assert module.type_id(Kind.STRUCTURE, "outer") == base.type_count + 1
    assert module.member_bits("later") == {"inner": 0}
    members = module.structure("later")
    assert members is not None
    assert [member.ctype for member in members] == ["int"]


def test_structures_have_their_layout():
    btf = kernel_btf()
    assert btf is not None
    members = {member.name: member for member in btf.structure("pt_regs") or ()}
    words = {"long unsigned int", "u64"}  # of x86-64 and of arm64
    assert {member.size for member in members.values() if member.ctype in words} == {8}
    assert btf.structure("no_such_structure") is None
    assert btf.prototype("no_such_function") is None


@pytest.mark.parametrize(
    "data",
    [b"", b"\x9f\xeb", b"x" * 100, struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 1000, 1000, 1000)],
    ids=["empty", "short", "foreign", "cut"],
)
def test_what_is_no_btf_is_refused(data):
    with pytest.raises(ValueError, match="BTF"):
        Btf(data)
