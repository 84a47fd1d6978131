/* Tracepoints of the kernel and USDT probes of programs: instants with fields. */
/* SPDX-License-Identifier: GPL-2.0-only */
#include "functions.bpf.c"

/* The characters of a text up to its first zero; the kernel does not write those behind it. */
static __always_inline u64 dc_text(u64 characters)
{
	u64 kept = ~0ULL;
#pragma unroll
	for (int i = 7; i >= 0; i--) {
		if (!(characters >> 8 * i & 0xff))
			kept = (1ULL << 8 * i) - 1;
	}
	return characters & kept;
}

static __always_inline u64 dc_field(const void *bytes, u32 offset, u32 size)
{
	const u8 *at = (const u8 *)bytes + (offset & (DC_TRACEPOINT_BYTES - 1));
	u64 value;
	switch (size & ~DC_TEXT_VALUE) {
	case 1:
		value = *at;
		break;
	case 2:
		value = *(u16 *)at;
		break;
	case 4:
		value = *(u32 *)at;
		break;
	default:
		value = *(u64 *)at;
	}
	return size & DC_TEXT_VALUE ? dc_text(value) : value;
}

/* No more of the record than its declared fields: what is behind them is left of other tasks' events. */
static __always_inline int dc_read_tracepoint(void *context, const struct dc_function *function, u64 *arguments)
{
	u32 size = function->record_bytes;
	struct dc_scratch *scratch = dc_take_scratch();
	if (!scratch)
		return 0;
	if (size <= DC_TRACEPOINT_BYTES && !bpf_probe_read_kernel(scratch->bytes, size, context)) {
#pragma unroll
		for (int i = 0; i < DC_SLOTS; i++) {
			if (function->source[i] != DC_NONE)
				arguments[i] =
					dc_field(scratch->bytes, function->field_offset[i], function->field_size[i]);
		}
	}
	dc_give_scratch(scratch);
	return 1;
}

/* One argument of a USDT probe: `words` are the registers. Memory is read in the operand's own size: more might not be
 * there. */
static __always_inline u64 dc_operand(const struct dc_function *function, const u64 *words, int i)
{
	u32 width = function->width[i], size = width & 15, offset = function->field_offset[i];
	u32 shift = (64 - 8 * size) & 63;
	u64 value[2] = {(s64)function->displacement[i]};
	if (function->field_size[i] == DC_OPERAND_CONSTANT)
		value[0] = (u32)value[0] | (u64)offset << 32 | (u64)function->index_offset[i] << 48;
	else
		value[0] += words[(offset & 0xff) / 8] >> 8 * (offset & 7);
	if (function->scale[i])
		value[0] += words[(function->index_offset[i] & 0xff) / 8] * function->scale[i];
	if (function->field_size[i] == DC_OPERAND_MEMORY) {
		u64 address = value[0];
		value[0] = 0;
		dc_read(value, size, address);
	}
	value[0] <<= shift;
	return width & DC_SIGNED_VALUE ? (u64)((s64)value[0] >> shift) : value[0] >> shift;
}

static __always_inline int dc_read_usdt(void *context, const struct dc_function *operands, u64 *arguments)
{
	struct dc_scratch *scratch = dc_take_scratch();
	if (!scratch)
		return 0;
	bpf_probe_read_kernel(scratch->bytes, sizeof(struct pt_regs), context);
#pragma unroll
	for (int i = 0; i < DC_SLOTS; i++) {
		if (operands->source[i] != DC_NONE)
			arguments[i] = dc_operand(operands, scratch->words, i);
	}
	dc_give_scratch(scratch);
	return 1;
}

#ifdef DC_WITH_TRACEPOINT
/* perf tracepoint */
int dc_kernel_point(void *context)
{
	if (!dc_gate() || dc_is_work_of_interrupt())
		return 0;
	u32 id = bpf_get_attach_cookie(context);
	struct dc_function *function = dc_functions.lookup(&id);
	struct dc_count *count = dc_counts.lookup(&id);
	if (!function || !count)
		return 0;
	struct dc_call call = {.function = id, .start = bpf_ktime_get_ns()};
	struct dc_thread *thread = dc_find_thread();
	call.inside = dc_inside(function, thread ? dc_around(thread, 1) : 0);
	DC_COUNT(count, entered);
	if (dc_read_tracepoint(context, function, call.arguments))
		dc_emit(&call, function, count, 0, DC_POINT, 0);
	else
		DC_LOSE(count, no_memory);
	return 0;
}
#endif

#ifdef DC_WITH_USDT
/* uprobe at a USDT probe: an instant, or the entry of a call whose return is a probe of its own */
int dc_usdt_enter(struct pt_regs *context)
{
	if (!dc_gate())
		return 0;
	u64 cookie = bpf_get_attach_cookie(context);
	u32 id = cookie, row = cookie >> 32; /* a row of its own where the arguments are elsewhere */
	if (!row)
		row = id;
	struct dc_function *function = dc_functions.lookup(&id);
	struct dc_function *operands = dc_functions.lookup(&row);
	struct dc_count *count = dc_counts.lookup(&id);
	if (!function || !operands || !count)
		return 0;
	DC_COUNT(count, entered);
	struct dc_thread *thread = dc_make_thread();
	u64 arguments[DC_SLOTS] = {};
	if (!thread || !dc_read_usdt(context, operands, arguments)) {
		DC_LOSE(count, no_memory);
		return 0;
	}
	u64 stack = PT_REGS_SP(context);
	dc_drop_dead_frames(thread, id, stack);
	u64 around = dc_around(thread, 0);
	struct dc_call *call = dc_push(thread, count);
	if (!call) {
		if (function->flags & DC_HAS_RETURN)
			thread->overflow++;
		return 0;
	}
#pragma unroll
	for (int i = 0; i < DC_SLOTS; i++)
		call->arguments[i] = arguments[i];
	call->inside = dc_inside(function, around);
	dc_enter(thread, call, function, id, stack);
	if (!(function->flags & DC_HAS_RETURN)) {
		thread->depth--;
		dc_point(thread, call, function, count);
	}
	return 0;
}

/* uprobe at the USDT probe of a return */
int dc_usdt_leave(struct pt_regs *context)
{
	return dc_function_leave(context, 0, 0, 0);
}
#endif
