/* What calls are about, to identities: descriptors, paths and other strings. */
/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DC_NAMES_H
#define DC_NAMES_H

#include "open_files.h"

/* A string of the program, or of the kernel; its length with the NUL, or less than 1. */
static __always_inline long dc_read_string(struct dc_scratch *scratch, u32 kind, u64 address)
{
	scratch->head.inode = 0;
	scratch->head.device = 0;
	scratch->head.flags = 0;
	scratch->head.magic = 0;
	if (kind == DC_REQUEST_KERNEL_PATH)
		return bpf_probe_read_kernel_str(scratch->bytes, DC_PATH_MAX, (void *)address);
	return bpf_probe_read_user_str(scratch->bytes, DC_PATH_MAX, (void *)address);
}

/* The directory that a path starts from: `base`, or the process's own root. */
static __always_inline int dc_start_of_path(struct dc_scratch *scratch, u32 kind, u32 length, int base)
{
	if (kind == DC_REQUEST_STRING)
		return DC_NO_DIRECTORY;
	return length == 0 || scratch->bytes[0] != '/' || kind == DC_REQUEST_ROOTED_PATH ? base : DC_ROOT_DIRECTORY;
}

/* The name of where a path starts, as it was kept at the entry of a call. */
static __always_inline u64 dc_kept_start(const struct dc_request *request, int base)
{
	if (base == DC_NO_DIRECTORY)
		return 0;
	return base == DC_ROOT_DIRECTORY ? request->root : request->identity;
}

#define DC_DEV_FD 0x2f64662f7665642fULL	      /* "/dev/fd/" */
#define DC_DEV_STANDARD 0x6474732f7665642fULL /* "/dev/std" */
#define DC_PROC 0x2f636f72702fULL	      /* "/proc/" */
#define DC_PROC_MAGIC 0x9fa0

static __always_inline int dc_begins_with_process(u64 beginning)
{
	return beginning == DC_DEV_FD || (beginning & 0xffffffffffffULL) == DC_PROC;
}

/* One request of a call: a descriptor, a path or another string, to an identity. Returns 0 when
 * it cannot be read yet (the page is not there at the entry; it is at the return). */
static __always_inline u64 dc_resolve(const struct dc_request *request)
{
	u32 kind = request->kind & ~DC_REQUEST_START_KNOWN;
	u64 subject = request->subject;
	int base = request->base;
	void *task = (void *)bpf_get_current_task_btf();
	struct dc_open_file file = {};
	struct dc_scratch *scratch = NULL;
	u32 length = 0;
	if (kind == DC_REQUEST_DESCRIPTOR) {
		base = (int)subject;
	} else if (kind != DC_REQUEST_FILE) {
		scratch = dc_take_scratch();
		if (!scratch)
			return 0;
		long read = dc_read_string(scratch, kind, subject);
		scratch->head.length = read;
		length = scratch->head.length;
		if (length == 0 || length > DC_PATH_MAX) {
			dc_give_scratch(scratch);
			return 0;
		}
		length--;
		base = dc_start_of_path(scratch, kind, length, base);
	}
	u64 place = 0;
	int found = 0;
	if (request->kind & DC_REQUEST_START_KNOWN) {
		place = dc_kept_start(request, base);
	} else if (kind == DC_REQUEST_FILE) {
		file.object = subject;
		found = dc_fill_open_file(&file, subject + DC_FILE_F_PATH);
	} else if (base != DC_NO_DIRECTORY && (base != DC_ROOT_DIRECTORY || !dc_has_whole_paths(task))) {
		found = dc_open_file(task, base, &file);
	}
	if (found)
		place = dc_name_of(&file);
	if (!scratch)
		return place;
	u64 identity = place;
	if (kind == DC_REQUEST_STRING || length)
		identity =
			dc_send_name(scratch, kind == DC_REQUEST_STRING ? DC_NAME_STRING : DC_NAME_PATH, place, length);
	dc_give_scratch(scratch);
	return identity;
}

/* The same as a function of its own, which the verifier follows once for a program and not again on each
 * way that leads here. bcc has no such calls: it takes the function for one more program, and
 * engine/loader.py joins it to those that call this number. */
#define DC_CALL_RESOLVE ((int (*)(struct dc_request *))DC_OWN_RESOLVE_REQUEST)

int dc_resolve_request(struct dc_request *request)
{
	if (request)
		request->identity = dc_resolve(request);
	return 0;
}

#endif
