/*
 * What C and Python agree on: layouts, numbers and limits of what passes between the kernel side (engine/bpf), the
 * library that writes lines (trace/src) and Python.
 *
 * This file is the source. model/contract.py and layouts.py are generated from it by scripts/contract.py; `make lint`
 * and the tests fail where they are not current. Numbers are enumerators, so that debug information names them.
 * A trailing underscore is not part of a name: the name alone means something else in C.
 */
/* SPDX-License-Identifier: MIT */
#ifndef DC_CONTRACT_H
#define DC_CONTRACT_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif

/* ---- runs ---- */

enum {
	DC_RUN_ID_LONGEST = 64,
	DC_RUN_NAME_SIZE = 72, /* with the zero; an id in Flux's own form is a byte longer */
};

/* The name by which a mark means a run, filled up with zeros. */
struct dc_run_name {
	char bytes[DC_RUN_NAME_SIZE];
};

enum {
	DC_GROUP_NAME_SIZE = 96, /* with the zero */
};

/* A control group that does not exist yet: its parent's name and its own, filled up with zeros. */
struct dc_group_name {
	char parent[DC_GROUP_NAME_SIZE];
	char name[DC_GROUP_NAME_SIZE];
};

/* ---- records ---- */

enum {
	DC_SLOTS = 6, /* values in a record, which are also the recorded arguments of a function */
	DC_BUCKETS = 64,
	DC_LAYERS = 55, /* layers that are told apart in the kernel */
};

/* A call, or an event in the life of a process; one record of the ring of calls. */
struct dc_record {
	uint64_t start;	   /* CLOCK_MONOTONIC, ns */
	uint64_t duration; /* ns; 0 for a point event */
	uint32_t process;  /* thread-group id, as the initial pid namespace numbers it */
	uint32_t thread;
	uint32_t function; /* position in Plan.functions, or enum dc_record_kind */
	uint8_t flags;	   /* enum dc_call_flag */
	uint8_t depth;	   /* calls of the thread that are open around it and get records of their own */
	uint16_t errno_;   /* 0 when unknown or none */
	int64_t result;
	uint64_t file;		   /* identity of a name, or 0 */
	uint64_t values[DC_SLOTS]; /* raw registers, in the order of Function.arguments; last the fields of a snippet */
};

enum dc_call_flag {
	DC_RETURNED = 1, /* result and duration are known */
	DC_FAILED = 2,	 /* the result means failure, by Function.result */
	DC_POINT = 4,	 /* an instant, not an interval */
	DC_NESTED = 8,	 /* one of the calls around it is of its layer */
};

/* Values of `function` that are no function. */
enum dc_record_kind {
	DC_RECORD_FORK = 0xFFFFFF01,  /* process = parent, values[0] = child, start = time */
	DC_RECORD_EXEC = 0xFFFFFF02,  /* file = name of the executable; values[0] = its DC_NAME_ENVIRONMENT, values[1] =
				       * its  DC_NAME_COMMAND_LINE, 0 where it is not known */
	DC_RECORD_EXIT = 0xFFFFFF03,  /* result = exit status as wait(2) has it */
	DC_RECORD_START = 0xFFFFFF04, /* tracing of this process began (datacrumbs_start); values as of EXEC */
	DC_RECORD_STOP = 0xFFFFFF05,  /* tracing of this process ended (datacrumbs_stop) */
};

enum { DC_FIRST_KIND = 0xFFFFFF00 };

/* ---- names ---- */

/* Head of a record of the ring of names; the bytes follow. */
struct dc_name_head {
	uint64_t identity;
	uint64_t base;
	uint64_t inode;
	uint32_t device;
	uint32_t flags; /* enum dc_location_flag */
	uint32_t magic;
	uint32_t kind; /* enum dc_name_kind */
	uint32_t length;
	uint32_t process;
};

/* What the bytes of a name are. */
enum dc_name_kind {
	DC_NAME_PATH = 1,     /* as the program passed it; relative ones start from `base` */
	DC_NAME_LOCATION = 2, /* an open file or directory, absolute or cut, found through the kernel */
	DC_NAME_STRING = 3,   /* anything else */
	DC_NAME_COMMAND = 4,  /* a process's comm */
	DC_NAME_PLACE =
		5, /* where a file was, as a location, that was opened by the path `base`, which is another name */
	DC_NAME_ENVIRONMENT =
		6, /* variables that say which rank of which job a process is, each with a zero behind it */
	DC_NAME_COMMAND_LINE = 7, /* of a program, each with a zero behind it, as far as they fit; `base` is the bytes
				     of all of them */
};

/* Of a name that was found by walking up the tree. */
enum dc_location_flag {
	DC_LOCATION_CUT = 1,	 /* the walk ended before the root */
	DC_LOCATION_DELETED = 2, /* no directory has the file any more, or has it yet */
};

/* ---- mapped files ---- */

/* A file as its inode has it. All of it together, since addresses and numbers are used again. */
struct dc_mapped_key {
	uint64_t inode;
	uint64_t number;
	uint64_t size;
	uint32_t device;
	uint32_t generation;
};

/* Record of the ring of mappings: what a traced process can execute from now on. */
struct dc_mapping {
	uint64_t time; /* CLOCK_MONOTONIC, ns */
	uint64_t address;
	uint64_t length;
	struct dc_mapped_key file;
	uint32_t process;
	uint32_t kind; /* enum dc_mapping_kind */
};

enum dc_mapping_kind {
	DC_MAPPED_FILE = 1,    /* by mmap(2) */
	DC_MAPPED_PROGRAM = 2, /* by execve(2): the program, and what the kernel maps with it */
	DC_MAPPED_ALL = 3,     /* whatever is mapped when the tracing of a process begins */
	DC_MAPPED_TAKEN = 4,   /* the same of a process that did not begin it itself */
};

/* ---- what a function's probe does ---- */

enum {
	DC_REGISTERS = 6,
	DC_SNIPPET_FIELDS = 2, /* behind the registers in dc_call.arguments */
	DC_REQUESTS = 3,
	DC_NONE = 0xff,
	DC_TRACEPOINT_BYTES = 128, /* of a record that are read; a power of two */
	DC_COMPAT_CALLS = 512,	   /* above every number of a system call */
	DC_TEXT_VALUE = 0x40,	   /* it ends at its first zero: what follows was not written */
	DC_SIGNED_VALUE = 0x80,
};

/* A row of the table of functions; filled by engine/function_table.py. */
struct dc_function {
	uint8_t source[DC_SLOTS];     /* register of each slot, or DC_NONE */
	uint8_t result;		      /* enum dc_result_kind */
	uint8_t snippet;	      /* number in the program, 0 for none */
	uint8_t request[DC_REQUESTS]; /* enum dc_request_kind */
	uint8_t subject[DC_REQUESTS]; /* register that the request is about */
	uint8_t base[DC_REQUESTS];    /* register of the directory descriptor, or DC_NONE */
	uint8_t slot[DC_REQUESTS];    /* slot that receives the identity, or DC_NONE: the call's file */
	uint8_t handle;		      /* register with a known handle, or DC_NONE */
	uint8_t out_handle;	      /* register with the address of a new handle, or DC_NONE */
	uint8_t flags;		      /* enum dc_function_flag */
	uint8_t fields;		      /* how many last slots the snippet fills */
	uint8_t field_size[DC_SLOTS]; /* tracepoint: bytes of the field, and DC_TEXT_VALUE; usdt: enum dc_operand_kind
				       */
	uint8_t scale[DC_SLOTS];      /* usdt: of the index register, 0 for none */
	uint8_t width[DC_SLOTS];      /* usdt: bytes of the value, and DC_SIGNED_VALUE; kernel function: bytes of each
				       * register that are read, 0 for none */
	uint16_t field_offset[DC_SLOTS]; /* tracepoint: its offset; usdt: offset in pt_regs, or bits 32 to 47 of a
					  * constant */
	uint16_t index_offset[DC_SLOTS]; /* usdt: offset of the index register in pt_regs, or bits 48 to 63 of a
					  * constant */
	uint8_t counts;			 /* 1 where calls get records of their own, and calls inside them are deeper */
	uint8_t layer;			 /* number of the category, from 1 on; 0 for none, and where `counts` is 0 */
	int32_t displacement[DC_SLOTS];	 /* usdt: added before the read, or the low half of a constant */
	uint32_t sample;		 /* how many of 2^32 calls get a record, where DC_SAMPLED */
	uint8_t moved;			 /* enum dc_moved */
	uint8_t moved_at;		 /* which of dc_call.arguments it is about */
	uint8_t closes;			 /* enum dc_closes: what becomes of `handle` */
	uint8_t record_bytes;		 /* tracepoint: up to the end of its last field in a slot */
};

enum dc_function_flag {
	DC_HAS_RETURN = 1,
	DC_ERRNO = 2,
	DC_PROFILED = 4,
	DC_SAMPLED = 8,
	DC_PLAIN = 16,
	DC_SKIPPABLE = 32,
	DC_HELPER = 64,
};

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

enum { DC_REQUEST_START_KNOWN = 1 << 7 }; /* beside the kind */

enum dc_operand_kind {
	DC_OPERAND_REGISTER = 1,
	DC_OPERAND_MEMORY = 2,
	DC_OPERAND_CONSTANT = 3,
};

/* By the names of plan.Result. */
enum dc_result_kind {
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

/* When a handle is given back: at the entry, or at a return without failure. */
enum dc_closes { DC_CLOSES_NOTHING, DC_CLOSES_AT_ENTRY, DC_CLOSES_AT_RETURN };

/* ---- settings and counters of the kernel side ---- */

enum dc_setting {
	DC_SETTING_OWNER,
	DC_SETTING_GROUP, /* inode number of the control group whose processes are taken; 0 for none */
	DC_SETTING_MINIMUM_DURATION,
	DC_SETTING_EPOCH,	    /* of the profiles that calls are added to */
	DC_SETTING_UNNAMED,	    /* whether marks that name no run are taken */
	DC_SETTING_WITHIN,	    /* whether marks are taken in the group only, once it is there */
	DC_SETTING_MAKER,	    /* the user, besides root, whose group may be the run's; 0 for none */
	DC_SETTING_COMMAND_LINES,   /* whether the arguments of programs are read */
	DC_SETTING_WAKE,	    /* bytes in the ring from which on its reader is woken */
	DC_SETTING_GUARD_SHARE,	    /* calls that a processor may record before it asks again */
	DC_SETTING_GUARD_FUNCTION,  /* calls of a function in an interval */
	DC_SETTING_GUARD_TOTAL,	    /* calls of all functions in an interval */
	DC_SETTING_GUARD_RING_HIGH, /* bytes in the ring from which on functions are degraded */
	DC_SETTING_GUARD_RING_LOW,  /* bytes in the ring up to which they recover */
};

enum {
	DC_SETTINGS = DC_SETTING_GUARD_RING_LOW + 1,
	DC_GUARD_SHIFT = 27, /* an interval in which the guard counts is 2^27 ns, 134 ms */
};

/* What became of a running process that was to be traced. */
enum dc_take {
	DC_TAKE_TAKEN,
	DC_TAKE_TRACED,	    /* it was before */
	DC_TAKE_ANOTHER,    /* another process has its number by now */
	DC_TAKE_FOREIGN,    /* it is not the run's user's, by one of its user ids */
	DC_TAKE_PRIVILEGED, /* it has capabilities or group ids that its user has not */
	DC_TAKE_CLOSED,	    /* its memory is not open to its user */
	DC_TAKE_ENDED,
	DC_TAKE_ASKED, /* the run has been asked for it, and has not looked yet */
};

/* A run answers a process that asks (datacrumbs_ask) by a signal: this one, or one of those behind it, each an
 * enum dc_take. */
enum { DC_ANSWER_SIGNAL = 40, DC_ANSWERS = DC_TAKE_ASKED + 1 };

struct dc_taken {
	uint32_t process;
	uint32_t outcome; /* enum dc_take */
};

/* Conservation of one function's calls. */
struct dc_count {
	uint64_t entered;
	uint64_t recorded;
	uint64_t ceiling; /* of `recorded`, where the guard is asked again; no count */
	uint64_t filtered;
	uint64_t unmatched;
	uint64_t ring_full;
	uint64_t too_deep;
	uint64_t no_memory;
	uint64_t sampled;
	uint64_t profiled;
	uint64_t guarded;
	uint64_t helper;
};

/* What is counted for the run as a whole. */
enum dc_total {
	DC_TOTAL_NAMES_LOST,		/* ring of names full */
	DC_TOTAL_NAMES_UNREAD,		/* memory of the string not readable, at entry and at return */
	DC_TOTAL_NAMES_BUSY,		/* no scratch left on this processor */
	DC_TOTAL_EVENTS_LOST,		/* a process event did not fit the ring */
	DC_TOTAL_RETURNS_WITHOUT_ENTRY, /* returns whose entry was before the run */
	DC_TOTAL_COMPAT_CALLS,		/* system calls of 32-bit programs that no function of the plan describes */
	DC_TOTAL_HANDLES_LOST,		/* table of handles refused an entry */
	DC_TOTAL_HANDLES_UNKNOWN, /* calls on handles without a known file, in a process traced while it ran already */
	DC_TOTAL_FIELDS_UNREAD,	  /* a snippet or probe could not read user memory */
	DC_TOTAL_PROFILES_LOST,	  /* counted calls that are in no profile, since the table of profiles was full */
	DC_TOTAL_MAPPINGS_LOST,	  /* a mapped file that was not looked at, since the ring of mappings was full */
};

enum { DC_TOTALS = DC_TOTAL_MAPPINGS_LOST + 1 };

/* What calls without records of their own are added up by. */
struct dc_profile_key {
	uint64_t file;
	uint32_t process;
	uint32_t function;
	uint32_t epoch;
	uint32_t cause; /* enum dc_profile_cause */
};

/* Why calls were added up and not recorded one by one. */
enum dc_profile_cause {
	DC_CAUSE_PROFILE, /* the function's mode */
	DC_CAUSE_GUARD,	  /* it was called too often */
};

/* Inverse numbers are kept of minima, so that all start at zero and only rise. */
struct dc_profile_sums {
	uint64_t count;
	uint64_t errors;
	uint64_t bytes;
	uint64_t time;
	uint64_t longest;
	uint64_t inverse_shortest;
	uint64_t inverse_first;
	uint64_t last;
	uint32_t times[DC_BUCKETS]; /* by the number of bits of the nanoseconds */
	uint32_t sizes[DC_BUCKETS]; /* by the number of bits of the bytes */
};

/* ---- functions that programs call by a number which no helper has; engine/loader.py puts the right one in ---- */

/* The kernel's, by their names. */
enum dc_kernel_function {
	DC_BPF_SESSION_IS_RETURN = 0x70000001,
	DC_BPF_RDONLY_CAST = 0x70000002,
	DC_BPF_ITER_NUM_NEW = 0x70000003,
	DC_BPF_ITER_NUM_NEXT = 0x70000004,
	DC_BPF_ITER_NUM_DESTROY = 0x70000005,
};

/* The kernel side's own, by their names. Each has one argument, a pointer to one of the structures below. */
enum dc_own_function {
	DC_OWN_RESOLVE_REQUEST = 0x70000011,
	DC_OWN_ADD_VECTOR = 0x70000012,
	DC_OWN_BIND_OPENED = 0x70000013,
	DC_OWN_CHANGE_HANDLE = 0x70000014,
	DC_OWN_INHERIT_HANDLE = 0x70000015,
	DC_OWN_READ_ENVIRONMENT = 0x70000016,
	DC_OWN_READ_VARIABLE = 0x70000017,
	DC_OWN_READ_COMMAND_LINE = 0x70000018,
};

struct dc_request {
	uint64_t subject;
	uint64_t identity; /* where DC_REQUEST_START_KNOWN, first the name of `base` */
	uint32_t kind;	   /* enum dc_request_kind */
	int32_t base;
	uint64_t root; /* likewise the name of the process's root, if that is not all */
};

struct dc_vector {
	uint64_t address;
	int64_t sum;
	uint64_t entries;
};

struct dc_opened {
	uint64_t identity; /* of the name */
	uint64_t path;	   /* address in the program */
	int32_t base;	   /* descriptor that the path starts from */
	int32_t descriptor;
	uint32_t kind; /* enum dc_request_kind */
	uint32_t unused;
};

/* An environment while it is read, entry by entry. */
struct dc_environment {
	uint64_t next; /* addresses in the program */
	uint64_t end;
	uint32_t scratch; /* number of the scratch with what is kept */
	uint32_t used;	  /* bytes of it */
	uint32_t inside;  /* whether `next` is in the middle of an entry */
	uint32_t unused;
};

struct dc_handle_request {
	uint64_t handle;
	uint64_t identity;
	uint64_t owner;
};

/* ---- lines of a trace ---- */

enum {
	DC_CHUNK = 16384,	    /* calls that are handed on and ordered at once */
	DC_PIECES = 32,		    /* values in a line */
	DC_LONGEST_LINE = 8192,	    /* bytes, of calls */
	DC_MEMBER_TARGET = 2 << 20, /* bytes of text after which a member is full: readers index by member, so neither
				     * tiny nor huge ones */
	DC_TEXT_LIMIT = 1 << 20,    /* bytes of text, of other lines, that are taken at once */
};

/* What is known of a call's end; a function has a template for each. */
enum dc_state {
	DC_STATE_POINT,
	DC_STATE_OPEN, /* entered; the return is not observed */
	DC_STATE_DONE,
	DC_STATE_FAILED,
};

enum { DC_STATES = DC_STATE_FAILED + 1 };

enum dc_piece_kind {
	DC_PIECE_ID,
	DC_PIECE_PROCESS,
	DC_PIECE_THREAD,
	DC_PIECE_BEGIN,
	DC_PIECE_DURATION,
	DC_PIECE_FILE,	 /* the key and the hash of the call's file; nothing where it has none */
	DC_PIECE_NAME,	 /* the same of a value */
	DC_PIECE_RESULT, /* scaled by `items` */
	DC_PIECE_MOVED,	 /* the same, but 0 where it is less */
	DC_PIECE_ERROR,
	DC_PIECE_SYSTEM_ERROR, /* a system call's result where the record has no error number */
	DC_PIECE_VALUE,	       /* scaled by `items` */
	DC_PIECE_AMOUNT,       /* the key and the value; nothing where it is negative, and so unknown */
	DC_PIECE_DEPTH,	       /* the key, the call's depth and a comma; nothing where it is 0 */
	DC_PIECE_NOTHING,
};

/* Constant text, then a value. */
struct dc_op {
	uint32_t text;
	uint16_t text_size;
	uint16_t key_size; /* of files, names and amounts: written only before a value, after the text */
	uint8_t kind;	   /* enum dc_piece_kind */
	uint8_t slot;
	uint8_t size; /* bytes of the value; of a name its enum dc_name_kind */
	uint8_t signed_;
	uint8_t items; /* slot of the size of an item; DC_SLOTS for none */
	uint8_t padding[3];
};

struct dc_lines_layout {
	uint64_t functions;
	int64_t *written;     /* calls of each function, counted up */
	int64_t *filtered;    /* the same */
	int64_t epoch_offset; /* CLOCK_REALTIME minus CLOCK_MONOTONIC, ns */
	uint64_t filtering;   /* whether calls on files that are not included are left out */
};

enum {
	DC_TIMES_A_POWER = 8, /* buckets of durations for each power of two */
	DC_FINE_BUCKETS = 62 * DC_TIMES_A_POWER,
};

/* Durations of a function's calls, ns. */
struct dc_sums {
	uint64_t count;
	uint64_t time;
	uint64_t shortest;
	uint64_t longest;
	uint64_t times[DC_FINE_BUCKETS];
};

enum {
	DC_TALLY_ROWS = 1 << 15, /* combinations that are added up apart; then the oldest ones together */
};

/* Calls that were added up, each counted once. */
struct dc_figures {
	uint64_t calls;
	uint64_t errors;
	uint64_t bytes;
	uint64_t time; /* ns */
};

/*
 * Calls of a process and function on a file, for those who watch a run. What is inside another call is
 * not counted again: of the same layer, on the same file, of the thread. Those of `before` were there at the last mark.
 * What most calls change is in the first two lines of a processor's cache.
 */
struct dc_tally_row {
	uint64_t name;	  /* identity of the file's name; 0 for none, UINT64_MAX for several */
	uint32_t process; /* 0 for several */
	uint32_t function;
	uint64_t last;	 /* end of the last call, CLOCK_MONOTONIC, ns */
	uint64_t moving; /* calls of which is known how many bytes they moved */
	struct dc_figures in_layer;
	struct dc_figures on_file;
	struct dc_figures in_process;
	uint64_t file;	  /* hash of the name as it is shown, which several may have; 0 and UINT64_MAX as above */
	uint64_t nested;  /* calls inside others of their layer */
	uint64_t counted; /* calls without lines of their own */
	uint64_t unused;
	struct dc_figures in_layer_before;
	struct dc_figures on_file_before;
	struct dc_figures in_process_before;
};

/* What must be known before calls can be taken. */
struct dc_missing {
	uint64_t kind; /* enum dc_name_kind, or enum dc_missing_kind */
	uint64_t identity;
};

/* ---- reading ---- */

enum {
	DC_MOST_DETAILS = 9, /* arguments that are columns where they are wanted */
};

/* What a part of a trace has. */
struct dc_columns {
	uint64_t room;	      /* for calls, in each column */
	uint64_t rows;	      /* calls that were read */
	uint64_t doubtful;    /* whether a line is there that only a reader of all of JSON can judge */
	uint64_t others_room; /* bytes */
	uint64_t other_size;  /* bytes of lines that are no calls */
	uint8_t *others;      /* these lines, one after the other */
	int64_t *begin;
	int64_t *duration;
	int64_t *result; /* INT64_MIN for none, as in the next one */
	int64_t *bytes;
	int32_t *process;
	int32_t *thread;
	int32_t *errno_; /* -1 for none, as in the next one */
	int32_t *depth;
	uint32_t *function; /* number of a text: category, name and any symbol, with tabs between them */
	uint32_t *file;	    /* number of a text, from 1; 0 for none, as in the next one */
	uint32_t *second_file;
	int64_t *details; /* DC_MOST_DETAILS columns, one behind the other, of which INT64_MIN is none, or NULL */
};

enum dc_missing_kind {
	DC_MISSING_PAIR = 0,	  /* the identity is the process << 32 | the thread */
	DC_MISSING_FUNCTION = 16, /* the identity is its number */
};

#endif
