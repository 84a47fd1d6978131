"""Offsets of kernel structure members, from the running kernel's own type information.

The compiler sees headers that may belong to another kernel; the offsets that the program
uses come from ``/sys/kernel/btf/vmlinux`` through libbpf, which is bcc's own dependency.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError

if TYPE_CHECKING:
    from collections.abc import Iterable

_KIND_STRUCT, _KIND_FUNCTION = 4, 12
_INFO_KIND_FLAG = 31

MEMBERS: dict[str, tuple[str, ...]] = {
    "task_struct": (
        "files",
        "fs",
        "signal",
        "tgid",
        "pid",
        "cred",
        "comm",
        "exit_code",
        "mm",
        "sas_ss_sp",
        "sas_ss_size",
        "utask",
        "seccomp",
        "pending",
    ),
    "seccomp": ("mode",),
    "sigpending": ("signal",),
    "sigaction": ("sa_handler", "sa_flags"),
    "cred": ("euid",),
    "signal_struct": ("live",),
    "files_struct": ("fdt",),
    "fdtable": ("fd", "max_fds"),
    "file": ("f_inode", "f_path", "f_op"),
    "path": ("mnt", "dentry"),
    "inode": ("i_ino", "i_sb", "i_mode", "i_size", "i_generation", "i_nlink", "i_dentry"),
    "super_block": ("s_dev", "s_magic"),
    "dentry": ("d_name", "d_parent", "d_inode", "d_hash", "d_u"),
    "qstr": ("name", "hash_len"),
    "vfsmount": ("mnt_root",),
    "mount": ("mnt", "mnt_parent", "mnt_mountpoint"),
    "fs_struct": ("pwd", "root"),
    "linux_binprm": ("filename", "file", "secureexec", "interp_flags"),
    "thread_info": ("status",),
    "mm_struct": ("uprobes_state", "exe_file", "flags"),
    "uprobes_state": ("xol_area",),
    "xol_area": ("vaddr",),
}
"""Structure -> members whose offsets the program is compiled with."""

_BIT_FIELDS = {("linux_binprm", "secureexec")}

CAST = "bpf_rdonly_cast"
"""The kernel's function by which a program reads structures at addresses without a helper (Linux 6.2 and later)."""
CAST_TARGETS = ("timespec64", "pt_regs")
"""Structures that the program casts to: one that begins with an integer of 64 bits, and the saved registers."""

_OPTIONAL = {
    ("thread_info", "status"),  # only where 32-bit programs are told apart by it (x86)
    # Only where the kernel has seccomp.
    ("task_struct", "seccomp"),
    ("seccomp", "mode"),
    # Only where the kernel has uprobes.
    ("task_struct", "utask"),
    ("mm_struct", "uprobes_state"),
    ("uprobes_state", "xol_area"),
    ("xol_area", "vaddr"),
}


def struct_offsets() -> dict[tuple[str, str], int]:
    """Offset in bits of each of MEMBERS, as ``("task_struct", "files")`` -> 14592; -1 for what this kernel lacks.

    Raises:
        DatacrumbsError: (exit 1) when the kernel has no BTF or lacks a member.

    """
    library = _libbpf()
    types = _load(library)
    try:
        offsets = {}
        for structure, members in MEMBERS.items():
            found = _members(library, types, structure)
            for member in members:
                if member not in found and (structure, member) not in _OPTIONAL:
                    raise DatacrumbsError(f"struct {structure} of this kernel has no member {member}")
                offsets[structure, member] = found.get(member, -1)
        return offsets
    finally:
        library.btf__free(types)


def definitions() -> list[str]:
    """The offsets as compiler flags, ``-DDC_TASK_FILES=1824``, and type ids of CAST_TARGETS where there is CAST.

    Of bit fields the number of the bit, ``-DDC_LINUX_BINPRM_SECUREEXEC_BIT=322``.
    """
    flags = []
    for (structure, member), bits in struct_offsets().items():
        prefix = {"task_struct": "task", "thread_info": "task_thread_info"}.get(structure, structure)
        is_bit = (structure, member) in _BIT_FIELDS
        flags.append(f"-DDC_{prefix}_{member}{'_BIT' * is_bit}".upper() + f"={bits if is_bit else bits // 8}")
    if function_ids([CAST]):
        flags += [f"-DDC_TYPE_{name.upper()}={number}" for name, number in _ids(CAST_TARGETS, _KIND_STRUCT).items()]
    return flags


def function_ids(names: Iterable[str]) -> dict[str, int]:
    """Type ids of those of the kernel's functions that this kernel has."""
    return _ids(names, _KIND_FUNCTION)


def _ids(names: Iterable[str], kind: int) -> dict[str, int]:
    library = _libbpf()
    types = _load(library)
    try:
        found = {name: library.btf__find_by_name_kind(types, name.encode(), kind) for name in names}
    finally:
        library.btf__free(types)
    return {name: int(identity) for name, identity in sorted(found.items()) if identity > 0}


def _load(library: ctypes.CDLL) -> int:
    types = library.btf__load_vmlinux_btf()
    if not types:
        raise DatacrumbsError(
            "the kernel has no type information (BTF): /sys/kernel/btf/vmlinux cannot be read",
            hint="run a kernel built with CONFIG_DEBUG_INFO_BTF=y, which every distribution's kernel is since 2020",
        )
    return int(types)


@cache
def _libbpf() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libbpf.so.1")
    except OSError:
        try:
            library = ctypes.CDLL("libbpf.so.0")
        except OSError:
            raise DatacrumbsError(
                "libbpf is not installed", hint="install the system package python3-bpfcc, which brings it"
            ) from None
    library.btf__load_vmlinux_btf.restype = ctypes.c_void_p
    library.btf__free.argtypes = [ctypes.c_void_p]
    library.btf__find_by_name_kind.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint32]
    library.btf__find_by_name_kind.restype = ctypes.c_int32
    library.btf__type_by_id.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    library.btf__type_by_id.restype = ctypes.POINTER(ctypes.c_uint32)
    library.btf__name_by_offset.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    library.btf__name_by_offset.restype = ctypes.c_char_p
    return library


def _members(library: ctypes.CDLL, types: int, structure: str) -> dict[str, int]:
    identity = library.btf__find_by_name_kind(types, structure.encode(), _KIND_STRUCT)
    return _walk(library, types, identity, 0) if identity > 0 else {}


# struct btf_type is three words (name, info, size) and three per member (name, type, offset in bits).
def _walk(library: ctypes.CDLL, types: int, identity: int, base: int) -> dict[str, int]:
    words = library.btf__type_by_id(types, identity)
    found = {}
    for index in range(words[1] & 0xFFFF):
        name = library.btf__name_by_offset(types, words[3 + 3 * index]).decode()
        bits = words[5 + 3 * index]
        if words[1] >> _INFO_KIND_FLAG:
            bits &= 0xFFFFFF
        if name:
            found[name] = base + bits
        else:
            found.update(_walk(library, types, words[4 + 3 * index], base + bits))
    return found
