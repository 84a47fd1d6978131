/* System calls, by the two raw tracepoints that all of them pass. */
/* SPDX-License-Identifier: GPL-2.0-only */
#include "machine.h"
#include "mappings.h"
#include "restarts.h"

#ifdef DC_TYPE_PT_REGS
#define DC_SAVED_REGISTERS(context, task) dc_cast((context)->args[0], DC_TYPE_PT_REGS)
#else
#define DC_SAVED_REGISTERS(context, task) bpf_task_pt_regs(task)
#endif

#ifdef DC_WITH_SYSCALL
static __always_inline void dc_read_arguments(struct dc_call *call, void *registers, int compat)
{
#if DC_TASK_THREAD_INFO_STATUS >= 0
	if (compat) {
		DC_COMPAT_ARGUMENTS(call, registers);
		return;
	}
#endif
	DC_SYSTEM_CALL_ARGUMENTS(call, registers);
}

/* raw tracepoint sys_enter(struct pt_regs *regs, long id) */
int dc_system_call_enter(struct bpf_raw_tracepoint_args *context)
{
	void *task = (void *)bpf_get_current_task_btf();
	if (!dc_is_traced(DC_LOAD_U32(task, DC_TASK_TGID)))
		return 0;
	u32 number = context->args[1];
	if (number >= DC_COMPAT_CALLS)
		return 0;
	int compat = dc_is_compat(task);
	if (compat)
		number += DC_COMPAT_CALLS;
	u32 *which = dc_system_calls.lookup(&number);
	if (!which || !*which) {
		if (compat)
			dc_total(DC_TOTAL_COMPAT_CALLS);
		return 0;
	}
	u32 id = *which - 1;
	struct dc_function *function = dc_functions.lookup(&id);
	struct dc_count *count = dc_counts.lookup(&id);
	if (!function || !count)
		return 0;
	struct dc_thread *thread = dc_threads.task_storage_get(task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!thread) {
		DC_COUNT(count, entered);
		DC_LOSE(count, no_memory);
		return 0;
	}
	struct dc_call *call = &thread->system_call;
	if (call->active && dc_begins_again(thread, number))
		return 0;
	call->number = context->args[1];
	call->inside = dc_inside(function, dc_around(thread, 0));
	dc_read_arguments(call, DC_SAVED_REGISTERS(context, task), compat);
	if (function->flags & DC_PLAIN) {
		if (dc_passed_over(function, count)) {
			DC_COUNT(count, entered);
			call->active = DC_PASSED_OVER;
			return 0;
		}
		if (dc_enter_plain(task, thread, call, function, id, 0)) {
			DC_COUNT(count, entered);
			return 0;
		}
	}
	dc_enter(thread, call, function, id, 0);
	DC_COUNT(count, entered);
	if (!(function->flags & DC_HAS_RETURN))
		dc_point(thread, call, function, count);
	return 0;
}
#endif

/* Whether a system call was seen to begin. */
#ifdef DC_WITH_SYSCALL
#define DC_HAS_BEGUN(call) ((call)->active)
#else
#define DC_HAS_BEGUN(call) 0
#endif

/* Whether a call that was not seen to begin was refused, as far as is known: a filter of seccomp is asked before
 * sys_enter, and what it refuses is seen at sys_exit alone. A child returns once from the call that made it. */
#if defined(DC_WITH_SYSCALL) && DC_TASK_SECCOMP >= 0
#define DC_IS_FILTERED(task) DC_LOAD_U32(task, DC_TASK_SECCOMP + DC_SECCOMP_MODE)

static __always_inline int dc_is_fork(u32 number)
{
	static const u32 forks[] = {DC_FORKS};
#pragma unroll
	for (int i = 0; i < sizeof(forks) / sizeof(forks[0]); i++) {
		if (number == forks[i])
			return 1;
	}
	return 0;
}

#define DC_SIGSYS 31

/* Whether a filter had SIGSYS sent instead (SECCOMP_RET_TRAP): the kernel takes the call back first. */
static __always_inline int dc_is_trapped(void *task, void *registers, s64 result)
{
	u64 pending = *(u64 *)(task + DC_TASK_PENDING + DC_SIGPENDING_SIGNAL);
	return pending >> (DC_SIGSYS - 1) & 1 && result == (s64)DC_ROLLED_BACK(registers);
}

/* Count a refused call, and let it be the one that ends now. */
static __always_inline void dc_refused(void *task, struct dc_thread *thread, void *registers, s64 result)
{
	struct dc_call *call = &thread->system_call;
	u32 number = DC_USER_CALL(registers), plain = number;
	int compat = dc_is_compat(task);
	if (number >= DC_COMPAT_CALLS)
		return;
	if (compat)
		number += DC_COMPAT_CALLS;
	u32 *which = dc_system_calls.lookup(&number);
	if (!which || !*which || (!result && dc_is_fork(number)))
		return;
	u32 id = *which - 1;
	struct dc_function *function = dc_functions.lookup(&id);
	struct dc_count *count = dc_counts.lookup(&id);
	if (!function || !count || !(function->flags & DC_HAS_RETURN))
		return;
	DC_COUNT(count, entered);
	if (dc_is_trapped(task, registers, result)) { /* what the handler of SIGSYS makes of it is not known */
		DC_COUNT(count, unmatched);
		return;
	}
	if (function->flags & DC_PLAIN && dc_passed_over(function, count))
		return;
	dc_read_arguments(call, registers, compat);
	call->arguments[0] = DC_FIRST_ARGUMENT_OF_ENDED(call, registers);
	call->function = id;
	call->number = plain;
	call->inside = dc_inside(function, dc_around(thread, 0));
	call->stack = 0;
	call->file = 0;
	call->names[0] = call->names[1] = call->names[2] = 0;
	call->arguments[DC_REGISTERS] = call->arguments[DC_REGISTERS + 1] = 0;
	call->pending = (1 << DC_REQUESTS) - 1;
	if (function->flags & DC_PLAIN) {
		call->pending = 0;
		if (function->request[0] != DC_REQUEST_NONE)
			call->file = dc_known_place(task, thread, call->arguments[function->subject[0] & 7]);
	}
	call->active = DC_ENTERED;
	call->start = bpf_ktime_get_ns();
}
#else
#define DC_IS_FILTERED(task) 0
#define dc_refused(task, thread, registers, result) ((void)0)
#endif

/* Whether a thread lived before its process was marked by another one: a call of it that ends may have begun before. */
static __always_inline int dc_is_older_than_mark(void *task)
{
	u32 process = DC_LOAD_U32(task, DC_TASK_TGID);
	u64 *started = dc_started.lookup(&process);
	return started && *(u64 *)(task + DC_TASK_START_TIME) < *started;
}

/* raw tracepoint sys_exit(struct pt_regs *regs, long ret); also where functions of libraries learn why they failed, and
 * where files are seen that a program opens late */
int dc_system_call_exit(struct bpf_raw_tracepoint_args *context)
{
	void *task = (void *)bpf_get_current_task_btf();
	if (!dc_is_traced(DC_LOAD_U32(task, DC_TASK_TGID)))
		return 0;
	s64 result = context->args[1];
	int failed = result < 0 && result >= -DC_MAX_ERRNO;
#ifdef DC_WITH_LATE
	void *registers = DC_SAVED_REGISTERS(context, task);
	if (!failed && DC_USER_CALL(registers) == DC_MMAP)
		dc_mapped_file(task, registers, result);
#endif
	struct dc_thread *thread = dc_threads.task_storage_get(task, NULL, 0);
	if (!thread && DC_IS_FILTERED(task)) {
		thread = dc_threads.task_storage_get(task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
		if (thread && dc_is_older_than_mark(task)) {
			dc_total(DC_TOTAL_RETURNS_WITHOUT_ENTRY);
			return 0;
		}
	}
	if (!thread)
		return 0;
	struct dc_call *call = &thread->system_call;
	int over = DC_HAS_BEGUN(call) && dc_is_over(task, thread, DC_USER_CALL(DC_SAVED_REGISTERS(context, task)));
	if (over)
		dc_give_up(call);
	if (failed && dc_is_interrupted(result)) {
		dc_interrupt(thread, DC_SAVED_REGISTERS(context, task), -result);
		return 0;
	}
	if (call->active != DC_ENTERED) {
		u32 active = call->active;
		call->active = active & DC_ENTERED;
		/* Asked before whether it failed: where a handler returns to, the result is what the register had. */
		if (!active && thread->waiting && dc_take_up(thread, DC_SAVED_REGISTERS(context, task)))
			return 0;
		if (!active && !over && DC_IS_FILTERED(task))
			dc_refused(task, thread, DC_SAVED_REGISTERS(context, task), result);
		if (!failed && !DC_HAS_BEGUN(call))
			return 0;
	}
	u64 now = bpf_ktime_get_ns();
	if (failed) {
		thread->error = -result;
		thread->error_time = now;
	}
	if (!DC_HAS_BEGUN(call))
		return 0;
	u32 id = call->function;
	struct dc_function *function = dc_functions.lookup(&id);
	struct dc_count *count = dc_counts.lookup(&id);
	if (!function || !count)
		return 0;
	call->result = failed ? -1 : result;
	dc_leave(thread, call, function, count, now, failed, failed ? -result : 0, function->flags & DC_PLAIN);
	return 0;
}
