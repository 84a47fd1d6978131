/* Tracepoints of the kernel and USDT probes of programs: instants with fields. */
/* SPDX-License-Identifier: GPL-2.0-only */

#define DC_TRACEPOINT_BYTES 128

static __always_inline u64 dc_field(const void *bytes, u32 offset, u32 size)
{
	const u8 *at = (const u8 *)bytes + (offset & (DC_TRACEPOINT_BYTES - 1));
	switch (size) {
	case 1:
		return *at;
	case 2:
		return *(u16 *)at;
	case 4:
		return *(u32 *)at;
	}
	return *(u64 *)at;
}

static __always_inline int dc_record_point(void *context, int usdt)
{
	if (!dc_gate())
		return 0;
	u32 id = bpf_get_attach_cookie(context);
	struct dc_function *function = dc_functions.lookup(&id);
	struct dc_count *count = dc_counts.lookup(&id);
	if (!function || !count)
		return 0;
	struct dc_scratch *scratch = dc_take_scratch();
	if (!scratch) {
		DC_COUNT(count, entered);
		DC_COUNT(count, no_memory);
		return 0;
	}
	if (usdt)
		bpf_probe_read_kernel(scratch->bytes, sizeof(struct pt_regs), context);
	else
		bpf_probe_read_kernel(scratch->bytes, DC_TRACEPOINT_BYTES, context);
	struct dc_call call = {};
	call.function = id;
	call.start = bpf_ktime_get_ns();
#pragma unroll
	for (int i = 0; i < DC_SLOTS; i++) {
		u8 size = function->field_size[i];
		if (function->source[i] == DC_NONE)
			continue;
		if (!usdt) {
			call.arguments[i] = dc_field(scratch->bytes, function->field_offset[i], size);
			continue;
		}
		u64 value = (s64)function->displacement[i];
		if (size != DC_PLACE_CONSTANT)
			value += *(u64 *)&scratch->bytes[function->field_offset[i] & 0xff];
		if (size == DC_PLACE_MEMORY) {
			u64 read = 0;
			dc_read(&read, sizeof(read), value);
			value = read;
		}
		call.arguments[i] = value;
	}
	dc_give_scratch();
	dc_point(&call, function, id, count);
	return 0;
}

int dc_kernel_point(void *context)
{
	return dc_record_point(context, 0);
}

int dc_usdt_point(void *context)
{
	return dc_record_point(context, 1);
}
