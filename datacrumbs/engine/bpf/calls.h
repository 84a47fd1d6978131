/* A call from its entry to its record. Every path ends in exactly one counter of dc_count. */
/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DC_CALLS_H
#define DC_CALLS_H

#include "handles.h"
#include "modes.h"
#include "names.h"
#include "opened.h"
#include "snippet.h"

#define DC_RESOLVE_IN_ROOT 0x10
#define DC_MAX_ERRNO 4095
#define DC_EFAULT 14

#ifndef DC_SNIPPETS_ENTRY /* engine/source.py defines those of a plan */
#define DC_SNIPPETS_ENTRY(CASE)
#define DC_SNIPPETS_RETURN(CASE)
#endif

#define DC_CASE_ENTRY(number, name, ...) \
	case number: \
		name(call, ##__VA_ARGS__); \
		break;

static __always_inline void dc_snippet_entry(struct dc_call *call, u8 which)
{
	switch (which) {
		DC_SNIPPETS_ENTRY(DC_CASE_ENTRY)
	}
}

static __always_inline void dc_snippet_return(struct dc_call *call, u8 which)
{
	switch (which) {
		DC_SNIPPETS_RETURN(DC_CASE_ENTRY)
	}
}

/* Whether this process is traced. The first thing that every probe asks. */
static __always_inline int dc_gate(void)
{
	return dc_is_traced(bpf_get_current_pid_tgid() >> 32);
}

/* What is kept for the current thread; made if there is nothing yet, NULL without memory. */
static __always_inline struct dc_thread *dc_make_thread(void)
{
	return dc_threads.task_storage_get((void *)bpf_get_current_task_btf(), NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
}

/* What a call is inside of: in the highest byte, how many calls that get records of their own; below, a bit for each of
 * their layers; the lowest bit: the innermost one is inside another of its layer. Of two that are open in one thread
 * the greater is the inner one's. */
#define DC_DEPTH_SHIFT 56
#define DC_NESTED_BIT 1ULL

/* What a call is inside of that begins now. Only what the kernel does itself is inside a system call, but for what a
 * signal's handler does while a call waits to go on. */
static __always_inline u64 dc_around(const struct dc_thread *thread, int in_kernel)
{
	u64 around = 0;
	u32 top = thread->depth - 1;
	if (top < DC_FRAMES) {
		DC_OPAQUE(top);
		around = thread->frames[top & (DC_FRAMES - 1)].inside;
	}
	if (in_kernel && thread->system_call.active & DC_ENTERED && thread->system_call.inside > around)
		around = thread->system_call.inside;
	top = thread->waiting - 1;
	if (top < DC_WAITING) {
		DC_OPAQUE(top);
		const struct dc_call *waits = &thread->interrupted[top & (DC_WAITING - 1)].call;
		if (waits->active & DC_ENTERED && waits->inside > around)
			around = waits->inside;
	}
	return around;
}

static __always_inline u64 dc_inside(const struct dc_function *function, u64 around)
{
	u64 layer = (1ULL << (function->layer & 63)) & ~DC_NESTED_BIT;
	around &= ~DC_NESTED_BIT;
	return (around + ((u64)function->counts << DC_DEPTH_SHIFT)) | layer | !!(around & layer);
}

/* What a snippet asked for comes behind the requests of the function. */
#define DC_WANTED_DESCRIPTOR DC_REQUESTS
#define DC_WANTED_STRING (DC_REQUESTS + 1)
#define DC_ALL_REQUESTS ((1 << (DC_REQUESTS + 2)) - 1)

#define DC_LARGEST_STRUCTURE 256 /* sizeof(struct statx) */

/* Of a path that openat2 takes, with its structure of flags: whether `/` is the directory that it starts from;
 * DC_REQUEST_NONE where that cannot be read. */
static __always_inline u32 dc_kind_of_path(u64 how)
{
	u64 resolve = 0;
	if (bpf_probe_read_user(&resolve, sizeof(resolve), (void *)(how + 2 * sizeof(u64))))
		return DC_REQUEST_NONE;
	return resolve & DC_RESOLVE_IN_ROOT ? DC_REQUEST_ROOTED_PATH : DC_REQUEST_PATH;
}

/* Keep which string a snippet asked for that cannot be read yet; its field holds the address until the return. */
static __always_inline void dc_keep_wanted(const struct dc_thread *thread, struct dc_call *call)
{
	u32 field = thread->wanted_field & 1;
	call->arguments[DC_REGISTERS + field] = thread->wanted_string;
	call->pending |= field * DC_SECOND_FIELD;
}

/* Ask for it again. */
static __always_inline void dc_want_again(struct dc_thread *thread, struct dc_call *call)
{
	thread->wanted_string = 0;
	if (!(call->pending & 1 << DC_WANTED_STRING))
		return;
	u32 field = !!(call->pending & DC_SECOND_FIELD);
	DC_OPAQUE(field);
	field &= 1;
	thread->wanted_field = field;
	thread->wanted_string = call->arguments[DC_REGISTERS + field];
	call->arguments[DC_REGISTERS + field] = 0;
}

/* 1 for zero, else 0, in a way that leaves the verifier one way to follow. */
static __always_inline u64 dc_is_zero(u64 value)
{
	DC_OPAQUE(value);
	value |= -value;
	DC_OPAQUE(value);
	return 1 ^ value >> 63;
}

/* How many bytes a call that did not fail may have written where an argument leads: as many as it returned, or a
 * structure of stat, statx or statfs where it returned 0. What returns more than a path has returned an address. */
static __always_inline u64 dc_most_written(u64 result)
{
	return dc_is_zero(result / DC_PATH_MAX) * result + dc_is_zero(result) * DC_LARGEST_STRUCTURE;
}

/* Whether a call that did not fail may have written over a path that it was given: another argument, which is itself no
 * string, leads to less than that away from it, or it returned the path's own address, as realpath does. */
static __always_inline u64 dc_may_be_overwritten(const struct dc_call *call, const struct dc_function *function)
{
	u64 most = dc_most_written(call->result), near = 0, strings = 0;
#pragma unroll
	for (int i = 0; i < DC_REQUESTS; i++)
		strings |= (1 ^ dc_is_zero(function->request[i] / DC_REQUEST_PATH)) << (function->subject[i] & 7);
#pragma unroll
	for (int i = 0; i < DC_REQUESTS; i++) {
		u64 string = call->arguments[function->subject[i] & 7];
		u64 asked = call->pending >> i & 1;
		near |= (asked & dc_is_zero(call->result ^ string)) << DC_REGISTERS;
#pragma unroll
		for (int j = 0; j < DC_REGISTERS; j++) {
			u64 distance = call->arguments[j] - string + most;
			DC_OPAQUE(distance);
			near |= (asked & ((distance - 2 * most) & ~distance) >> 63) << j;
		}
	}
	return near & ~strings;
}

/* Keep where a path starts that cannot be read yet. By the time when it can the call may have changed that: chdir. */
static __always_inline void dc_keep_start(struct dc_call *call, u32 which, int base)
{
	struct dc_request start = {.subject = base, .kind = DC_REQUEST_DESCRIPTOR};
	DC_CALL_RESOLVE(&start);
	call->names[which] = start.identity;
	start.subject = DC_ROOT_DIRECTORY;
	start.identity = 0;
	DC_CALL_RESOLVE(&start);
	call->root = start.identity;
	call->pending |= DC_STARTS_KNOWN;
}

/* Turn the requests in `mask` into identities, at the entry or again at the return; those that cannot be read yet stay
 * pending. */
static __always_inline void dc_resolve_requests(struct dc_thread *thread, struct dc_call *call,
						const struct dc_function *function, u32 mask, int again)
{
	call->pending = 0;
	thread->requested = mask; /* in memory: the verifier need not follow each bit */
	for (u32 i = 0; i < DC_REQUESTS + 2; i++) {
		u32 kind = DC_REQUEST_NONE;
		u64 subject = 0;
		int base = DC_CURRENT_DIRECTORY;
		/* Volatile: a load moved before the loop's head would make the head be entered without a
		 * jump, which the verifier of Linux 6.1 takes for an endless loop ("back-edge"). */
		u32 requested = *(volatile u32 *)&thread->requested;
		if (!(requested & (1 << i)))
			continue;
		if (i < DC_REQUESTS) {
			kind = function->request[i];
			subject = call->arguments[function->subject[i] & 7];
			if (function->base[i] != DC_NONE)
				base = (int)call->arguments[function->base[i] & 7];
		} else if (i == DC_WANTED_DESCRIPTOR && thread->wanted_descriptor >= 0) {
			kind = DC_REQUEST_DESCRIPTOR;
			subject = thread->wanted_descriptor;
		} else if (i == DC_WANTED_STRING && thread->wanted_string) {
			kind = DC_REQUEST_STRING;
			subject = thread->wanted_string;
		}
		/* Without a path utimensat and others are about the descriptor's file. */
		if (kind == DC_REQUEST_PATH && !subject && base >= 0) {
			kind = DC_REQUEST_DESCRIPTOR;
			subject = base;
		}
		if (kind == DC_REQUEST_NONE || (!subject && kind != DC_REQUEST_DESCRIPTOR))
			continue;
		if (kind == DC_REQUEST_ROOTED_PATH && i < DC_REQUESTS)
			kind = dc_kind_of_path(call->arguments[(function->subject[i] + 1) & 7]);
		if (again && requested & DC_OVERWRITTEN && i < DC_REQUESTS)
			kind = DC_REQUEST_NONE;
		struct dc_request request = {.subject = subject, .kind = kind, .base = base};
		if (again && requested & DC_STARTS_KNOWN && i < DC_REQUESTS) {
			request.identity = kind == DC_REQUEST_NONE ? 0 : call->names[i];
			request.root = call->root;
			request.kind |= DC_REQUEST_START_KNOWN;
			call->names[i] = 0;
		}
		if (kind != DC_REQUEST_NONE)
			DC_CALL_RESOLVE(&request);
		u64 identity = request.identity;
		if (!identity) {
			if (kind == DC_REQUEST_DESCRIPTOR)
				continue;
			call->pending |= 1 << i;
			if (!again && i < DC_REQUESTS)
				dc_keep_start(call, i, base);
			else if (!again)
				dc_keep_wanted(thread, call);
		} else if (i == DC_WANTED_STRING) {
			call->arguments[DC_REGISTERS + (thread->wanted_field & 1)] = identity;
		} else if (i == DC_WANTED_DESCRIPTOR || function->slot[i] == DC_NONE) {
			call->file = identity;
		} else if (i < DC_REQUESTS) {
			call->names[i] = identity;
		}
	}
}

/* Fill a call at its entry. The snippet runs before the requests, since it may add some. */
static __always_inline void dc_enter(struct dc_thread *thread, struct dc_call *call, const struct dc_function *function,
				     u32 id, u64 stack)
{
	call->function = id;
	call->stack = stack;
	call->file = 0;
	call->names[0] = call->names[1] = call->names[2] = 0;
	call->arguments[DC_REGISTERS] = call->arguments[DC_REGISTERS + 1] = 0;
	call->active = DC_ENTERED;
	thread->wanted_descriptor = -1;
	thread->wanted_string = 0;
	if (function->handle != DC_NONE)
		call->file = dc_file_of_handle(call->arguments[function->handle & 7]);
	if (function->closes == DC_CLOSES_AT_ENTRY) /* at its return another thread may have a new one of this value */
		dc_bind_handle(call->arguments[function->handle & 7], 0);
	if (function->snippet)
		dc_snippet_entry(call, function->snippet);
	dc_resolve_requests(thread, call, function, DC_ALL_REQUESTS, 0);
	if (function->handle != DC_NONE && !call->file)
		dc_count_unknown_handle();
	call->start = bpf_ktime_get_ns();
}

/* The short way for calls that need nothing but the file of a descriptor, or not even that; 0 where that file was not
 * seen before. */
static __always_inline int dc_enter_plain(void *task, struct dc_thread *thread, struct dc_call *call,
					  const struct dc_function *function, u32 id, u64 stack)
{
	u64 file = 0;
	if (function->request[0] != DC_REQUEST_NONE) {
		file = dc_known_place(task, thread, (int)call->arguments[function->subject[0] & 7]);
		if (!file)
			return 0;
	}
	call->file = file;
	call->function = id;
	call->stack = stack;
	call->pending = 0;
	call->active = DC_ENTERED;
	call->start = bpf_ktime_get_ns();
	return 1;
}

static __always_inline int dc_failed(u8 kind, s64 result)
{
	switch (kind) {
	case DC_RESULT_BYTES:
	case DC_RESULT_FD:
	case DC_RESULT_OFFSET:
	case DC_RESULT_NEGATIVE:
	case DC_RESULT_STATUS:
	case DC_RESULT_MAPPING:
		return result < 0;
	case DC_RESULT_HANDLE:
		return result == 0 || result == -1;
	case DC_RESULT_POINTER:
		return result == 0;
	case DC_RESULT_CODE:
		return result != 0;
	}
	return 0;
}

static __always_inline void dc_emit(struct dc_call *call, const struct dc_function *function, struct dc_count *count,
				    u64 duration, u16 flags, u16 error)
{
	u64 wakeup = BPF_RB_NO_WAKEUP;
	if (dc_withheld(call, function, count, duration, flags, &wakeup))
		return;
	struct dc_record *record = dc_calls.ringbuf_reserve(sizeof(struct dc_record));
	if (!record) {
		DC_LOSE(count, ring_full);
		count->ceiling = 0; /* the guard is to look at once */
		return;
	}
	void *task = (void *)bpf_get_current_task_btf();
	record->start = call->start;
	record->duration = duration;
	record->process = DC_LOAD_U32(task, DC_TASK_TGID);
	record->thread = DC_LOAD_U32(task, DC_TASK_PID);
	record->function = call->function;
	record->flags = flags | (call->inside & DC_NESTED_BIT ? DC_NESTED : 0);
	record->depth = (call->inside >> DC_DEPTH_SHIFT) - 1;
	record->errno_ = error;
	record->result = call->result;
	record->file = call->file;
#pragma unroll
	for (int i = 0; i < DC_SLOTS; i++) {
		u8 source = function->source[i];
		record->values[i] = source < DC_REGISTERS ? call->arguments[source & 7] : 0;
	}
#pragma unroll
	for (int i = 0; i < DC_REQUESTS; i++) {
		u8 slot = function->slot[i];
		if (slot < DC_SLOTS)
			record->values[slot] = call->names[i];
	}
	if (function->fields == 1)
		record->values[DC_SLOTS - 1] = call->arguments[DC_REGISTERS];
	if (function->fields == 2) {
		record->values[DC_SLOTS - 2] = call->arguments[DC_REGISTERS];
		record->values[DC_SLOTS - 1] = call->arguments[DC_REGISTERS + 1];
	}
	dc_calls.ringbuf_submit(record, wakeup);
	DC_COUNT(count, recorded);
}

/* A new descriptor's file is known by the path that it was opened by. */
static __always_inline void dc_bind_result(struct dc_call *call, const struct dc_function *function)
{
	struct dc_opened opened = {.identity = call->file, .kind = function->request[0]};
	if (opened.kind != DC_REQUEST_PATH && opened.kind != DC_REQUEST_ROOTED_PATH)
		return;
	opened.path = call->arguments[function->subject[0] & 7];
	opened.base = function->base[0] == DC_NONE ? DC_CURRENT_DIRECTORY : call->arguments[function->base[0] & 7];
	opened.descriptor = call->result;
	if (opened.kind == DC_REQUEST_ROOTED_PATH)
		opened.kind = dc_kind_of_path(call->arguments[(function->subject[0] + 1) & 7]);
	DC_CALL_BIND(&opened);
}

static __always_inline void dc_bind_results(struct dc_call *call, const struct dc_function *function)
{
	if (function->result == DC_RESULT_FD && call->file)
		dc_bind_result(call, function);
	if (function->closes == DC_CLOSES_AT_RETURN && !call->result)
		dc_bind_handle(call->arguments[function->handle & 7], 0);
	if (function->result == DC_RESULT_HANDLE)
		dc_bind_handle(call->result, call->file);
	if (function->out_handle != DC_NONE && call->file) {
		u64 handle = 0;
		if (!dc_read(&handle, sizeof(handle), call->arguments[function->out_handle & 7]))
			dc_bind_handle(handle, call->file);
	}
}

/* Count a call that returned and is not passed over, and record it if it took long enough. */
static __always_inline void dc_conclude(struct dc_call *call, const struct dc_function *function,
					struct dc_count *count, u64 now, int failed, u16 error)
{
	u32 which = DC_SETTING_MINIMUM_DURATION;
	u64 *minimum = dc_settings.lookup(&which);
	u64 duration = now - call->start;
	if (minimum && duration < *minimum && !(function->flags & DC_HELPER))
		DC_COUNT(count, filtered);
	else
		dc_emit(call, function, count, duration, DC_RETURNED | (failed ? DC_FAILED : 0), error);
}

/* A call that needed the paths that it was not given is not about the descriptors beside them. */
static __always_inline void dc_forget_directories(struct dc_call *call, const struct dc_function *function)
{
#pragma unroll
	for (int i = 0; i < DC_REQUESTS; i++) {
		if (function->request[i] != DC_REQUEST_PATH || call->arguments[function->subject[i] & 7])
			continue;
		if (function->slot[i] == DC_NONE)
			call->file = 0;
		call->names[i] = 0;
	}
}

/* End a call that returned: `error` is what a system call said, or 0; `chosen` if sampling was asked at its entry. */
static __always_inline void dc_leave(struct dc_thread *thread, struct dc_call *call, const struct dc_function *function,
				     struct dc_count *count, u64 now, int failed, u16 error, int chosen)
{
	if (function->flags & DC_PLAIN)
		goto conclude;
	thread->wanted_descriptor = -1;
	dc_want_again(thread, call);
	thread->requested = call->pending;
	if (call->pending & DC_STARTS_KNOWN && !failed && dc_may_be_overwritten(call, function))
		thread->requested |= DC_OVERWRITTEN;
	thread->failed = failed;
	thread->failure = error;
	if (function->result == DC_RESULT_FD && !failed && !call->file && !call->pending) {
		thread->wanted_descriptor = call->result; /* a socket, a pipe: named by what it is */
		thread->requested = 1 << DC_WANTED_DESCRIPTOR;
	}
	/* Out of memory again: one state for the verifier to follow, not one per way here. */
	failed = *(volatile u32 *)&thread->failed;
	error = *(volatile u32 *)&thread->failure;
	u32 mask = *(volatile u32 *)&thread->requested;
	if (mask) {
		dc_resolve_requests(thread, call, function, mask, 1);
		if (call->pending)
			dc_total(DC_TOTAL_NAMES_UNREAD);
	}
	if (error == DC_EFAULT)
		dc_forget_directories(call, function);
	if (function->snippet)
		dc_snippet_return(call, function->snippet);
	if (!failed)
		dc_bind_results(call, function);
conclude:
	if (chosen || !dc_passed_over(function, count))
		dc_conclude(call, function, count, now, failed, error);
	call->active = 0;
}

/* A call that will never return to us. */
static __always_inline void dc_abandon(struct dc_call *call)
{
	u32 id = call->function;
	struct dc_count *count = dc_counts.lookup(&id);
	if (count)
		DC_COUNT(count, unmatched);
	call->active = 0;
}

/* Whether a call began before another thread had the process unmarked and marked again. It may have ended in between,
 * unseen: what ends now may be a later one, whose beginning was not seen. */
static __always_inline int dc_began_before_start(const struct dc_thread *thread, const struct dc_call *call)
{
	u32 zero = 0;
	u64 *stops = dc_stops.lookup(&zero);
	if (!stops || !*stops)
		return 0;
	u32 process = bpf_get_current_pid_tgid() >> 32;
	u64 *started = dc_started.lookup(&process);
	return started && call->start < *started && thread->marked != *started;
}

/* An instant: no return, no duration. Strings that could not be read are unknown. */
static __always_inline void dc_point(struct dc_thread *thread, struct dc_call *call, const struct dc_function *function,
				     struct dc_count *count)
{
	call->result = 0;
	if (call->pending) {
		dc_total(DC_TOTAL_NAMES_UNREAD);
		dc_want_again(thread, call);
#pragma unroll
		for (int i = 0; i < DC_REQUESTS; i++)
			call->names[i] &= (u64)(call->pending >> i & 1) - 1;
	}
	dc_emit(call, function, count, 0, DC_POINT, 0);
	call->active = 0;
}

static __always_inline void dc_event_of(u64 process_and_thread, u32 kind, u64 value, u64 second, s64 result, u64 file)
{
	struct dc_record *record = dc_calls.ringbuf_reserve(sizeof(struct dc_record));
	if (!record) {
		dc_total(DC_TOTAL_EVENTS_LOST);
		return;
	}
	__builtin_memset(record, 0, sizeof(*record));
	record->start = bpf_ktime_get_ns();
	record->process = process_and_thread >> 32;
	record->thread = process_and_thread;
	record->function = kind;
	record->result = result;
	record->file = file;
	record->values[0] = value;
	record->values[1] = second;
	dc_calls.ringbuf_submit(record, BPF_RB_NO_WAKEUP);
}

static __always_inline void dc_event(u32 kind, u64 value, s64 result, u64 file)
{
	dc_event_of(bpf_get_current_pid_tgid(), kind, value, 0, result, file);
}

#endif
