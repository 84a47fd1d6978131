/* What only the kernel side knows: limits, and what it keeps for a thread. The rest is in model/contract.h. */
/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DC_LAYOUT_H
#define DC_LAYOUT_H

#include "../../model/contract.h"

#define DC_PROCESS_IDS (1 << 22) /* the kernel's own limit, PID_MAX_LIMIT */
#define DC_FRAMES 32		 /* a power of two: the verifier follows masks */

/* Keeps the compiler from turning an index that was just checked into a pointer that was not. */
#define DC_OPAQUE(value) asm volatile("" : "+r"(value))

/* A length below DC_PATH_MAX, by a mask that the compiler cannot reason away. */
#define DC_BOUND_LENGTH(value) asm volatile("%0 &= 0xfff" : "+r"(value))
/* Likewise the first word of a block of a path. */
#define DC_BOUND_BLOCK(value) asm volatile("%0 &= 0x1f8" : "+r"(value))

/* How much a function, or all of them, asked for in an interval. */
struct dc_guard {
	u64 interval;
	u64 used;
	u64 before;
	u64 degraded;
};

/* A call in progress. */
struct dc_call {
	u64 arguments[DC_REGISTERS + DC_SNIPPET_FIELDS];
	u64 names[DC_REQUESTS];
	u64 start;
	u64 stack;
	u64 file;
	u64 inside; /* what calls inside of it are inside of; calls.h */
	u64 root;   /* as in struct dc_request; `names` of pending paths are where they start then, DC_STARTS_KNOWN */
	s64 result;
	u32 function;
	u16 number; /* of a system call, as the kernel has it while the call goes on */
	u8 pending; /* requests whose string could not be read at the entry */
	u8 active;  /* of enum dc_active; 0 for none */
};

/* In `pending`: where its paths start was kept at the entry; the string of a snippet is for the second field. And, of
 * a call that has returned: it may have written over its paths. */
#define DC_STARTS_KNOWN 0x80
#define DC_SECOND_FIELD 0x40
#define DC_OVERWRITTEN 0x20

enum dc_active {
	DC_ENTERED = 1,
	DC_PASSED_OVER = 2, /* a system call that sampling left out, and that was counted */
	DC_INTERRUPTED = 4, /* a system call that a signal interrupted and that may begin again */
};

/* Where a system call was when a signal interrupted it, and what the kernel said. */
struct dc_interruption {
	u64 stack;
	u64 place; /* behind the instruction that made the call */
	u32 number;
	u32 code; /* restarts.h */
};

/* A call that is to go on when a handler returns to it. */
struct dc_interrupted {
	struct dc_call call;
	struct dc_interruption where;
};
#define DC_WAITING 4 /* a power of two */

/* An open file that a thread used, as long as its stamps are the same and none got another name (dc_renames). */
struct dc_recent {
	u64 object;
	u64 self;
	u64 place;
	u64 renames;
	u64 identity;
};
#define DC_RECENTS 4 /* a power of two */

/* Everything that is kept for a traced thread. */
struct dc_thread {
	struct dc_call system_call;
	struct dc_interruption interruption; /* of system_call, or of one that is not followed */
	struct dc_recent recent[DC_RECENTS];
	u64 error_time;
	u64 marked; /* when it had its process marked */
	u32 error;
	u32 depth;
	s32 wanted_descriptor; /* set by a snippet; -1 for none */
	u32 wanted_field;      /* set by a snippet: its string becomes this field */
	u64 wanted_string;
	u32 requested;
	u32 overflow;
	u32 failed; /* of the call that is being left, and its error */
	u32 failure;
	u32 waiting; /* how many of `interrupted` */
	struct dc_interrupted interrupted[DC_WAITING];
	struct dc_call frames[DC_FRAMES];
};

#endif
