/* The two ways to processes that run already: one look at all of them, and those that move into a control group. */
/* SPDX-License-Identifier: GPL-2.0-only */
#include "taking.h"

/* iterator over tasks, as in in_flight.bpf.c: take the processes that are wanted, and those of the run's control group;
 * gives a struct dc_taken for each */
int dc_take_running(struct dc_iteration *context)
{
	struct seq_file *file = context->meta->file;
	u64 task = (u64)context->task;
	if (!task)
		return 0;
	u32 process = dc_kernel_u32(task + DC_TASK_TGID);
	if (dc_kernel_u32(task + DC_TASK_PID) != process)
		return 0;
	u64 *began = dc_wanted.lookup(&process);
	if (!began && !dc_is_member(task))
		return 0;
	struct dc_taken taken = {.process = process, .outcome = DC_TAKE_ANOTHER};
	if (!began || *began == dc_kernel_u64(task + DC_TASK_START_BOOTTIME) / DC_TICK)
		taken.outcome = dc_take(task, process);
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
