/* System calls, by the two raw tracepoints that all of them pass. */
/* SPDX-License-Identifier: GPL-2.0-only */

#define DC_MAX_ERRNO 4095
#define DC_TS_COMPAT 2

#ifdef DC_TYPE_PT_REGS
#define DC_SAVED_REGISTERS(context, task) dc_cast((context)->args[0], DC_TYPE_PT_REGS)
#else
#define DC_SAVED_REGISTERS(context, task) bpf_task_pt_regs(task)
#endif

#ifdef DC_WITH_SYSCALL
/* raw tracepoint sys_enter(struct pt_regs *regs, long id) */
int dc_system_call_enter(struct bpf_raw_tracepoint_args *context)
{
	void *task = (void *)bpf_get_current_task_btf();
	if (!dc_is_traced(DC_LOAD_U32(task, DC_TASK_TGID)))
		return 0;
	u32 number = context->args[1];
	if (number >= DC_COMPAT_CALLS)
		return 0;
	int compat = 0;
#if DC_TASK_THREAD_INFO_STATUS >= 0 /* only x86 tells 32-bit calls apart there */
	compat = DC_LOAD_U32(task, DC_TASK_THREAD_INFO_STATUS) & DC_TS_COMPAT;
	if (compat)
		number += DC_COMPAT_CALLS;
#endif
	u32 *which = dc_system_calls.lookup(&number);
	if (!which || !*which) {
		if (compat)
			dc_total(DC_TOTAL_COMPAT);
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
	if (call->active)
		dc_abandon(call);
#if DC_TASK_THREAD_INFO_STATUS >= 0
	if (compat)
		DC_COMPAT_ARGUMENTS(call, DC_SAVED_REGISTERS(context, task));
	else
#endif
		DC_SYSTEM_CALL_ARGUMENTS(call, DC_SAVED_REGISTERS(context, task));
	if (function->flags & DC_PLAIN) {
		if (dc_passed_over(function, count)) {
			DC_COUNT(count, entered);
			return 0;
		}
		if (dc_enter_plain(task, thread, call, function, id, 0)) {
			DC_COUNT(count, entered);
			return 0;
		}
	}
	dc_enter(thread, call, function, id, 0);
	if (!(function->flags & DC_HAS_RETURN)) {
		dc_point(call, function, id, count);
		return 0;
	}
	DC_COUNT(count, entered);
	return 0;
}
#endif

/* Whether a system call was followed from its entry. */
#ifdef DC_WITH_SYSCALL
#define DC_IS_FOLLOWED(call) ((call)->active)
#else
#define DC_IS_FOLLOWED(call) 0
#endif

/* raw tracepoint sys_exit(struct pt_regs *regs, long ret); also where functions of libraries learn why they failed */
int dc_system_call_exit(struct bpf_raw_tracepoint_args *context)
{
	void *task = (void *)bpf_get_current_task_btf();
	if (!dc_is_traced(DC_LOAD_U32(task, DC_TASK_TGID)))
		return 0;
	struct dc_thread *thread = dc_threads.task_storage_get(task, NULL, 0);
	if (!thread)
		return 0;
	s64 result = context->args[1];
	int failed = result < 0 && result >= -DC_MAX_ERRNO;
	struct dc_call *call = &thread->system_call;
	if (!failed && !DC_IS_FOLLOWED(call))
		return 0;
	u64 now = bpf_ktime_get_ns();
	if (failed) {
		thread->error = -result;
		thread->error_time = now;
	}
	if (!DC_IS_FOLLOWED(call))
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
