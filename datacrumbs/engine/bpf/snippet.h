/* What a provider's snippet may use. A snippet is one or two functions
 *     static __always_inline void dc_<provider>_<name>_entry(struct dc_call *call)
 *     static __always_inline void dc_<provider>_<name>_return(struct dc_call *call)
 * (with a u32 more for each DC_PARAMETER) that read the call's arguments and fill the fields that it
 * declared, in the order in which it declared them. It reads user memory by DC_READ only, whose
 * failures are counted. */
/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DC_SNIPPET_H
#define DC_SNIPPET_H

#include "handles.h"
#include "machine.h"

/* A whole number that each function gives that names this snippet, from `low` to `high`: one more argument of the
 * snippet's functions, a u32, in the order in which they are declared. At most four. */
#define DC_PARAMETER(label, low, high) _Static_assert((low) <= (high), #label)

/* Argument n (0 to 5) as the register held it at the entry. */
#define DC_ARGUMENT(call, n) ((call)->arguments[n])

/* Argument n (6 and more), from the stack; at the entry only. */
#define DC_STACK_ARGUMENT(call, n) dc_stack_argument(call, n)

/* The returned value; at the return only. */
#define DC_RESULT(call) ((call)->result)

/* Fill declared field number `field` (0 or 1). */
#define DC_SET_FIELD(call, field, value) ((call)->arguments[DC_REGISTERS + ((field)&1)] = (value))

/* Copy sizeof(*destination) bytes of the program's memory; 0 on success. */
#define DC_READ(destination, address) dc_read(destination, sizeof(*(destination)), (u64)(address))

/* Whether the call's file is known already. */
#define DC_FILE_KNOWN(call) ((call)->file != 0)

/* The call is about the file behind this descriptor. */
#define DC_SET_FILE_BY_DESCRIPTOR(call, descriptor) dc_want_descriptor(descriptor)

/* The call is about the file of the call that made this handle. */
#define DC_SET_FILE_BY_HANDLE(call, handle) ((call)->file = dc_file_of_handle(handle))

/* This handle is given back: from now on it has no file. */
#define DC_FORGET_HANDLE(handle) dc_bind_handle((u64)(handle), 0)

/* Declared field number `field` is the C string at this address of the program's memory. */
#define DC_SET_FIELD_STRING(call, field, address) dc_want_string(field, (u64)(address))

/* The sum of the lengths in a struct iovec array; -1 where it cannot be read, or has more entries than the kernel
 * takes. A field of role BYTES or COUNT that is signed and negative is unknown, and left out of the trace. */
#define DC_ADD_LENGTHS(address, entries) dc_add_up((u64)(address), (u32)(entries))

/* What is kept for the current thread, or NULL. */
static __always_inline struct dc_thread *dc_find_thread(void)
{
	return dc_threads.task_storage_get((void *)bpf_get_current_task_btf(), NULL, 0);
}

static __always_inline long dc_read(void *destination, u32 size, u64 address)
{
	long failed = bpf_probe_read_user(destination, size, (void *)address);
	if (failed)
		dc_total(DC_TOTAL_FIELDS_UNREAD);
	return failed;
}

static __always_inline u64 dc_stack_argument(struct dc_call *call, u32 n)
{
	u64 value = 0;
	dc_read(&value, sizeof(value), call->stack + DC_STACK_ARGUMENT_OFFSET + 8 * (n - DC_REGISTERS));
	return value;
}

static __always_inline void dc_want_descriptor(s32 descriptor)
{
	struct dc_thread *thread = dc_find_thread();
	if (thread)
		thread->wanted_descriptor = descriptor;
}

static __always_inline void dc_want_string(u32 field, u64 address)
{
	struct dc_thread *thread = dc_find_thread();
	if (thread) {
		thread->wanted_field = field & 1;
		thread->wanted_string = address;
	}
}

#define DC_VECTOR_ENTRIES 1024 /* UIO_MAXIOV */
#define DC_BLOCK_ENTRIES 256   /* as many as scratch holds */

/* The sum of up to DC_BLOCK_ENTRIES lengths; -1 where they cannot be read. */
static __always_inline s64 dc_add_block(struct dc_scratch *scratch, u64 address, u32 entries)
{
	s64 sum = 0;
	u32 size = entries * 16; /* iov_base and iov_len */
	if (size > DC_PATH_MAX || bpf_probe_read_user(scratch->bytes, size, (void *)address)) {
		dc_total(DC_TOTAL_FIELDS_UNREAD);
		return -1;
	}
	scratch->head.length =
		entries; /* in memory: the compiler would count down from it, which the verifier cannot follow */
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < DC_BLOCK_ENTRIES; i++) {
		if (i >= *(volatile u32 *)&scratch->head.length)
			break;
		sum += scratch->words[2 * i + 1];
	}
	return sum;
}

/* A function of its own, as dc_resolve_request is. */
int dc_add_vector(struct dc_vector *vector)
{
	if (!vector)
		return 0;
	vector->sum = -1;
	struct dc_scratch *scratch = vector->entries <= DC_VECTOR_ENTRIES ? dc_take_scratch() : NULL;
	if (!scratch)
		return 0;
	s64 sum = 0;
#pragma clang loop unroll(disable)
	for (u32 done = 0; done < DC_VECTOR_ENTRIES; done += DC_BLOCK_ENTRIES) {
		u64 entries = vector->entries - done;
		if (vector->entries <= done)
			break;
		if (entries > DC_BLOCK_ENTRIES)
			entries = DC_BLOCK_ENTRIES;
		s64 part = dc_add_block(scratch, vector->address + 16ULL * done, entries);
		sum = part < 0 ? -1 : sum + part;
		if (sum < 0)
			break;
	}
	vector->sum = sum;
	dc_give_scratch(scratch);
	return 0;
}

#define DC_CALL_ADD_VECTOR ((int (*)(struct dc_vector *))DC_OWN_ADD_VECTOR)

static __always_inline s64 dc_add_up(u64 address, u32 entries)
{
	struct dc_vector vector = {.address = address, .sum = -1, .entries = entries};
	DC_CALL_ADD_VECTOR(&vector);
	return vector.sum;
}

#endif
