"""Offsets of kernel structure members, from the running kernel's own type information.

The compiler sees headers that may belong to another kernel; the offsets that the program
uses come from ``/sys/kernel/btf/vmlinux``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError
from datacrumbs.kernel.btf import Kind, read_btf

if TYPE_CHECKING:
    from collections.abc import Iterable

    from datacrumbs.kernel.btf import Btf

MEMBERS = {
    "task_struct": "files fs signal tgid pid cred real_cred start_time start_boottime comm exit_code mm sas_ss_sp "
    "sas_ss_size pending",
    "sigpending": "signal",
    "sigaction": "sa_handler sa_flags",
    "cred": "uid euid suid gid egid sgid cap_permitted user_ns",
    "user_namespace": "level owner",
    "signal_struct": "live",
    "files_struct": "fdt",
    "fdtable": "fd max_fds",
    "file": "f_inode f_path f_op",
    "path": "mnt dentry",
    "inode": "i_ino i_sb i_mode i_size i_generation i_nlink i_dentry",
    "super_block": "s_dev s_magic",
    "dentry": "d_name d_parent d_inode d_hash d_u",
    "qstr": "name hash_len",
    "vfsmount": "mnt_root",
    "mount": "mnt mnt_parent mnt_mountpoint",
    "fs_struct": "pwd root",
    "linux_binprm": "filename fdpath file secureexec interp_flags",
    "mm_struct": "exe_file flags arg_start arg_end env_start env_end",
}
"""Structure -> members whose offsets the program is compiled with."""
OPTIONAL = {
    "thread_info": "status",  # only where it distinguishes 32-bit programs (x86)
    "task_struct": "seccomp cgroups utask",
    # Only where the kernel has seccomp.
    "seccomp": "mode",
    # Only where the kernel has control groups.
    "css_set": "dfl_cgrp",
    "cgroup": "self kn root",
    "cgroup_root": "hierarchy_id",
    "cgroup_subsys_state": "parent",
    "kernfs_node": "id name",
    # Only where the kernel has uprobes.
    "mm_struct": "uprobes_state",
    "uprobes_state": "xol_area",
    "xol_area": "vaddr",
}
"""The same of what a kernel may lack."""

_BIT_FIELDS = {("linux_binprm", "secureexec")}

CAST = "bpf_rdonly_cast"
"""The kernel's function by which a program reads structures at addresses without a helper (Linux 6.2 and later)."""
CAST_TARGETS = ("timespec64", "pt_regs")
"""Structures that the program casts to: one that begins with an integer of 64 bits, and the saved registers."""

TURNS = ("bpf_iter_num_new", "bpf_iter_num_next", "bpf_iter_num_destroy")
"""The kernel's functions by which a program counts the turns of a loop (Linux 6.4 and later)."""


def running_kernel() -> Btf:
    """The types of the running kernel, which are large: not kept for longer than a program is made.

    Raises:
        DatacrumbsError: (exit 1) when the kernel has no BTF.
    """
    types = read_btf()
    if types is None:
        raise DatacrumbsError(
            "the kernel has no type information (BTF): /sys/kernel/btf/vmlinux cannot be read",
            hint="run a kernel built with CONFIG_DEBUG_INFO_BTF=y, which every distribution's kernel is since 2020",
        )
    return types


def struct_offsets(types: Btf) -> dict[tuple[str, str], int]:
    """Offset in bits of each member, as ``("task_struct", "files")`` -> 14592; -1 for what this kernel lacks.

    Raises:
        DatacrumbsError: (exit 1) when the kernel lacks a member.
    """
    offsets = {}
    for structure in dict.fromkeys((*MEMBERS, *OPTIONAL)):
        found = types.member_bits(structure)
        needed, optional = (table.get(structure, "").split() for table in (MEMBERS, OPTIONAL))
        for member in (*needed, *optional):
            if member not in found and member in needed:
                raise DatacrumbsError(f"struct {structure} of this kernel has no member {member}")
            offsets[structure, member] = found.get(member, -1)
    return offsets


def definitions(types: Btf) -> list[str]:
    """The offsets as compiler flags, ``-DDC_TASK_FILES=1824``, and type ids of CAST_TARGETS where there is CAST.

    Of bit fields the number of the bit, ``-DDC_LINUX_BINPRM_SECUREEXEC_BIT=322``.
    """
    flags = []
    for (structure, member), bits in struct_offsets(types).items():
        prefix = {"task_struct": "task", "thread_info": "task_thread_info"}.get(structure, structure)
        is_bit = (structure, member) in _BIT_FIELDS
        flags.append(f"-DDC_{prefix}_{member}{'_BIT' * is_bit}".upper() + f"={bits if is_bit else bits // 8}")
    if function_ids(types, [CAST]):
        found = _ids(types, Kind.STRUCTURE, CAST_TARGETS)
        flags += [f"-DDC_TYPE_{name.upper()}={number}" for name, number in found.items()]
    if len(function_ids(types, TURNS)) == len(TURNS):
        flags.append("-DDC_WITH_TURNS")
    return flags


def function_ids(types: Btf, names: Iterable[str]) -> dict[str, int]:
    """Type ids of those of the kernel's functions that this kernel has."""
    return _ids(types, Kind.FUNCTION, names)


def _ids(types: Btf, kind: Kind, names: Iterable[str]) -> dict[str, int]:
    found = {name: types.type_id(kind, name) for name in sorted(names)}
    return {name: identity for name, identity in found.items() if identity is not None}
