/* System calls that a signal interrupts: the program sees one call, which failed or went on, whatever the kernel did.
 */
/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DC_RESTARTS_H
#define DC_RESTARTS_H

#include "calls.h"
#include "machine.h"

/* The kernel's own results, which say whether it is to make the call again; include/linux/errno.h. */
#define DC_ERESTARTSYS 512
#define DC_ERESTARTNOINTR 513
#define DC_ERESTARTNOHAND 514
#define DC_ERESTART_RESTARTBLOCK 516
/* A handler of this thread has returned to the call, which begins again now. */
#define DC_RETURNED_TO 1

#define DC_EINTR 4
#define DC_SA_RESTART 0x10000000
#define DC_TS_COMPAT 2

/* Whether the task is in a call of a 32-bit program; only x86 distinguishes them by this. */
static __always_inline int dc_is_compat(void *task)
{
#if DC_TASK_THREAD_INFO_STATUS >= 0
	return !!(DC_LOAD_U32(task, DC_TASK_THREAD_INFO_STATUS) & DC_TS_COMPAT);
#else
	return 0;
#endif
}

static __always_inline int dc_is_interrupted(s64 result)
{
	return result == -DC_ERESTARTSYS || result == -DC_ERESTARTNOINTR || result == -DC_ERESTARTNOHAND ||
	       result == -DC_ERESTART_RESTARTBLOCK;
}

/* A call that will not return, if it was counted. */
static __always_inline void dc_give_up(struct dc_call *call)
{
	if (call->active & DC_ENTERED)
		dc_abandon(call);
	call->active = 0;
}

static __always_inline void dc_give_up_all(struct dc_thread *thread)
{
	dc_give_up(&thread->system_call);
#pragma unroll
	for (int i = 0; i < DC_WAITING; i++) {
		if (i < thread->waiting)
			dc_give_up(&thread->interrupted[i].call);
	}
	thread->waiting = 0;
}

/* The call of this thread ended in the kernel, and is to be made again unless a handler decides otherwise. */
static __always_inline void dc_interrupt(struct dc_thread *thread, void *registers, u32 code)
{
	thread->interruption.stack = DC_USER_STACK(registers);
	thread->interruption.place = DC_USER_PLACE(registers);
	thread->interruption.number = DC_USER_CALL(registers);
	thread->interruption.code = code;
	if (!(thread->system_call.active & DC_ENTERED))
		thread->system_call.start = bpf_ktime_get_ns();
	thread->system_call.active |= DC_INTERRUPTED;
}

/* Whether the call that a thread was last seen in is over, since what ends now, of this number, is another one. */
static __always_inline int dc_is_over(void *task, const struct dc_thread *thread, u32 number)
{
	const struct dc_call *call = &thread->system_call;
	if (!(call->active & (DC_ENTERED | DC_PASSED_OVER)))
		return 0;
	if (call->number != number) {
		int restarts = number == DC_RESTART_CALL || (!number && dc_is_compat(task));
		return !(call->active & DC_INTERRUPTED && restarts) && !DC_IS_EXECUTED(call->number, number);
	}
	return call->active & DC_ENTERED && dc_began_before_start(thread, call);
}

/* Whether a call that begins is the one that was interrupted. */
static __always_inline int dc_begins_again(struct dc_thread *thread, u32 number)
{
	struct dc_call *call = &thread->system_call;
	u32 interrupted = thread->interruption.number;
	int again = call->active & DC_INTERRUPTED && (!((interrupted ^ number) & (DC_COMPAT_CALLS - 1)) ||
						      number == DC_RESTART_CALL || number == DC_COMPAT_CALLS);
	if (again && !dc_began_before_start(thread, call)) {
		call->active &= ~DC_INTERRUPTED;
		call->number = number & (DC_COMPAT_CALLS - 1);
		return 1;
	}
	dc_give_up(call);
	return 0;
}

/* Put a call aside while a handler runs, which may make calls itself. Where handlers were left by a jump, the calls
 * that they interrupted lie above on the stack, or at the same place, and are over. */
static __always_inline void dc_put_aside(void *task, struct dc_thread *thread)
{
	u64 stack = thread->interruption.stack;
	u64 handlers = *(u64 *)(task + DC_TASK_SAS_SS_SP) + 1;
	u64 size = *(u64 *)(task + DC_TASK_SAS_SS_SIZE);
	if (thread->system_call.active == DC_INTERRUPTED) { /* of no function of the plan */
		thread->system_call.active = 0;
		return;
	}
	for (int i = 0; i < DC_WAITING; i++) {
		u32 top = thread->waiting - 1;
		if (top >= DC_WAITING || stack - handlers < size ||
		    thread->interrupted[top & (DC_WAITING - 1)].where.stack > stack)
			break;
		dc_give_up(&thread->interrupted[top & (DC_WAITING - 1)].call);
		thread->waiting = top;
	}
	u32 free = *(volatile u32 *)&thread->waiting;
	if (free >= DC_WAITING) {
		dc_give_up(&thread->system_call);
		return;
	}
	DC_OPAQUE(free);
	struct dc_interrupted *aside = &thread->interrupted[free & (DC_WAITING - 1)];
	aside->call = thread->system_call;
	aside->where = thread->interruption;
	thread->system_call.active = 0;
	thread->waiting = free + 1;
}

/* Where a handler returned to: whether that is a call that it interrupted, which begins again now. */
static __always_inline int dc_take_up(struct dc_thread *thread, void *registers)
{
	u64 stack = DC_USER_STACK(registers);
	u64 place = DC_USER_PLACE(registers) + DC_CALL_INSTRUCTION;
	u32 found = DC_WAITING;
	for (u32 i = 0; i < DC_WAITING; i++) {
		struct dc_interruption *where = &thread->interrupted[i].where;
		if (i < thread->waiting && where->stack == stack && where->place == place)
			found = i;
	}
	if (found >= DC_WAITING)
		return 0;
	for (u32 i = 0; i < DC_WAITING; i++) {
		if (i > found && i < thread->waiting)
			dc_give_up(&thread->interrupted[i].call);
	}
	thread->waiting = found;
	DC_OPAQUE(found);
	struct dc_interrupted *aside = &thread->interrupted[found & (DC_WAITING - 1)];
	thread->system_call = aside->call;
	thread->interruption = aside->where;
	thread->interruption.code = DC_RETURNED_TO;
	if (dc_began_before_start(thread, &thread->system_call))
		dc_give_up(&thread->system_call);
	return 1;
}

/* raw tracepoint signal_deliver(int signal, struct kernel_siginfo *info, struct k_sigaction *action): here the kernel
 * decides what an interrupted call was (handle_signal in arch/x86/kernel/signal.c). Without a handler it begins again.
 */
int dc_signal_deliver(struct bpf_raw_tracepoint_args *context)
{
	void *task = (void *)bpf_get_current_task_btf();
	if (!dc_is_traced(DC_LOAD_U32(task, DC_TASK_TGID)))
		return 0;
	struct dc_thread *thread = dc_threads.task_storage_get(task, NULL, 0);
	if (!thread)
		return 0;
	struct dc_call *call = &thread->system_call;
	u64 action = context->args[2];
	u32 code = thread->interruption.code;
	if (!(call->active & DC_INTERRUPTED) || dc_kernel_u64(action + DC_SIGACTION_SA_HANDLER) <= 1)
		return 0; /* SIG_DFL is 0, SIG_IGN is 1 */
	if (dc_began_before_start(thread, call)) {
		dc_give_up(call);
		return 0;
	}
	u32 flags = dc_kernel_u32(action + DC_SIGACTION_SA_FLAGS);
	if (code == DC_RETURNED_TO || code == DC_ERESTARTNOINTR || (code == DC_ERESTARTSYS && flags & DC_SA_RESTART)) {
		dc_put_aside(task, thread);
		return 0;
	}
	u64 now = bpf_ktime_get_ns();
	thread->error = DC_EINTR;
	thread->error_time = now;
	u32 id = call->function;
	struct dc_function *function = dc_functions.lookup(&id);
	struct dc_count *count = dc_counts.lookup(&id);
	if (call->active & DC_ENTERED && function && count) {
		call->result = -1;
		dc_leave(thread, call, function, count, now, 1, DC_EINTR, function->flags & DC_PLAIN);
	}
	call->active = 0;
	return 0;
}

#endif
