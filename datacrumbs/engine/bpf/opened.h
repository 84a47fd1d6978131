/* A file that a call opened by a name: known by it from now on, and where it is, if that is another name. */
/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DC_OPENED_H
#define DC_OPENED_H

#include "names.h"

static __always_inline u64 dc_path_word(struct dc_scratch *scratch, u32 at)
{
	u64 where = at;
	DC_BOUND_LENGTH(where);
	return *(u64 *)&scratch->bytes[where];
}

/* Whether a component is what the path has there: all of it, or its first, middle and last eight bytes. */
static __always_inline int dc_is_component(struct dc_scratch *scratch, u32 at, u64 name, u32 size)
{
	u64 first = dc_path_word(scratch, at) ^ dc_kernel_u64(name);
	if (size < sizeof(u64))
		return !(first << (64 - 8 * (size & 7)));
	u32 last = size - sizeof(u64), middle = last / 2;
	return !first && dc_path_word(scratch, at + last) == dc_kernel_u64(name + last) &&
	       dc_path_word(scratch, at + middle) == dc_kernel_u64(name + middle);
}

/* Whether the path in `scratch`, of head.length bytes, is the way from a directory down to an open file, component
 * by component: without symbolic links, dots and doubled slashes. */
static __always_inline int dc_is_way(struct dc_scratch *scratch, const struct dc_open_file *start,
				     const struct dc_open_file *file)
{
	u64 mount = file->mount;
	u64 dentry = file->dentry;
	int turn;
	DC_TURNS(turn, DC_WALK_STEPS)
	{
		u32 at = scratch->head.length;
		if (dentry == start->dentry && mount == start->mount)
			return at == 0;
		if (dentry == dc_kernel_u64(mount + DC_VFSMOUNT_MNT_ROOT)) {
			u64 whole = mount - DC_MOUNT_MNT;
			dentry = dc_kernel_u64(whole + DC_MOUNT_MNT_MOUNTPOINT);
			mount = dc_kernel_u64(whole + DC_MOUNT_MNT_PARENT) + DC_MOUNT_MNT;
			continue;
		}
		u32 size = dc_kernel_u64(dentry + DC_DENTRY_D_NAME + DC_QSTR_HASH_LEN) >> 32;
		if (size > at || !size)
			return 0;
		at -= size;
		if (!dc_is_component(scratch, at, dc_kernel_u64(dentry + DC_DENTRY_D_NAME + DC_QSTR_NAME), size))
			return 0;
		if (at && (u8)dc_path_word(scratch, --at) != '/')
			return 0;
		scratch->head.length = at;
		dentry = dc_kernel_u64(dentry + DC_DENTRY_D_PARENT);
	}
	return 0;
}

/* Whether a path says whose descriptor or directory a file is, and not what it is called: the next one that is opened
 * by it is another file. What is in procfs itself has no other name. */
static __always_inline int dc_is_of_process(u64 beginning, const struct dc_open_file *file)
{
	if (!dc_begins_with_process(beginning) && beginning != DC_DEV_STANDARD)
		return 0;
	return dc_kernel_u32(dc_kernel_u64(file->inode + DC_INODE_I_SB) + DC_SUPER_BLOCK_S_MAGIC) != DC_PROC_MAGIC;
}

/* A file that was opened by another name than that of its place: send the place, once for the two. */
static __always_inline void dc_send_other(struct dc_scratch *scratch, const struct dc_opened *opened,
					  const struct dc_open_file *file, u64 both)
{
	int is_named = !dc_is_of_process(dc_path_word(scratch, 0), file);
	u64 place = dc_place_stamp(file, 0);
	u64 identity = dc_send_location(scratch, file, is_named ? DC_NAME_PLACE : DC_NAME_LOCATION,
					is_named ? opened->identity : 0);
	u8 one = 1;
	if (is_named)
		dc_names.update(&both, &one);
	else
		dc_keep_name(file, identity, place);
}

/* Compare the name that a file was opened by with its place. */
static __always_inline void dc_send_place(const struct dc_opened *opened, const struct dc_open_file *file)
{
	struct dc_open_file start = {};
	u64 both = DC_STAMP(opened->identity, dc_place_stamp(file, 0));
	if (dc_names.lookup(&both))
		return;
	struct dc_scratch *scratch = dc_take_scratch();
	if (!scratch)
		return;
	scratch->head.length = dc_read_string(scratch, DC_REQUEST_PATH, opened->path) - 1;
	u32 length = scratch->head.length;
	if (length > 0 && length < DC_PATH_MAX) {
		int is_absolute = scratch->bytes[0] == '/' && opened->kind != DC_REQUEST_ROOTED_PATH;
		int base = is_absolute ? DC_ROOT_DIRECTORY : opened->base;
		if (!dc_open_file((void *)bpf_get_current_task_btf(), base, &start) ||
		    !dc_is_way(scratch, &start, file))
			dc_send_other(scratch, opened, file, both);
	}
	dc_give_scratch(scratch);
}

static __always_inline void dc_bind(const struct dc_opened *opened)
{
	struct dc_open_file file = {};
	if (!dc_open_file((void *)bpf_get_current_task_btf(), opened->descriptor, &file))
		return;
	if (dc_is_unhashed(file.dentry))
		return; /* made without a name (O_TMPFILE): the path was its directory's */
	struct dc_named_file *kept = dc_kept_name(&file);
	int renamed = kept && kept->identity != opened->identity;
	if (kept && !renamed && !kept->place)
		return; /* by the same name as the file that was here before */
	dc_keep_name(&file, opened->identity, 0);
	u32 zero = 0;
	u64 *renames = dc_renames.lookup(&zero);
	if (renames && renamed)
		__sync_fetch_and_add(renames, 1);
	dc_send_place(opened, &file);
}

/* A function of its own, as dc_resolve_request. */
#define DC_CALL_BIND ((int (*)(struct dc_opened *))DC_OWN_BIND_OPENED)

int dc_bind_opened(struct dc_opened *opened)
{
	if (opened)
		dc_bind(opened);
	return 0;
}

#endif
