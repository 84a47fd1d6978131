/* Files that traced processes map to execute, reported to user space, which probes those that the plan has under
 * another name. Each file once: what is probed stays probed for all that map it later. */
/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DC_MAPPINGS_H
#define DC_MAPPINGS_H

#include "machine.h"
#include "open_files.h"

#ifdef DC_WITH_LATE
#define DC_PROT_EXEC 4

static __always_inline void dc_tell_mapping(u32 process, u32 kind, u64 inode, u64 address, u64 length)
{
	struct dc_mapping mapping = {};
	u8 one = 1;
	mapping.file.inode = inode;
	if (inode) {
		mapping.file.number = dc_kernel_u64(inode + DC_INODE_I_INO);
		mapping.file.size = dc_kernel_u64(inode + DC_INODE_I_SIZE);
		mapping.file.generation = dc_kernel_u32(inode + DC_INODE_I_GENERATION);
		mapping.file.device = dc_kernel_u32(dc_kernel_u64(inode + DC_INODE_I_SB) + DC_SUPER_BLOCK_S_DEV);
		if (dc_mapped.lookup(&mapping.file))
			return;
		dc_mapped.update(&mapping.file, &one);
	}
	mapping.time = bpf_ktime_get_ns();
	mapping.address = address;
	mapping.length = length;
	mapping.process = process;
	mapping.kind = kind;
	if (dc_mapping_ring.ringbuf_output(&mapping, sizeof(mapping), BPF_RB_FORCE_WAKEUP)) {
		dc_total(DC_TOTAL_MAPPINGS_LOST);
		if (inode)
			dc_mapped.delete(&mapping.file);
	}
}

/* At the end of mmap(address, length, protection, flags, descriptor, offset). */
static __always_inline void dc_mapped_file(void *task, void *registers, u64 address)
{
	struct dc_open_file file = {};
	int descriptor = DC_MAPPED_DESCRIPTOR(registers);
	if (DC_MAPPED_RIGHTS(registers) & DC_PROT_EXEC && descriptor >= 0 && dc_open_file(task, descriptor, &file))
		dc_tell_mapping(bpf_get_current_pid_tgid() >> 32, DC_MAPPED_FILE, file.inode, address,
				DC_MAPPED_LENGTH(registers));
}

/* The kernel maps a program and its loader itself. */
static __always_inline void dc_mapped_program(void)
{
	u64 memory = (u64)DC_FOLLOW((void *)bpf_get_current_task_btf(), DC_TASK_MM);
	u64 inode = memory ? dc_kernel_u64(dc_kernel_u64(memory + DC_MM_STRUCT_EXE_FILE) + DC_FILE_F_INODE) : 0;
	if (inode)
		dc_tell_mapping(bpf_get_current_pid_tgid() >> 32, DC_MAPPED_PROGRAM, inode, 0, 0);
}

static __always_inline void dc_mapped_before(u32 process, u32 kind)
{
	dc_tell_mapping(process, kind, 0, 0, 0);
}
#else
#define dc_mapped_program()
#define dc_mapped_before(process, kind)
#endif

#endif
