/* Which file a descriptor refers to, and what it is called: docs/design/0012-names.md. */
/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DC_OPEN_FILES_H
#define DC_OPEN_FILES_H

#include "strings.h"

#define DC_CURRENT_DIRECTORY (-100)
#define DC_ROOT_DIRECTORY (-0x7fffffff) /* of the process; no descriptor */
#define DC_NO_DIRECTORY (-0x7ffffffe)
#define DC_WALK_STEPS 64
#define DC_ROOT_MOUNTS 8 /* mounted on one another, at the root */

/* Collect the components of a path from the leaf to the root, each ending in NUL, across mounts.
 * The length lives in memory, so that the verifier need not follow each of its values. */
static __always_inline u32 dc_walk(struct dc_scratch *scratch, u64 mount, u64 dentry)
{
	scratch->head.length = 0;
	scratch->head.flags |= DC_LOCATION_CUT; /* until the root is reached */
	int turn;
	DC_TURNS(turn, DC_WALK_STEPS)
	{
		if (dentry == dc_kernel_u64(mount + DC_VFSMOUNT_MNT_ROOT)) {
			u64 whole = mount - DC_MOUNT_MNT;
			u64 parent = dc_kernel_u64(whole + DC_MOUNT_MNT_PARENT);
			if (parent == whole || !parent) {
				scratch->head.flags &= ~DC_LOCATION_CUT;
				break;
			}
			dentry = dc_kernel_u64(whole + DC_MOUNT_MNT_MOUNTPOINT);
			mount = parent + DC_MOUNT_MNT;
			continue;
		}
		u64 up = dc_kernel_u64(dentry + DC_DENTRY_D_PARENT);
		u64 name = dc_kernel_u64(dentry + DC_DENTRY_D_NAME + DC_QSTR_NAME);
		u64 at = scratch->head.length;
		if (at >= DC_PATH_MAX - DC_COMPONENT_MAX)
			break;
		DC_BOUND_LENGTH(at);
		long read = bpf_probe_read_kernel_str(&scratch->bytes[at], DC_COMPONENT_MAX, (void *)name);
		if (read <= 0)
			break;
		scratch->head.length = at + read;
		if (up == dentry || !up) {
			scratch->head.flags &= ~DC_LOCATION_CUT;
			break;
		}
		dentry = up;
	}
	return scratch->head.length;
}

/* An open file, or a directory that paths start from. */
struct dc_open_file {
	u64 object; /* struct file, or struct dentry of a directory */
	u64 inode;
	u64 mount;
	u64 dentry;
	u64 kind; /* its operations: by them differ files without a place, which may share an inode */
	u64 self; /* stamp of all of this, of the inode's number and generation, and of the last component's place */
};

#define DC_STAMP(stamp, value) (((stamp) ^ (value)) * DC_MIX)

/* The kernel uses the addresses of a closed file again, most often for the next one: what else there is to know of an
 * open file distinguishes the two. */
static __always_inline u64 dc_self_stamp(const struct dc_open_file *file)
{
	u64 stamp = DC_STAMP(file->inode, file->kind);
	stamp = DC_STAMP(stamp, dc_kernel_u64(file->inode + DC_INODE_I_INO));
	stamp = DC_STAMP(stamp, dc_kernel_u32(file->inode + DC_INODE_I_GENERATION));
	stamp = DC_STAMP(stamp, file->mount);
	stamp = DC_STAMP(stamp, file->dentry);
	stamp = DC_STAMP(stamp, dc_kernel_u64(file->dentry + DC_DENTRY_D_NAME + DC_QSTR_HASH_LEN));
	return DC_STAMP(stamp, dc_kernel_u64(file->dentry + DC_DENTRY_D_PARENT));
}

/* Whether no directory has a file by this name: it was deleted, has no name so far, or is of a kind without names. */
static __always_inline int dc_is_unhashed(u64 dentry)
{
	return !dc_kernel_u64(dentry + DC_DENTRY_D_HASH + sizeof(u64));
}

/* The entry of a directory that an open file is named by: its own, or, if that is gone, another of the same file. 0 if
 * no directory has it. */
static __always_inline u64 dc_named_entry(const struct dc_open_file *file)
{
	if (!dc_is_unhashed(file->dentry) || dc_kernel_u64(file->dentry + DC_DENTRY_D_PARENT) == file->dentry)
		return file->dentry;
	u64 other = dc_kernel_u64(file->inode + DC_INODE_I_DENTRY);
	if (other && dc_kernel_u32(file->inode + DC_INODE_I_NLINK) && !dc_is_unhashed(other - DC_DENTRY_D_U))
		return other - DC_DENTRY_D_U;
	return 0;
}

/* Add an entry of a directory to the stamp of a way; whether the way goes on, to the one above. */
static __always_inline int dc_stamp_entry(u64 *stamp, u64 *dentry, u64 root)
{
	if (*dentry == root)
		return 0;
	*stamp = DC_STAMP(*stamp + *dentry, dc_kernel_u64(*dentry + DC_DENTRY_D_NAME + DC_QSTR_HASH_LEN));
	u64 up = dc_kernel_u64(*dentry + DC_DENTRY_D_PARENT);
	if (up == *dentry)
		return 0;
	*dentry = up;
	return 1;
}

/* Stamp of the whole way to the root of the mount; never 0. It is another one after a rename on the way, and after a
 * file without a name got one. Where it is asked at each call (`often`), the kernel does not count the steps. */
static __always_inline u64 dc_place_stamp(const struct dc_open_file *file, int often)
{
	u64 stamp = dc_kernel_u64(file->mount - DC_MOUNT_MNT + DC_MOUNT_MNT_MOUNTPOINT);
	u64 entry = dc_named_entry(file);
	u64 dentry = entry ? entry : file->dentry;
	u64 root = dc_kernel_u64(file->mount + DC_VFSMOUNT_MNT_ROOT);
	if (!(u32)dc_kernel_u64(dentry + DC_DENTRY_D_NAME + DC_QSTR_HASH_LEN)) {
		/* Of a kind without places, mostly: its name distinguishes it from others. */
		u64 name = dc_kernel_u64(dentry + DC_DENTRY_D_NAME + DC_QSTR_NAME);
		stamp = DC_STAMP(stamp, dc_kernel_u64(name));
		stamp = DC_STAMP(stamp, dc_kernel_u64(name + sizeof(u64)));
	}
	int turn;
	if (often) {
		for (turn = 0; turn < DC_WALK_STEPS && dc_stamp_entry(&stamp, &dentry, root); turn++)
			;
	} else {
		DC_TURNS(turn, DC_WALK_STEPS)
		{
			if (!dc_stamp_entry(&stamp, &dentry, root))
				break;
		}
	}
	return stamp | 1;
}

static __always_inline int dc_fill_open_file(struct dc_open_file *file, u64 path)
{
	file->mount = dc_kernel_u64(path + DC_PATH_MNT);
	file->dentry = dc_kernel_u64(path + DC_PATH_DENTRY);
	if (file->object) {
		file->inode = dc_kernel_u64(file->object + DC_FILE_F_INODE);
		file->kind = dc_kernel_u64(file->object + DC_FILE_F_OP);
	} else {
		file->object = file->dentry;
		file->inode = dc_kernel_u64(file->dentry + DC_DENTRY_D_INODE);
		file->kind = 0;
	}
	file->self = dc_self_stamp(file);
	return file->inode != 0;
}

/* The open file behind a descriptor of the current task, or one of its directories. */
static __always_inline int dc_open_file(void *task, int descriptor, struct dc_open_file *file)
{
	file->object = 0;
	if (descriptor == DC_CURRENT_DIRECTORY)
		return dc_fill_open_file(file, (u64)DC_FOLLOW(task, DC_TASK_FS) + DC_FS_STRUCT_PWD);
	if (descriptor == DC_ROOT_DIRECTORY)
		return dc_fill_open_file(file, (u64)DC_FOLLOW(task, DC_TASK_FS) + DC_FS_STRUCT_ROOT);
	void *files = DC_FOLLOW(task, DC_TASK_FILES);
	if (!files)
		return 0;
	void *table = DC_FOLLOW(files, DC_FILES_STRUCT_FDT);
	if (!table || (u32)descriptor >= DC_LOAD_U32(table, DC_FDTABLE_MAX_FDS))
		return 0;
	u64 slots = (u64)DC_FOLLOW(table, DC_FDTABLE_FD);
	file->object = dc_kernel_u64(slots + 8ULL * (u32)descriptor);
	return file->object && dc_fill_open_file(file, file->object + DC_FILE_F_PATH);
}

/* Whether the current task's root is that of its mounts: a path that begins with it is then whole. */
static __always_inline int dc_has_whole_paths(void *task)
{
	u64 path = (u64)DC_FOLLOW(task, DC_TASK_FS) + DC_FS_STRUCT_ROOT;
	u64 mount = dc_kernel_u64(path + DC_PATH_MNT);
	u64 dentry = dc_kernel_u64(path + DC_PATH_DENTRY);
	for (int i = 0; i < DC_ROOT_MOUNTS; i++) {
		if (dentry != dc_kernel_u64(mount + DC_VFSMOUNT_MNT_ROOT))
			return 0;
		u64 whole = mount - DC_MOUNT_MNT;
		u64 parent = dc_kernel_u64(whole + DC_MOUNT_MNT_PARENT);
		if (parent == whole || !parent)
			return 1;
		dentry = dc_kernel_u64(whole + DC_MOUNT_MNT_MOUNTPOINT);
		mount = parent + DC_MOUNT_MNT;
	}
	return 1;
}

/* What is kept of an open file that was seen before, or NULL. */
static __always_inline struct dc_named_file *dc_kept_name(const struct dc_open_file *file)
{
	struct dc_file_key key = {.object = file->object, .inode = file->inode};
	struct dc_named_file *kept = dc_named_files.lookup(&key);
	return kept && kept->self == file->self ? kept : NULL;
}

/* Whether a file that was named by its place is still there; one that was opened by its name keeps it. */
static __always_inline int dc_is_in_place(const struct dc_open_file *file, u64 place, int often)
{
	return !place || place == dc_place_stamp(file, often);
}

static __always_inline void dc_keep_name(const struct dc_open_file *file, u64 identity, u64 place)
{
	struct dc_file_key key = {.object = file->object, .inode = file->inode};
	struct dc_named_file named = {.identity = identity, .self = file->self, .place = place};
	dc_named_files.update(&key, &named);
}

/* Forget what the memory of a file that has just been opened was called before. */
static __always_inline void dc_forget_name(u64 object)
{
	struct dc_file_key key = {.object = object, .inode = dc_kernel_u64(object + DC_FILE_F_INODE)};
	dc_named_files.delete(&key);
}

/* Send where an open file is; `base` is the name that it was opened by, where this is another (DC_NAME_PLACE). */
static __always_inline u64 dc_send_location(struct dc_scratch *scratch, const struct dc_open_file *file, u32 kind,
					    u64 base)
{
	u64 super = dc_kernel_u64(file->inode + DC_INODE_I_SB);
	u64 entry = dc_named_entry(file);
	scratch->head.inode = dc_kernel_u64(file->inode + DC_INODE_I_INO);
	scratch->head.device = dc_kernel_u32(super + DC_SUPER_BLOCK_S_DEV);
	scratch->head.magic = dc_kernel_u32(super + DC_SUPER_BLOCK_S_MAGIC);
	scratch->head.flags = entry ? 0 : DC_LOCATION_DELETED;
	u32 length = dc_walk(scratch, file->mount, entry ? entry : file->dentry);
	return dc_send_name(scratch, kind, base, length);
}

/* Identity of an open file: known since it was opened, or found by its place in the tree. */
static __always_inline u64 dc_name_of(const struct dc_open_file *file)
{
	struct dc_named_file *kept = dc_kept_name(file);
	if (kept && dc_is_in_place(file, kept->place, 0))
		return kept->identity;
	struct dc_scratch *scratch = dc_take_scratch();
	if (!scratch)
		return 0;
	u64 place = dc_place_stamp(file, 0); /* before the names are read: a rename meanwhile makes it an old one */
	u64 identity = dc_send_location(scratch, file, DC_NAME_LOCATION, 0);
	dc_give_scratch(scratch);
	dc_keep_name(file, identity, place);
	return identity;
}

static __always_inline u64 dc_rename_count(void)
{
	u32 zero = 0;
	u64 *renames = dc_renames.lookup(&zero);
	return renames ? *(volatile u64 *)renames : 0;
}

/* Identity of an open file that was seen before, or 0. */
static __always_inline u64 dc_known_place(void *task, struct dc_thread *thread, int descriptor)
{
	struct dc_open_file file = {};
	if (descriptor < 0 || !dc_open_file(task, descriptor, &file))
		return 0;
	struct dc_recent *recent = &thread->recent[descriptor & (DC_RECENTS - 1)];
	u64 renames = dc_rename_count();
	if (recent->object != file.object || recent->self != file.self || recent->renames != renames) {
		struct dc_named_file *kept = dc_kept_name(&file);
		if (!kept)
			return 0;
		recent->object = file.object;
		recent->self = file.self;
		recent->place = kept->place;
		recent->renames = renames;
		recent->identity = kept->identity;
		if (*(volatile u64 *)&kept->self != file.self)
			recent->object = 0; /* the entry went to another file while it was read */
	}
	if (recent->object && dc_is_in_place(&file, recent->place, 1))
		return recent->identity;
	recent->object = 0;
	return 0;
}

#endif
