/* What a processor does in between for whatever asked for it: the task that it finds there knows nothing of it. */
/* SPDX-License-Identifier: GPL-2.0-only */
#include "maps.h"

#if defined(DC_WITH_TRACEPOINT) || defined(DC_WITH_KPROBE)
/* Programs of their own for the two kinds: the kernel leaves out one that it finds running, and interrupts come also
 * while soft ones are served. */
static __always_inline struct dc_interrupted_tasks *dc_interrupted_here(void)
{
	u32 zero = 0;
	return dc_interrupted_tasks.lookup(&zero);
}

/* raw tracepoints irq_handler_entry and others */
int dc_interrupt_enter(void *context)
{
	struct dc_interrupted_tasks *tasks = dc_interrupted_here();
	if (tasks)
		tasks->hard = bpf_get_current_task();
	return 0;
}

/* raw tracepoints irq_handler_exit and others */
int dc_interrupt_leave(void *context)
{
	struct dc_interrupted_tasks *tasks = dc_interrupted_here();
	if (tasks)
		tasks->hard = 0;
	return 0;
}

/* raw tracepoint softirq_entry */
int dc_soft_interrupt_enter(void *context)
{
	struct dc_interrupted_tasks *tasks = dc_interrupted_here();
	if (tasks)
		tasks->soft = bpf_get_current_task();
	return 0;
}

/* raw tracepoint softirq_exit */
int dc_soft_interrupt_leave(void *context)
{
	struct dc_interrupted_tasks *tasks = dc_interrupted_here();
	if (tasks)
		tasks->soft = 0;
	return 0;
}

/* Whether what happens now is the work of an interrupt. The task is compared, for a kernel may let another task run
 * before soft interrupts are served (PREEMPT_RT). */
static __always_inline int dc_is_work_of_interrupt(void)
{
	struct dc_interrupted_tasks *tasks = dc_interrupted_here();
	u64 task = bpf_get_current_task();
	return tasks && (tasks->hard == task || tasks->soft == task);
}
#else
#define dc_is_work_of_interrupt() 0
#endif
