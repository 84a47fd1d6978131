/* Processes that are traced without a mark of their own: a run takes them by their number, or by their control group.
 */
/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DC_TAKING_H
#define DC_TAKING_H

#include "calls.h"
#include "mappings.h"

#define DC_DUMPABLE_BITS 3
#define DC_DUMPABLE_BY_USER 1 /* SUID_DUMP_USER */
#define DC_TICK 10000000      /* ns; what /proc counts the times of processes in (USER_HZ) */
#define DC_GROUP_LEVELS 64

/* Whether the memory of a process is open to its user. */
static __always_inline int dc_is_dumpable(u64 task)
{
	u64 memory = dc_kernel_u64(task + DC_TASK_MM);
	return memory && (dc_kernel_u32(memory + DC_MM_STRUCT_FLAGS) & DC_DUMPABLE_BITS) == DC_DUMPABLE_BY_USER;
}

/* Whether capabilities are of a user namespace that the user made: there they give what the user has anyway. */
static __always_inline int dc_is_of_own_namespace(u64 credentials, u32 owner)
{
	u64 space = dc_kernel_u64(credentials + DC_CRED_USER_NS);
	return dc_kernel_u32(space + DC_USER_NAMESPACE_LEVEL) &&
	       dc_kernel_u32(space + DC_USER_NAMESPACE_OWNER) == owner;
}

/* What __ptrace_may_access (kernel/ptrace.c) asks where a user without capabilities traces a process, of the run's user
 * in place of the caller. Who looks at it is root, so the kernel itself would allow it all. */
static __always_inline u32 dc_may_take(u64 task)
{
	u32 which = DC_SETTING_OWNER;
	u64 *owner = dc_settings.lookup(&which);
	u64 credentials = dc_kernel_u64(task + DC_TASK_REAL_CRED);
	if (!owner || dc_kernel_u32(credentials + DC_CRED_UID) != (u32)*owner ||
	    dc_kernel_u32(credentials + DC_CRED_EUID) != (u32)*owner ||
	    dc_kernel_u32(credentials + DC_CRED_SUID) != (u32)*owner)
		return DC_TAKE_FOREIGN;
	u32 group = dc_kernel_u32(credentials + DC_CRED_GID);
	if (dc_kernel_u32(credentials + DC_CRED_EGID) != group || dc_kernel_u32(credentials + DC_CRED_SGID) != group)
		return DC_TAKE_PRIVILEGED;
	if (*owner && dc_kernel_u64(credentials + DC_CRED_CAP_PERMITTED) &&
	    !dc_is_of_own_namespace(credentials, *owner))
		return DC_TAKE_PRIVILEGED;
	return dc_is_dumpable(task) ? DC_TAKE_TAKEN : DC_TAKE_CLOSED;
}

static __always_inline int dc_has_ended(u64 task)
{
	return !dc_kernel_u32(dc_kernel_u64(task + DC_TASK_SIGNAL) + DC_SIGNAL_STRUCT_LIVE);
}

/* Trace a process from now on, given its first thread; gives an enum dc_take. From the mark on its children are marked
 * as they are forked; those that were forked before are processes of their own. */
static __always_inline u32 dc_take(u64 task, u32 process)
{
	if (dc_is_traced(process))
		return DC_TAKE_TRACED;
	u32 outcome = dc_has_ended(task) ? DC_TAKE_ENDED : dc_may_take(task);
	if (outcome != DC_TAKE_TAKEN)
		return outcome;
	u64 now = bpf_ktime_get_ns(), whole = (u64)process << 32 | process;
	struct dc_request program = {.kind = DC_REQUEST_FILE};
	program.subject = dc_kernel_u64(dc_kernel_u64(task + DC_TASK_MM) + DC_MM_STRUCT_EXE_FILE);
	if (program.subject)
		DC_CALL_RESOLVE(&program);
	dc_started.update(&process, &now);
	dc_make_owner(process, 1);
	dc_event_of(whole, DC_RECORD_START, 0, 0, 0, program.identity);
	dc_mark(process);
	/* Its last thread counts itself out before it looks for the mark to remove it, and one that executes a program
	 * has that program's rights before it does. */
	outcome = dc_has_ended(task) ? DC_TAKE_ENDED : dc_may_take(task);
	if (outcome != DC_TAKE_TAKEN) {
		dc_unmark(process);
		dc_event_of(whole, DC_RECORD_STOP, 0, 0, 0, 0);
		return outcome;
	}
	dc_mapped_before(process, DC_MAPPED_TAKEN);
	return DC_TAKE_TAKEN;
}

/* Whether a task is in the run's control group, or below it. */
static __always_inline int dc_is_member(u64 task)
{
#if DC_TASK_CGROUPS >= 0
	u32 which = DC_SETTING_GROUP;
	u64 *wanted = dc_settings.lookup(&which);
	if (!wanted || !*wanted)
		return 0;
	u64 group = dc_kernel_u64(dc_kernel_u64(task + DC_TASK_CGROUPS) + DC_CSS_SET_DFL_CGRP);
	for (int i = 0; i < DC_GROUP_LEVELS; i++) {
		if (dc_kernel_u64(dc_kernel_u64(group + DC_CGROUP_KN) + DC_KERNFS_NODE_ID) == *wanted)
			return 1;
		u64 parent = dc_kernel_u64(group + DC_CGROUP_SELF + DC_CGROUP_SUBSYS_STATE_PARENT);
		if (!parent)
			return 0;
		group = parent - DC_CGROUP_SELF;
	}
#endif
	return 0;
}

/* Take a process if it is in the run's control group. */
static __always_inline void dc_take_member(u64 task, u32 process)
{
	if (dc_is_member(task))
		dc_take(task, process);
}

#endif
