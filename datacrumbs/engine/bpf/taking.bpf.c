/* Ways to processes without a mark: one look at all that run, those that move into a control group, and that group. */
/* SPDX-License-Identifier: GPL-2.0-only */
#include "taking.h"

/* When the process began that is meant by a number, in ticks and one more; 0 for none. Numbers, since the verifier
 * loses sight of addresses that are compared together. */
static __always_inline u64 dc_wanted_beginning(u32 process)
{
	u64 *began = dc_wanted.lookup(&process);
	return began ? *began + 1 : 0;
}

static __always_inline u64 dc_asked_beginning(u32 process)
{
	struct dc_asked *asked = dc_asked.lookup(&process);
	return asked && asked->outcome == DC_TAKE_ASKED ? asked->began + 1 : 0;
}

static __always_inline void dc_set_outcome(u32 process, u32 outcome)
{
	struct dc_asked *asked = dc_asked.lookup(&process);
	if (asked)
		asked->outcome = outcome;
}

/* iterator over tasks, as in in_flight.bpf.c: take the processes that are wanted or asked for, and those of the run's
 * control group; gives a struct dc_taken for each */
int dc_take_running(struct dc_iteration *context)
{
	struct seq_file *file = context->meta->file;
	u64 task = (u64)context->task;
	if (!task)
		return 0;
	u32 process = dc_kernel_u32(task + DC_TASK_TGID);
	if (dc_kernel_u32(task + DC_TASK_PID) != process)
		return 0;
	u64 wanted = dc_wanted_beginning(process), asked = dc_asked_beginning(process);
	if (!wanted && !asked && !dc_is_member(task))
		return 0;
	u64 began = dc_kernel_u64(task + DC_TASK_START_BOOTTIME) / DC_TICK + 1;
	struct dc_taken taken = {.process = process, .outcome = DC_TAKE_ANOTHER};
	if ((!wanted && !asked) || wanted == began || asked == began)
		taken.outcome = dc_take(task, process);
	if (asked)
		dc_set_outcome(process, taken.outcome);
	bpf_seq_write(file, &taken, sizeof(taken));
	return 0;
}

/* raw tracepoint cgroup_attach_task(struct cgroup *group, const char *path, struct task_struct *task, bool
 * threadgroup): a process is where its first thread is */
int dc_group_attach(struct bpf_raw_tracepoint_args *context)
{
	u64 task = context->args[2];
	u32 process = dc_kernel_u32(task + DC_TASK_TGID);
	if (dc_kernel_u32(task + DC_TASK_PID) == process)
		dc_take_member(task, process);
	return 0;
}

/* raw tracepoint cgroup_mkdir(struct cgroup *group, const char *path): the run's group may be made after the run has
 * begun, and again when it was empty in between. Users can make groups of any name, in what is delegated to them, so
 * only root's count, and those of a scheduler that is not root; a path is no help, since containers have others. */
int dc_group_made(struct bpf_raw_tracepoint_args *context)
{
#if DC_TASK_CGROUPS >= 0
	u32 user = bpf_get_current_uid_gid(), which = DC_SETTING_MAKER;
	u64 *maker = dc_settings.lookup(&which);
	u64 group = context->args[0];
	u64 parent = dc_kernel_u64(group + DC_CGROUP_SELF + DC_CGROUP_SUBSYS_STATE_PARENT);
	/* Hierarchy 0 is version 2; numbers of groups are each hierarchy's own. */
	if (!parent || (user && (!maker || user != *maker)) ||
	    dc_kernel_u32(dc_kernel_u64(group + DC_CGROUP_ROOT) + DC_CGROUP_ROOT_HIERARCHY_ID))
		return 0;
	u64 node = dc_kernel_u64(group + DC_CGROUP_KN);
	u64 above = dc_kernel_u64(parent - DC_CGROUP_SELF + DC_CGROUP_KN);
	struct dc_group_name name = {};
	u64 names[] = {dc_kernel_u64(above + DC_KERNFS_NODE_NAME), dc_kernel_u64(node + DC_KERNFS_NODE_NAME)};
	if (bpf_probe_read_kernel_str(name.parent, sizeof(name.parent), (void *)names[0]) < 0 ||
	    bpf_probe_read_kernel_str(name.name, sizeof(name.name), (void *)names[1]) < 0)
		return 0;
	which = DC_SETTING_GROUP;
	u64 *wanted = dc_group_names.lookup(&name) ? dc_settings.lookup(&which) : NULL;
	if (wanted)
		*wanted = dc_kernel_u64(node + DC_KERNFS_NODE_ID);
#endif
	return 0;
}
