/* What the kernel side and `datacrumbs/model/record.py` agree on: records, functions, counters. */
/* SPDX-License-Identifier: GPL-2.0-only */

#define DC_PROCESS_IDS (1 << 22) /* the kernel's own limit, PID_MAX_LIMIT */
#define DC_COMPAT_CALLS 512	 /* above every number of a system call */
#define DC_REGISTERS 6
#define DC_FIELDS 2 /* of a snippet, behind the registers in dc_call.arguments */
#define DC_SLOTS 6
#define DC_FRAMES 32 /* a power of two: the verifier follows masks */
#define DC_REQUESTS 3
#define DC_NONE 0xff

/* Keeps the compiler from turning an index that was just checked into a pointer that was not. */
#define DC_OPAQUE(value) asm volatile("" : "+r"(value))

/* A length below DC_PATH_MAX, by a mask that the compiler cannot reason away. */
#define DC_BOUND_LENGTH(value) asm volatile("%0 &= 0xfff" : "+r"(value))

/* One record of the ring of calls; record.CALL. */
struct dc_record {
	u64 start;
	u64 duration;
	u32 process;
	u32 thread;
	u32 function;
	u16 flags;
	u16 error;
	s64 result;
	u64 file;
	u64 values[DC_SLOTS];
};

enum dc_flag { DC_RETURNED = 1, DC_FAILED = 2, DC_POINT = 4 };

enum dc_record_kind {
	DC_RECORD_FORK = 0xFFFFFF01,
	DC_RECORD_EXEC = 0xFFFFFF02,
	DC_RECORD_EXIT = 0xFFFFFF03,
	DC_RECORD_START = 0xFFFFFF04,
	DC_RECORD_STOP = 0xFFFFFF05,
};

/* Head of a record of the ring of names; the bytes follow. engine/ring.py. */
struct dc_name_head {
	u64 identity;
	u64 base;
	u64 inode;
	u32 device;
	u32 flags; /* enum dc_location */
	u32 magic;
	u32 kind;
	u32 length;
	u32 process;
};

enum dc_name_kind {
	DC_NAME_PATH = 1,
	DC_NAME_LOCATION = 2,
	DC_NAME_STRING = 3,
	DC_NAME_COMMAND = 4,
	DC_NAME_PLACE = 5,
};

/* Of a name that was found by walking up the tree. */
enum dc_location {
	DC_LOCATION_CUT = 1,	 /* the walk ended before the root */
	DC_LOCATION_DELETED = 2, /* no directory has the file any more, or has it yet */
};

/* A file as its inode has it. All of it together, since addresses and numbers are used again. */
struct dc_mapped_key {
	u64 inode;
	u64 number;
	u64 size;
	u32 device;
	u32 generation;
};

/* Record of the ring of mappings: what a traced process can execute from now on; engine/mappings.py. */
struct dc_mapping {
	u64 time;
	u64 address;
	u64 length;
	struct dc_mapped_key file;
	u32 process;
	u32 kind;
};

/* One file, the process's program and what the kernel maps with it, or all that the process has mapped so far. */
enum dc_mapping_kind { DC_MAPPED_FILE = 1, DC_MAPPED_PROGRAM = 2, DC_MAPPED_ALL = 3 };

/* What a function's probe does; filled by engine/function_table.py. */
struct dc_function {
	u8 source[DC_SLOTS];	    /* register of each slot, or DC_NONE */
	u8 result;		    /* enum dc_result */
	u8 snippet;		    /* number in the program, 0 for none */
	u8 request[DC_REQUESTS];    /* enum dc_request_kind */
	u8 subject[DC_REQUESTS];    /* register that the request is about */
	u8 base[DC_REQUESTS];	    /* register of the directory descriptor, or DC_NONE */
	u8 slot[DC_REQUESTS];	    /* slot that receives the identity, or DC_NONE: the call's file */
	u8 handle;		    /* register with a known handle, or DC_NONE */
	u8 out_handle;		    /* register with the address of a new handle, or DC_NONE */
	u8 flags;		    /* enum dc_function_flag */
	u8 fields;		    /* how many last slots the snippet fills */
	u8 field_size[DC_SLOTS];    /* tracepoint: bytes of the field, and DC_TEXT; usdt: enum dc_place */
	u8 scale[DC_SLOTS];	    /* usdt: of the index register, 0 for none */
	u8 width[DC_SLOTS];	    /* usdt: bytes of the value, and DC_SIGNED_VALUE; kernel function: bytes of each
				     * register that are read, 0 for none */
	u16 field_offset[DC_SLOTS]; /* tracepoint: its offset; usdt: offset in pt_regs, or bits 32 to 47 of a constant
				     */
	u16 index_offset[DC_SLOTS]; /* usdt: offset of the index register in pt_regs, or bits 48 to 63 of a constant */
	s32 displacement[DC_SLOTS]; /* usdt: added before the read, or the low half of a constant */
	u32 sample;		    /* how many of 2^32 calls get a record, where DC_SAMPLED */
	u8 moved;		    /* enum dc_moved */
	u8 moved_at;		    /* which of dc_call.arguments it is about */
	u8 closes;		    /* enum dc_closes: what becomes of `handle` */
	u8 record_bytes;	    /* tracepoint: up to the end of its last field in a slot */
};

enum dc_closes { DC_CLOSES_NOTHING, DC_CLOSES, DC_RELEASES };

enum dc_request_kind {
	DC_REQUEST_NONE,
	DC_REQUEST_DESCRIPTOR,
	DC_REQUEST_PATH,
	DC_REQUEST_STRING,
	DC_REQUEST_ROOTED_PATH, /* of openat2, whose third argument can say that `/` is the directory */
	/* The kernel side's own: */
	DC_REQUEST_KERNEL_PATH, /* at an address of the kernel */
	DC_REQUEST_FILE,	/* struct file at this address */
};
enum dc_function_flag {
	DC_HAS_RETURN = 1,
	DC_ERRNO = 2,
	DC_PROFILED = 4,
	DC_SAMPLED = 8,
	DC_PLAIN = 16,
	DC_SKIPPABLE = 32,
	DC_HELPER = 64
};
#define DC_SIGNED_VALUE 0x80
#define DC_TEXT 0x40 /* it ends at its first zero: what follows was not written */
enum dc_place { DC_PLACE_REGISTER = 1, DC_PLACE_MEMORY = 2, DC_PLACE_CONSTANT = 3 };

enum dc_result {
	DC_RESULT_BYTES,
	DC_RESULT_ITEMS,
	DC_RESULT_STATUS,
	DC_RESULT_FD,
	DC_RESULT_OFFSET,
	DC_RESULT_HANDLE,
	DC_RESULT_POINTER,
	DC_RESULT_MAPPING,
	DC_RESULT_CODE,
	DC_RESULT_NEGATIVE,
	DC_RESULT_VALUE,
	DC_RESULT_VOID,
};

/* Where the bytes that a call moved are: its result, the result times an argument, an argument. */
enum dc_moved { DC_MOVED_NONE, DC_MOVED_RESULT, DC_MOVED_ITEMS, DC_MOVED_ARGUMENT };

/* Conservation of one function's calls; engine/counters.py. */
struct dc_count {
	u64 entered;
	u64 recorded;
	u64 ceiling; /* of `recorded`, where the guard is asked again; no count */
	u64 filtered;
	u64 unmatched;
	u64 ring_full;
	u64 too_deep;
	u64 no_memory;
	u64 sampled;
	u64 profiled;
	u64 guarded;
	u64 helper;
};

/* What calls without records of their own are added up by; record.PROFILE. */
struct dc_profile_key {
	u64 file;
	u32 process;
	u32 function;
	u32 epoch;
	u32 cause; /* enum dc_cause */
};

enum dc_cause { DC_CAUSE_PROFILE, DC_CAUSE_GUARD };

#define DC_BUCKETS 64

/* Inverse numbers are kept of minima, so that all start at zero and only rise. */
struct dc_profile {
	u64 count;
	u64 errors;
	u64 bytes;
	u64 time;
	u64 longest;
	u64 inverse_shortest;
	u64 inverse_first;
	u64 last;
	u32 times[DC_BUCKETS]; /* by the number of bits of the nanoseconds */
	u32 sizes[DC_BUCKETS]; /* by the number of bits of the bytes */
};

/* How much a function, or all of them, asked for in an interval. */
struct dc_guard {
	u64 interval;
	u64 used;
	u64 before;
	u64 degraded;
};

/* What is counted for the run as a whole. */
enum dc_total {
	DC_TOTAL_NAMES_LOST,	/* ring of names full */
	DC_TOTAL_NAMES_UNREAD,	/* memory of the string not readable, at entry and at return */
	DC_TOTAL_NAMES_BUSY,	/* no scratch left on this processor */
	DC_TOTAL_EVENTS_LOST,	/* a process event did not fit the ring */
	DC_TOTAL_RETURNS,	/* returns whose entry was before the run */
	DC_TOTAL_COMPAT,	/* system calls of 32-bit programs that no function of the plan stands for */
	DC_TOTAL_HANDLES_LOST,	/* table of handles refused an entry */
	DC_TOTAL_FIELDS_UNREAD, /* a snippet or probe could not read user memory */
	DC_TOTAL_PROFILES_LOST, /* counted calls that are in no profile, since the table of profiles was full */
	DC_TOTAL_MAPPINGS_LOST, /* a mapped file that was not looked at, since the ring of mappings was full */
	DC_TOTALS,
};

/* A call in progress. */
struct dc_call {
	u64 arguments[DC_REGISTERS + DC_FIELDS];
	u64 names[DC_REQUESTS];
	u64 start;
	u64 stack;
	u64 file;
	s64 result;
	u32 function;
	u16 number; /* of a system call, as the kernel has it while the call goes on */
	u8 pending; /* requests whose string could not be read at the entry */
	u8 active;  /* of enum dc_active; 0 for none */
};

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
