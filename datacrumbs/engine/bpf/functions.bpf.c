/* Functions of libraries and of the kernel, matched per thread as a stack. */
/* SPDX-License-Identifier: GPL-2.0-only */
#include "interrupts.bpf.c"
#include "machine.h"
#include "restarts.h"
#include "returns.h"

/* A new frame for a call; NULL when it cannot be followed, which is counted. */
static __always_inline struct dc_call *dc_push(struct dc_thread *thread, struct dc_count *count)
{
	u32 depth = thread->depth;
	if (depth >= DC_FRAMES) {
		DC_LOSE(count, too_deep);
		return NULL;
	}
	thread->depth = depth + 1;
	DC_OPAQUE(depth);
	return &thread->frames[depth & (DC_FRAMES - 1)];
}

/* What becomes of a call that a probe saw begin. */
enum dc_entered {
	DC_NOT_FOLLOWED, /* not traced, or complete already: its return is of no interest */
	DC_TOO_DEEP,	 /* likewise, but the next return without a frame is this one's */
	DC_FOLLOWED,
};

/* Of a kernel function no more than what it declares to take, in its size: what else is in the registers are addresses
 * of the kernel's memory. A snippet is the administrator's, and sees all. */
static __always_inline void dc_keep_declared(struct dc_call *call, const struct dc_function *function)
{
	if (function->snippet)
		return;
#pragma unroll
	for (int i = 0; i < DC_REGISTERS; i++) {
		u32 unread = 64 - 8 * (function->width[i] & 15);
		call->arguments[i] = unread < 64 ? call->arguments[i] << unread >> unread : 0;
	}
}

/* Where an entry can keep its return from being probed (`by_session`), sampling is asked at the entry, unless
 * something is to be learned from each call of the function. */
static __always_inline int dc_function_enter(struct pt_regs *context, int by_session, int in_kernel)
{
	if (!dc_gate() || (in_kernel && dc_is_work_of_interrupt()))
		return DC_NOT_FOLLOWED;
	u32 id = bpf_get_attach_cookie(context);
	struct dc_function *function = dc_functions.lookup(&id);
	struct dc_count *count = dc_counts.lookup(&id);
	if (!function || !count)
		return DC_NOT_FOLLOWED;
	DC_COUNT(count, entered);
	if (by_session && function->flags & DC_SKIPPABLE && dc_passed_over(function, count))
		return DC_NOT_FOLLOWED;
	struct dc_thread *thread = dc_make_thread();
	if (!thread) {
		DC_LOSE(count, no_memory);
		return DC_NOT_FOLLOWED;
	}
	u64 stack = PT_REGS_SP(context);
	if (function->flags & DC_HAS_RETURN) {
		dc_drop_dead_frames(thread, id, stack);
		if (by_session && dc_waits_below(thread, stack)) {
			DC_COUNT(count, unmatched);
			return DC_NOT_FOLLOWED;
		}
	}
	u64 around = dc_around(thread, in_kernel);
	struct dc_call *call = dc_push(thread, count);
	if (!call)
		return function->flags & DC_HAS_RETURN ? DC_TOO_DEEP : DC_NOT_FOLLOWED;
	call->inside = dc_inside(function, around);
	call->arguments[0] = PT_REGS_PARM1(context);
	call->arguments[1] = PT_REGS_PARM2(context);
	call->arguments[2] = PT_REGS_PARM3(context);
	call->arguments[3] = PT_REGS_PARM4(context);
	call->arguments[4] = PT_REGS_PARM5(context);
	call->arguments[5] = PT_REGS_PARM6(context);
	if (in_kernel)
		dc_keep_declared(call, function);
	if (function->flags & DC_PLAIN &&
	    dc_enter_plain((void *)bpf_get_current_task_btf(), thread, call, function, id, stack))
		return DC_FOLLOWED;
	dc_enter(thread, call, function, id, stack);
	if (!(function->flags & DC_HAS_RETURN)) {
		thread->depth--;
		dc_point(thread, call, function, count);
		return DC_NOT_FOLLOWED;
	}
	return DC_FOLLOWED;
}

/* The entry's half where the return is a probe of its own, which runs whatever this one says. */
static __always_inline int dc_function_enter_apart(struct pt_regs *context, int in_kernel)
{
	if (dc_function_enter(context, 0, in_kernel) == DC_TOO_DEEP) {
		struct dc_thread *thread = dc_find_thread();
		if (thread)
			thread->overflow++;
	}
	return 0;
}

/* The frame of the call that returns, with those above it abandoned; NULL when there is none. */
static __always_inline struct dc_call *dc_pop(struct dc_thread *thread, u32 id, u64 stack, int by_stack)
{
	u32 found = DC_FRAMES;
	for (u32 i = 1; i <= DC_FRAMES; i++) {
		u32 at = thread->depth - i;
		if (at >= DC_FRAMES)
			break;
		DC_OPAQUE(at);
		struct dc_call *call = &thread->frames[at & (DC_FRAMES - 1)];
		if (call->function == id && (!by_stack || call->stack + DC_RETURN_POPS == stack)) {
			found = at;
			break;
		}
	}
	if (found >= DC_FRAMES)
		return NULL;
	for (u32 i = 0; i < DC_FRAMES; i++) {
		u32 top = thread->depth - 1;
		if (top >= DC_FRAMES || top <= found)
			break;
		DC_OPAQUE(top);
		dc_abandon(&thread->frames[top & (DC_FRAMES - 1)]);
		thread->depth = top;
	}
	thread->depth = found;
	found = *(volatile u32 *)&thread->depth; /* any frame, to the verifier: it follows one, not each */
	return &thread->frames[found & (DC_FRAMES - 1)];
}

static __always_inline int dc_function_leave(struct pt_regs *context, int by_stack, int by_session, int in_kernel)
{
	if (!dc_gate() || (in_kernel && dc_is_work_of_interrupt()))
		return 0;
	u32 id = bpf_get_attach_cookie(context);
	u64 now = bpf_ktime_get_ns();
	struct dc_function *function = dc_functions.lookup(&id);
	struct dc_count *count = dc_counts.lookup(&id);
	struct dc_thread *thread = dc_find_thread();
	if (!function || !count)
		return 0;
	struct dc_call *call = NULL;
	/* Without the stack to distinguish them, the calls that were too deep return first. */
	if (thread && (by_stack || !thread->overflow))
		call = dc_pop(thread, id, PT_REGS_SP(context), by_stack);
	if (!call) {
		if (thread && thread->overflow)
			thread->overflow--;
		else
			dc_total(DC_TOTAL_RETURNS_WITHOUT_ENTRY);
		return 0;
	}
	thread->overflow = 0;
	if (!by_session && dc_began_before_start(thread, call)) {
		dc_abandon(call);
		return 0;
	}
	s64 result = PT_REGS_RC(context);
	if (function->result == DC_RESULT_STATUS || function->result == DC_RESULT_FD ||
	    function->result == DC_RESULT_CODE || function->result == DC_RESULT_NEGATIVE)
		result = (s32)result;
	int failed = dc_failed(function->result, result);
	if (in_kernel && (function->result == DC_RESULT_POINTER || function->result == DC_RESULT_VOID)) {
		int is_error = (u64)result >= (u64)-DC_MAX_ERRNO;
		failed = function->result == DC_RESULT_POINTER && (!result || is_error);
		result = failed && is_error ? result : 0; /* never the address */
	}
	call->result = result;
	u16 error = 0;
	if (failed && function->flags & DC_ERRNO && thread->error_time >= call->start)
		error = thread->error;
	else if (failed && !by_stack && result >= -DC_MAX_ERRNO)
		error = dc_is_interrupted(result) ? DC_EINTR
						  : -result; /* the kernel's own functions say it themselves */
	if (function->result == DC_RESULT_POINTER && function->flags & DC_ERRNO && !error)
		failed = 0; /* a null pointer that no system call explains is the end of a file */
	dc_leave(thread, call, function, count, now, failed, error, by_session && function->flags & DC_SKIPPABLE);
	return 0;
}

#ifdef DC_WITH_UPROBE_SESSION
static bool (*dc_session_is_return)(void) = (void *)DC_BPF_SESSION_IS_RETURN;

/* Entry and return by one link. The kernel leaves the return alone where the entry says 1. */
int dc_library_session(struct pt_regs *context)
{
	if (dc_session_is_return())
		return dc_function_leave(context, 1, 1, 0);
	return dc_function_enter(context, 1, 0) != DC_FOLLOWED;
}
#endif

#ifdef DC_WITH_UPROBE
int dc_library_enter(struct pt_regs *context)
{
	return dc_function_enter_apart(context, 0);
}

int dc_library_leave(struct pt_regs *context)
{
	return dc_function_leave(context, 1, 0, 0);
}
#endif

#ifdef DC_WITH_KPROBE
int dc_kernel_enter(struct pt_regs *context)
{
	return dc_function_enter_apart(context, 1);
}

int dc_kernel_leave(struct pt_regs *context)
{
	return dc_function_leave(context, 0, 0, 1);
}
#endif
