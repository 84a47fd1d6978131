/* Strings and open files to identities: hashed here, sent once, referred to by calls. */
/* SPDX-License-Identifier: GPL-2.0-only */

#define DC_CURRENT_DIRECTORY (-100)
#define DC_MIX 0x9E3779B97F4A7C15ULL
#define DC_WALK_STEPS 64

/* A pointer member of a structure whose type the verifier knows: a plain load, no helper. */
#define DC_FOLLOW(structure, offset) (*(void **)((structure) + (offset)))
#define DC_LOAD_U32(structure, offset) (*(u32 *)((u8 *)(structure) + (offset)))

/* Words of the kernel's memory, mostly fields of structures at offsets that vmlinux BTF gave; a bad address reads as 0.
 * Where the kernel can cast (engine/btf.py), these are plain loads as well: of a structure that begins with an integer.
 */
#ifdef DC_TYPE_TIMESPEC64
/* A number that the loader takes for that of the kernel's function; engine/loader.py. */
static void *(*dc_cast)(u64 address, u32 type) = (void *)0x70000002;
#define DC_READ_KERNEL(value, address) ((value) = *(typeof(value) *)dc_cast(address, DC_TYPE_TIMESPEC64))
#else
#define DC_READ_KERNEL(value, address) bpf_probe_read_kernel(&(value), sizeof(value), (void *)(address))
#endif

static __always_inline u64 dc_kernel_u64(u64 address)
{
	u64 value = 0;
	DC_READ_KERNEL(value, address);
	return value;
}

static __always_inline u32 dc_kernel_u32(u64 address)
{
	u32 value = 0;
	DC_READ_KERNEL(value, address);
	return value;
}

/* Hash whole blocks of words; the bytes behind the last one are cleared first. */
#define DC_HASH_WORDS 8
static __always_inline u64 dc_hash(struct dc_scratch *scratch, u64 length, u64 seed)
{
	u64 hash = seed ^ (length * DC_MIX);
	u64 *tail = &scratch->words[length / 8];
	tail[0] &= (1ULL << ((length & 7) * 8)) - 1;
#pragma unroll
	for (int i = 1; i < DC_HASH_WORDS; i++)
		tail[i] = 0;
	for (u32 at = 0; at < DC_PATH_MAX / 8; at += DC_HASH_WORDS) {
		if (at * 8 >= length)
			break;
#pragma unroll
		for (int i = 0; i < DC_HASH_WORDS; i++) {
			hash = (hash ^ scratch->words[at + i]) * DC_MIX;
			hash ^= hash >> 29;
		}
	}
	return hash ? hash : 1;
}

/* Send the scratch's bytes unless they were sent; its head says what they are. */
static __always_inline u64 dc_send_name(struct dc_scratch *scratch, u32 kind, u64 base, u64 length)
{
	DC_BOUND_LENGTH(length);
	scratch->head.length = length;
	u64 seed = kind * DC_MIX ^ base ^ (scratch->head.inode << 20) ^ scratch->head.device;
	u64 identity = dc_hash(scratch, length, seed);
	u8 one = 1;
	if (dc_names.lookup(&identity))
		return identity;
	scratch->head.identity = identity;
	scratch->head.base = base;
	scratch->head.kind = kind;
	scratch->head.process = bpf_get_current_pid_tgid() >> 32;
	length = *(volatile u32 *)&scratch->head.length; /* one state for the verifier, not one per block */
	DC_BOUND_LENGTH(length);
	if (dc_name_ring.ringbuf_output(&scratch->head, sizeof(scratch->head) + length, BPF_RB_NO_WAKEUP)) {
		dc_total(DC_TOTAL_NAMES_LOST);
		return identity;
	}
	dc_names.update(&identity, &one);
	return identity;
}

/* Collect the components of a path from the leaf to the root, each ending in NUL, across mounts.
 * The length lives in memory, so that the verifier need not tell its many values apart. */
static __always_inline u32 dc_walk(struct dc_scratch *scratch, u64 mount, u64 dentry)
{
	scratch->head.length = 0;
	for (int i = 0; i < DC_WALK_STEPS; i++) {
		if (dentry == dc_kernel_u64(mount + DC_VFSMOUNT_MNT_ROOT)) {
			u64 whole = mount - DC_MOUNT_MNT;
			u64 parent = dc_kernel_u64(whole + DC_MOUNT_MNT_PARENT);
			if (parent == whole || !parent)
				break;
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
		if (up == dentry || !up)
			break;
		dentry = up;
	}
	return scratch->head.length;
}

struct dc_open_file {
	u64 object; /* struct file, or struct dentry of a directory */
	u64 inode;
	u64 mount;
	u64 dentry;
};

/* The open file behind a descriptor of the current task, or its current directory. */
static __always_inline int dc_open_file(void *task, int descriptor, struct dc_open_file *file)
{
	u64 path;
	if (descriptor == DC_CURRENT_DIRECTORY) {
		path = (u64)DC_FOLLOW(task, DC_TASK_FS) + DC_FS_STRUCT_PWD;
		file->dentry = dc_kernel_u64(path + DC_PATH_DENTRY);
		file->object = file->dentry;
		file->inode = dc_kernel_u64(file->dentry + DC_DENTRY_D_INODE);
	} else {
		void *files = DC_FOLLOW(task, DC_TASK_FILES);
		if (!files)
			return 0;
		void *table = DC_FOLLOW(files, DC_FILES_STRUCT_FDT);
		if (!table || (u32)descriptor >= DC_LOAD_U32(table, DC_FDTABLE_MAX_FDS))
			return 0;
		u64 slots = (u64)DC_FOLLOW(table, DC_FDTABLE_FD);
		file->object = dc_kernel_u64(slots + 8ULL * (u32)descriptor);
		if (!file->object)
			return 0;
		path = file->object + DC_FILE_F_PATH;
		file->dentry = 0;
		file->inode = dc_kernel_u64(file->object + DC_FILE_F_INODE);
	}
	file->mount = path;
	return file->inode != 0;
}

/* Identity of an open file: known since it was opened, or found by its place in the tree. */
static __always_inline u64 dc_place(int descriptor)
{
	struct dc_open_file file = {};
	if (!dc_open_file((void *)bpf_get_current_task_btf(), descriptor, &file))
		return 0;
	struct dc_place_key key = {.object = file.object, .inode = file.inode};
	u64 *known = dc_places.lookup(&key);
	if (known)
		return *known;
	struct dc_scratch *scratch = dc_take_scratch();
	if (!scratch)
		return 0;
	u64 path = file.mount;
	u64 super = dc_kernel_u64(file.inode + DC_INODE_I_SB);
	scratch->head.inode = dc_kernel_u64(file.inode + DC_INODE_I_INO);
	scratch->head.mode = dc_kernel_u32(file.inode + DC_INODE_I_MODE) & 0xffff;
	scratch->head.device = dc_kernel_u32(super + DC_SUPER_BLOCK_S_DEV);
	scratch->head.magic = dc_kernel_u32(super + DC_SUPER_BLOCK_S_MAGIC);
	u32 length = dc_walk(scratch, dc_kernel_u64(path + DC_PATH_MNT), dc_kernel_u64(path + DC_PATH_DENTRY));
	u64 identity = dc_send_name(scratch, DC_NAME_LOCATION, 0, length);
	dc_give_scratch(scratch);
	dc_places.update(&key, &identity);
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
	if (recent->object == file.object && recent->inode == file.inode && recent->renames == renames)
		return recent->identity;
	struct dc_place_key key = {.object = file.object, .inode = file.inode};
	u64 *known = dc_places.lookup(&key);
	if (!known)
		return 0;
	recent->object = file.object;
	recent->inode = file.inode;
	recent->renames = renames;
	recent->identity = *known;
	return *known;
}

/* From now on the file behind a new descriptor is known by the name it was opened with. */
static __always_inline void dc_bind_descriptor(int descriptor, u64 identity)
{
	struct dc_open_file file = {};
	if (!dc_open_file((void *)bpf_get_current_task_btf(), descriptor, &file))
		return;
	struct dc_place_key key = {.object = file.object, .inode = file.inode};
	u64 *known = dc_places.lookup(&key);
	int renamed = known && *known != identity;
	dc_places.update(&key, &identity);
	u32 zero = 0;
	u64 *renames = dc_renames.lookup(&zero);
	if (renames && renamed)
		__sync_fetch_and_add(renames, 1);
}

static __always_inline void dc_bind_handle(u64 handle, u64 identity)
{
	struct dc_handle_key key = {.handle = handle, .process = bpf_get_current_pid_tgid() >> 32};
	if (dc_handles.update(&key, &identity))
		dc_total(DC_TOTAL_HANDLES_LOST);
}

static __always_inline u64 dc_file_of_handle(u64 handle)
{
	struct dc_handle_key key = {.handle = handle, .process = bpf_get_current_pid_tgid() >> 32};
	u64 *identity = dc_handles.lookup(&key);
	return identity ? *identity : 0;
}

/* One request of a call: a descriptor, a path or another string, to an identity. Returns 0 when
 * it cannot be read yet (the page is not there at the entry; it is at the return). */
static __always_inline u64 dc_resolve(u32 kind, u64 subject, int base)
{
	struct dc_scratch *scratch = NULL;
	u32 length = 0;
	if (kind == DC_REQUEST_DESCRIPTOR) {
		base = (int)subject;
	} else {
		scratch = dc_take_scratch();
		if (!scratch)
			return 0;
		scratch->head.inode = 0;
		scratch->head.device = 0;
		scratch->head.mode = 0;
		scratch->head.magic = 0;
		long read = bpf_probe_read_user_str(scratch->bytes, DC_PATH_MAX, (void *)subject);
		scratch->head.length = read;
		length = scratch->head.length;
		if (length == 0 || length > DC_PATH_MAX) {
			dc_give_scratch(scratch);
			return 0;
		}
		length--;
	}
	u64 place = 0;
	if (!scratch || (kind == DC_REQUEST_PATH && (length == 0 || scratch->bytes[0] != '/')))
		place = dc_place(base);
	if (!scratch)
		return place;
	u64 identity = place;
	if (kind == DC_REQUEST_STRING || length)
		identity =
			dc_send_name(scratch, kind == DC_REQUEST_PATH ? DC_NAME_PATH : DC_NAME_STRING, place, length);
	dc_give_scratch(scratch);
	return identity;
}

/* The same as a function of its own, which the verifier follows once for a program and not again on each
 * way that leads here. bcc has no such calls: it takes the function for one more program, and
 * engine/loader.py joins it to those that call this number. */
struct dc_request {
	u64 subject;
	u64 identity;
	u32 kind;
	s32 base;
};

#define DC_CALL_RESOLVE ((int (*)(struct dc_request *))0x70000011)

int dc_resolve_request(struct dc_request *request)
{
	if (request)
		request->identity = dc_resolve(request->kind, request->subject, request->base);
	return 0;
}
