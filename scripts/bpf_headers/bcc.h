/* What bcc and the kernel's headers give the kernel side, in outline: for editors, and for the test that compiles each
 * header by itself. The product compiles with bcc, never with this. */
/* SPDX-License-Identifier: MIT */
#ifndef DC_BCC_OUTLINE_H
#define DC_BCC_OUTLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;

#define __always_inline inline __attribute__((always_inline))

struct task_struct;
struct seq_file;
struct bpf_raw_tracepoint_args {
	u64 args[6];
};

enum {
	BPF_F_NO_PREALLOC = 1,
	BPF_LOCAL_STORAGE_GET_F_CREATE = 1,
	BPF_RB_NO_WAKEUP = 1,
	BPF_RB_FORCE_WAKEUP = 2,
	BPF_RB_AVAIL_DATA = 0,
	BPF_FUNC_probe_read_user = 112,
	BPF_FUNC_probe_read_kernel = 113,
	BPF_FUNC_probe_read_user_str = 114,
	BPF_FUNC_probe_read_kernel_str = 115,
};

/* ---- maps ---- */

#define BPF_F_TABLE(kind, key_type, value_type, name, size, flags) \
	struct { \
		value_type *(*lookup)(key_type *); \
		int (*update)(key_type *, value_type *); \
		int (*insert)(key_type *, value_type *); \
		int (*delete)(key_type *); \
		char entries[(size) > 0]; \
	} name
#define BPF_TABLE(kind, key_type, value_type, name, size) BPF_F_TABLE(kind, key_type, value_type, name, size, 0)
#define BPF_HASH(name, key_type, value_type, size) BPF_F_TABLE("hash", key_type, value_type, name, size, 0)
#define BPF_ARRAY(name, value_type, size) BPF_F_TABLE("array", u32, value_type, name, size, 0)
#define BPF_PERCPU_ARRAY(name, value_type, size) BPF_F_TABLE("percpu_array", u32, value_type, name, size, 0)
#define BPF_RINGBUF_OUTPUT(name, pages) \
	struct { \
		int (*ringbuf_output)(void *, u64, u64); \
		void *(*ringbuf_reserve)(u64); \
		void (*ringbuf_submit)(void *, u64); \
		void (*ringbuf_discard)(void *, u64); \
	} name

/* ---- helpers ---- */

u64 bpf_get_attach_cookie(void *context);
u64 bpf_get_current_pid_tgid(void);
u64 bpf_get_current_task(void);
struct task_struct *bpf_get_current_task_btf(void);
u64 bpf_get_current_uid_gid(void);
u32 bpf_get_prandom_u32(void);
u64 bpf_ktime_get_ns(void);
u64 bpf_ringbuf_query(void *ring, u64 flags);
int bpf_seq_write(struct seq_file *file, const void *data, u32 size);
long bpf_send_signal(u32 number);
long bpf_task_pt_regs(struct task_struct *task);

/* ---- offsets in the kernel's structures, which kernel/structures.py has of the running kernel ---- */

#define DC_TASK_FILES 0
#define DC_TASK_FS 0
#define DC_TASK_SIGNAL 0
#define DC_TASK_TGID 0
#define DC_TASK_PID 0
#define DC_TASK_CRED 0
#define DC_TASK_REAL_CRED 0
#define DC_TASK_START_TIME 0
#define DC_TASK_START_BOOTTIME 0
#define DC_TASK_CGROUPS 0
#define DC_CRED_UID 0
#define DC_CRED_SUID 0
#define DC_CRED_GID 0
#define DC_CRED_EGID 0
#define DC_CRED_SGID 0
#define DC_CRED_CAP_PERMITTED 0
#define DC_CRED_USER_NS 0
#define DC_USER_NAMESPACE_LEVEL 0
#define DC_USER_NAMESPACE_OWNER 0
#define DC_CSS_SET_DFL_CGRP 0
#define DC_CGROUP_SELF 0
#define DC_CGROUP_KN 0
#define DC_CGROUP_SUBSYS_STATE_PARENT 0
#define DC_KERNFS_NODE_ID 0
#define DC_KERNFS_NODE_NAME 0
#define DC_CGROUP_ROOT 0
#define DC_CGROUP_ROOT_HIERARCHY_ID 0
#define DC_TASK_COMM 0
#define DC_TASK_EXIT_CODE 0
#define DC_TASK_MM 0
#define DC_TASK_SAS_SS_SP 0
#define DC_TASK_SAS_SS_SIZE 0
#define DC_TASK_UTASK 0
#define DC_TASK_SECCOMP 0
#define DC_TASK_PENDING 0
#define DC_SECCOMP_MODE 0
#define DC_SIGPENDING_SIGNAL 0
#define DC_SIGACTION_SA_HANDLER 0
#define DC_SIGACTION_SA_FLAGS 0
#define DC_CRED_EUID 0
#define DC_SIGNAL_STRUCT_LIVE 0
#define DC_FILES_STRUCT_FDT 0
#define DC_FDTABLE_FD 0
#define DC_FDTABLE_MAX_FDS 0
#define DC_FILE_F_INODE 0
#define DC_FILE_F_PATH 0
#define DC_FILE_F_OP 0
#define DC_PATH_MNT 0
#define DC_PATH_DENTRY 0
#define DC_INODE_I_INO 0
#define DC_INODE_I_SB 0
#define DC_INODE_I_MODE 0
#define DC_INODE_I_SIZE 0
#define DC_INODE_I_GENERATION 0
#define DC_INODE_I_NLINK 0
#define DC_INODE_I_DENTRY 0
#define DC_SUPER_BLOCK_S_DEV 0
#define DC_SUPER_BLOCK_S_MAGIC 0
#define DC_DENTRY_D_NAME 0
#define DC_DENTRY_D_PARENT 0
#define DC_DENTRY_D_INODE 0
#define DC_DENTRY_D_HASH 0
#define DC_DENTRY_D_U 0
#define DC_QSTR_NAME 0
#define DC_QSTR_HASH_LEN 0
#define DC_VFSMOUNT_MNT_ROOT 0
#define DC_MOUNT_MNT 0
#define DC_MOUNT_MNT_PARENT 0
#define DC_MOUNT_MNT_MOUNTPOINT 0
#define DC_FS_STRUCT_PWD 0
#define DC_FS_STRUCT_ROOT 0
#define DC_LINUX_BINPRM_FILENAME 0
#define DC_LINUX_BINPRM_FILE 0
#define DC_LINUX_BINPRM_SECUREEXEC_BIT 0
#define DC_LINUX_BINPRM_INTERP_FLAGS 0
#define DC_LINUX_BINPRM_FDPATH 0
#define DC_TASK_THREAD_INFO_STATUS 0
#define DC_MM_STRUCT_UPROBES_STATE 0
#define DC_MM_STRUCT_EXE_FILE 0
#define DC_MM_STRUCT_FLAGS 0
#define DC_MM_STRUCT_ARG_START 0
#define DC_MM_STRUCT_ARG_END 0
#define DC_MM_STRUCT_ENV_START 0
#define DC_MM_STRUCT_ENV_END 0
#define DC_UPROBES_STATE_XOL_AREA 0
#define DC_XOL_AREA_VADDR 0

#endif
