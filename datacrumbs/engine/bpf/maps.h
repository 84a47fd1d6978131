/* The maps of the program. Those of size DC_SIZED get their size when they are made: engine/source.py. */
/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DC_MAPS_H
#define DC_MAPS_H

#include "layout.h"

#define DC_SIZED 1

/* bcc makes each map when it compiles. One of this kind needs the type of its value, which is in the debug information
 * alone, and without that a program compiles in three quarters of the time. So for bcc it is another kind of map; what
 * it is in the end is said in engine/compiler.py. */
#define DC_TASK_STORAGE(_name, _leaf) \
	struct _name##_table_t { \
		int key; \
		_leaf leaf; \
		void *(*task_storage_get)(void *, void *, int); \
		u32 max_entries; \
		u32 flags; \
	}; \
	__attribute__((section("maps/hash"))) struct _name##_table_t _name = {.flags = BPF_F_NO_PREALLOC, \
									      .max_entries = 1}

BPF_RINGBUF_OUTPUT(dc_calls, DC_SIZED);
BPF_RINGBUF_OUTPUT(dc_name_ring, DC_SIZED);
BPF_ARRAY(dc_functions, struct dc_function, DC_SIZED);
BPF_PERCPU_ARRAY(dc_counts, struct dc_count, DC_SIZED);
BPF_ARRAY(dc_totals, u64, DC_TOTALS);
BPF_ARRAY(dc_system_calls, u32, 2 * DC_COMPAT_CALLS); /* number -> function + 1; from the middle on of 32-bit calls */
BPF_ARRAY(dc_settings, u64, DC_SETTINGS);
BPF_HASH(dc_run_names, struct dc_run_name, u8, 8);     /* by which marks may name this run */
BPF_HASH(dc_group_names, struct dc_group_name, u8, 8); /* groups that are waited for */
BPF_HASH(dc_wanted, u32, u64, 1024);		       /* processes to take, and when they began, in ticks */
BPF_ARRAY(dc_asks, u64, 1);			       /* how often the run was asked for a process */
BPF_ARRAY(dc_traced, u64, DC_PROCESS_IDS / 64);	       /* one bit for each process id */
BPF_ARRAY(dc_stops, u64, 1);			       /* how often a process that lives on was unmarked */
BPF_TABLE("lru_hash", u32, u64, dc_started, 32768);    /* when a process was marked last, in ns */
DC_TASK_STORAGE(dc_threads, struct dc_thread);
BPF_F_TABLE("hash", struct dc_profile_key, struct dc_profile_sums, dc_profiles, DC_SIZED, BPF_F_NO_PREALLOC);
BPF_ARRAY(dc_empty_profile, struct dc_profile_sums, 1);
BPF_ARRAY(dc_guards, struct dc_guard, DC_SIZED); /* the first: of all functions */

/* A process that the run's user asks for, when it began, in ticks, and what became of it. */
struct dc_asked {
	u64 began;
	u64 outcome; /* enum dc_take */
};
BPF_TABLE("lru_hash", u32, struct dc_asked, dc_asked, 1024);

/* An open file or a directory, and the name it is known by while its stamps are the same; open_files.h. */
struct dc_file_key {
	u64 object;
	u64 inode;
};
struct dc_named_file {
	u64 identity;
	u64 self;
	u64 place; /* 0 where it is known by the name it was opened with */
};
BPF_TABLE("lru_hash", struct dc_file_key, struct dc_named_file, dc_named_files, 65536);

BPF_ARRAY(dc_losses, u64, 1);  /* how many calls were lost, of all functions */
BPF_ARRAY(dc_renames, u64, 1); /* how often an open file got another name */

/* A handle of a program, and the file of the call that made it; handles.h. */
struct dc_handle_key {
	u64 handle;
	u32 owner;
	u32 version; /* 0 for what it is now, else one more than the version from which on it was that */
};
struct dc_handle {
	u64 identity; /* 0 for none */
	u32 version;
	u32 earlier;
};
BPF_TABLE("lru_hash", struct dc_handle_key, struct dc_handle, dc_handles, DC_SIZED);

/* Who has handles: processes by numbers that are never used again. */
struct dc_owner {
	u32 number;
	u32 version;
	u32 inherits;
	u32 partial; /* it may have handles that were made before it was traced */
};
struct dc_ancestor {
	u32 owner;
	u32 version;
};
BPF_TABLE("lru_hash", u32, struct dc_owner, dc_owners, 32768);
BPF_TABLE("lru_hash", u32, struct dc_ancestor, dc_ancestors, 65536);
BPF_ARRAY(dc_owners_made, u64, 1);

/* Identities whose bytes were sent. */
BPF_TABLE("lru_hash", u64, u8, dc_names, 65536);

#ifdef DC_WITH_LATE
BPF_RINGBUF_OUTPUT(dc_mapping_ring, DC_SIZED);
BPF_TABLE("lru_hash", struct dc_mapped_key, u8, dc_mapped, 16384); /* files that were reported */
#endif

#if defined(DC_WITH_TRACEPOINT) || defined(DC_WITH_KPROBE)
/* Whom a processor serves interrupts in; 0 for none. */
struct dc_interrupted_tasks {
	u64 hard;
	u64 soft;
};
BPF_PERCPU_ARRAY(dc_interrupted_tasks, struct dc_interrupted_tasks, 1);
#endif

#define DC_PATH_MAX 4096
#define DC_COMPONENT_MAX 256
struct dc_scratch {
	u64 in_use;
	struct dc_name_head head;
	union {
		char bytes[DC_PATH_MAX + DC_COMPONENT_MAX];
		u64 words[(DC_PATH_MAX + DC_COMPONENT_MAX) / 8];
	};
};

/* Probes in user programs can be preempted by others on the same processor, in any order, so each
 * piece of scratch says itself whether it is in use. */
#define DC_SCRATCHES 8
BPF_PERCPU_ARRAY(dc_scratches, struct dc_scratch, DC_SCRATCHES);

/* What iterators over tasks get, for each of them and at the end. */
struct dc_iteration_meta {
	struct seq_file *file;
};

struct dc_iteration {
	struct dc_iteration_meta *meta;
	struct task_struct *task;
};

#define DC_COUNT(count, member) __sync_fetch_and_add(&(count)->member, 1)

/* A call is lost: counted for its function, and once more, so that user space sees at a glance whether any is. */
#define DC_LOSE(count, member) \
	do { \
		DC_COUNT(count, member); \
		dc_count_loss(); \
	} while (0)

static __always_inline void dc_count_loss(void)
{
	u32 zero = 0;
	u64 *losses = dc_losses.lookup(&zero);
	if (losses)
		__sync_fetch_and_add(losses, 1);
}

static __always_inline void dc_total(u32 which)
{
	u64 *total = dc_totals.lookup(&which);
	if (total)
		__sync_fetch_and_add(total, 1);
}

/* The word of dc_traced with a process's bit. */
static __always_inline u64 *dc_marks(u32 process)
{
	u32 which = process / 64;
	return dc_traced.lookup(&which);
}

static __always_inline int dc_is_traced(u32 process)
{
	u64 *marks = dc_marks(process);
	return marks && *marks >> (process & 63) & 1;
}

static __always_inline void dc_mark(u32 process)
{
	u64 *marks = dc_marks(process);
	if (marks)
		__sync_fetch_and_or(marks, 1ULL << (process & 63));
}

static __always_inline void dc_unmark(u32 process)
{
	u64 *marks = dc_marks(process);
	if (marks)
		__sync_fetch_and_and(marks, ~(1ULL << (process & 63)));
}

static __always_inline struct dc_scratch *dc_take_numbered_scratch(u32 *number)
{
	for (u32 i = 0; i < DC_SCRATCHES; i++) {
		u32 which = i;
		struct dc_scratch *scratch = dc_scratches.lookup(&which);
		if (scratch && !__sync_val_compare_and_swap(&scratch->in_use, 0, 1)) {
			*number = i;
			return scratch;
		}
	}
	dc_total(DC_TOTAL_NAMES_BUSY);
	return NULL;
}

static __always_inline struct dc_scratch *dc_take_scratch(void)
{
	u32 number;
	return dc_take_numbered_scratch(&number);
}

static __always_inline void dc_give_scratch(struct dc_scratch *scratch)
{
	__sync_lock_test_and_set(&scratch->in_use, 0);
}

#endif
