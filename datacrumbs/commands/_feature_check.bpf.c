/* A program as the engine needs it: a ring buffer, a uprobe handler, a raw tracepoint handler.
 * datacrumbs_doctor compiles and loads it to see what this kernel takes.
 */
/* SPDX-License-Identifier: GPL-2.0-only */
#include <uapi/linux/ptrace.h>

BPF_RINGBUF_OUTPUT(dc_check_ring, 1);

int dc_check_library(struct pt_regs *context)
{
	return bpf_get_attach_cookie(context) == 0;
}

int dc_check_system_call(struct bpf_raw_tracepoint_args *context)
{
	u64 *record = dc_check_ring.ringbuf_reserve(sizeof(u64));

	if (!record)
		return 0;
	*record = bpf_ktime_get_ns();
	dc_check_ring.ringbuf_discard(record, 0);
	return 0;
}
