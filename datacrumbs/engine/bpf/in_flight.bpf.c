/* What every thread is in the middle of: an iterator over the system's tasks (Linux 5.11 and
 * later), run by a read from user space. It gives the identity of each function entered and not
 * left, 4 bytes each. Its name is what bcc looks the iterator up by. */
/* SPDX-License-Identifier: GPL-2.0-only */
#include "maps.h"

int bpf_iter__task(struct dc_iteration *context)
{
	struct seq_file *file = context->meta->file;
	void *task = context->task;
	if (!task)
		return 0;
	struct dc_thread *thread = dc_threads.task_storage_get(task, NULL, 0);
	if (!thread)
		return 0;
	if (thread->system_call.active & DC_ENTERED)
		bpf_seq_write(file, &thread->system_call.function, sizeof(u32));
	for (u32 i = 0; i < DC_WAITING; i++) {
		struct dc_call *call = &thread->interrupted[i].call;
		if (i < thread->waiting && call->active & DC_ENTERED)
			bpf_seq_write(file, &call->function, sizeof(u32));
	}
	for (u32 i = 0; i < DC_FRAMES; i++) {
		if (i >= thread->depth)
			break;
		bpf_seq_write(file, &thread->frames[i & (DC_FRAMES - 1)].function, sizeof(u32));
	}
	return 0;
}
