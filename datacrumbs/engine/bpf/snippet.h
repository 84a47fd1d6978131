/* What a provider's snippet may use. A snippet is one or two functions
 *     static __always_inline void dc_<provider>_<name>_entry(struct dc_call *call)
 *     static __always_inline void dc_<provider>_<name>_return(struct dc_call *call)
 * that read the call's arguments and fill the fields that it declared, in the order in which it
 * declared them. It reads user memory by DC_READ only, whose failures are counted. */
/* SPDX-License-Identifier: GPL-2.0-only */

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

/* Declared field number `field` is the C string at this address of the program's memory. */
#define DC_SET_FIELD_STRING(call, field, address) dc_want_string(field, (u64)(address))

static __always_inline struct dc_thread *dc_current_thread(void)
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
	struct dc_thread *thread = dc_current_thread();
	if (thread)
		thread->wanted_descriptor = descriptor;
}

static __always_inline void dc_want_string(u32 field, u64 address)
{
	struct dc_thread *thread = dc_current_thread();
	if (thread) {
		thread->wanted_field = field & 1;
		thread->wanted_string = address;
	}
}
