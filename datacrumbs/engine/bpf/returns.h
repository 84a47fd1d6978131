/* Which probed calls of a thread are over, and which only wait on another stack. */
/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DC_RETURNS_H
#define DC_RETURNS_H

#include "calls.h"

#define DC_STACK_SPAN (8ULL << 20)

/* What a return probe leaves on the stack in place of the return address; 0 where nothing was probed yet. */
static __always_inline u64 dc_trampoline(void)
{
	u64 address = 0;
#if DC_TASK_UTASK >= 0
	void *task = (void *)bpf_get_current_task_btf();
	void *memory = DC_FOLLOW(task, DC_TASK_MM);
	if (memory) {
		u64 area = dc_kernel_u64((u64)memory + DC_MM_STRUCT_UPROBES_STATE + DC_UPROBES_STATE_XOL_AREA);
		if (area)
			address = dc_kernel_u64(area + DC_XOL_AREA_VADDR);
	}
#endif
	return address;
}

/* Whether a return probe is at this place of the stack. */
static __always_inline int dc_return_is_probed(u64 stack)
{
	u64 held = 0;
	bpf_probe_read_user(&held, sizeof(held), (void *)stack);
	return held && held == dc_trampoline();
}

/* Drop calls that were left without returning. Their frames lie below the stack pointer of a new one on the same
 * stack; or on the stack of signal handlers, which the thread has left; or are the kernel's (its addresses have the
 * highest bit) while the program itself runs. At the same place is a call that this one took the place of by
 * a jump; of one function, the return address decides. */
static __always_inline void dc_drop_dead_frames(struct dc_thread *thread, u32 id, u64 stack)
{
	u32 top = thread->depth - 1;
	if (top >= DC_FRAMES)
		return;
	void *task = (void *)bpf_get_current_task_btf();
	u64 handlers = *(u64 *)(task + DC_TASK_SAS_SS_SP) + 1;
	u64 size = *(u64 *)(task + DC_TASK_SAS_SS_SIZE);
	u64 span = DC_STACK_SPAN;
	if (thread->frames[top & (DC_FRAMES - 1)].stack == stack && dc_return_is_probed(stack))
		id = ~0U;
	if (stack - handlers < size) {
		span = stack - handlers;
		size = 0;
	}
	DC_OPAQUE(id);
	DC_OPAQUE(span);
	DC_OPAQUE(size);
	for (int i = 0; i < DC_FRAMES; i++) {
		top = thread->depth - 1;
		if (top >= DC_FRAMES)
			break;
		struct dc_call *call = &thread->frames[top & (DC_FRAMES - 1)];
		u64 below = stack - call->stack;
		int left = (s64)stack >= 0 && ((s64)call->stack < 0 || call->stack - handlers < size);
		if (!left && (below > span || (below == 0 && call->function != id)))
			break;
		dc_abandon(call);
		thread->depth = top;
		thread->overflow = 0; /* those that were too deep lay below it */
	}
}

/* Whether the newest call that was not dropped waits on another stack, further down: a signal's handler or a coroutine
 * runs meanwhile. Were the return of a new one probed as well, the kernel would take the waiting one for left, and
 * forget where it returns to (arch_uretprobe_is_alive in arch/x86/kernel/uprobes.c). */
static __always_inline int dc_waits_below(const struct dc_thread *thread, u64 stack)
{
	u32 top = thread->depth - 1;
	if (top >= DC_FRAMES || (s64)stack < 0)
		return 0;
	u64 last = thread->frames[top & (DC_FRAMES - 1)].stack;
	return last < stack && dc_return_is_probed(last);
}

#endif
