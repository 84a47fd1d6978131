/* What differs between processors. */
/* SPDX-License-Identifier: GPL-2.0-only */
#include <uapi/linux/ptrace.h>

#if defined(__TARGET_ARCH_x86) || defined(__x86_64__) || defined(bpf_target_x86)
#define DC_RETURN_POPS 8	   /* the return address */
#define DC_STACK_ARGUMENT_OFFSET 8 /* likewise, before the seventh argument */
/* r10, r9, r8, ax, cx, dx, si, di lie side by side in pt_regs. */
#define DC_SYSTEM_CALL_ARGUMENTS(call, registers) \
	do { \
		u64 read[8] = {}; \
		bpf_probe_read_kernel(read, sizeof(read), (void *)((registers) + offsetof(struct pt_regs, r10))); \
		(call)->arguments[0] = read[7]; \
		(call)->arguments[1] = read[6]; \
		(call)->arguments[2] = read[5]; \
		(call)->arguments[3] = read[0]; \
		(call)->arguments[4] = read[2]; \
		(call)->arguments[5] = read[1]; \
	} while (0)
#else
#define DC_RETURN_POPS 0
#define DC_STACK_ARGUMENT_OFFSET 0
/* x0 to x5 lead struct user_pt_regs. */
#define DC_SYSTEM_CALL_ARGUMENTS(call, registers) \
	bpf_probe_read_kernel((call)->arguments, sizeof((call)->arguments), (void *)(registers))
#endif
