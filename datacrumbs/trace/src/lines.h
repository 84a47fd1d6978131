/* Call records to gzip members of JSON lines: what the parts of the library share. */
/* SPDX-License-Identifier: MIT */
#ifndef DC_LINES_H
#define DC_LINES_H

#include "deflate.h"

#include <stddef.h>
#include <stdint.h>

enum {
	DC_VALUES = 6,
	DC_PIECES = 32,		/* values in a line */
	DC_CHUNK = 16384,	/* calls that are ordered at once */
	DC_STATES = 4,		/* outcomes of a call, each with a template of its own */
	DC_MEMBER = 2 << 20,	/* bytes of text after which a member is full */
	DC_TEXT = 4 << 20,	/* bytes that a member can hold */
	DC_SLACK = 16,		/* copying goes beyond the end by less than that */
	DC_LONGEST_LINE = 8192, /* of calls */
	DC_RECENT = 64,		/* templates whose last lines are remembered */
	DC_PLACE_BITS = 13,	/* of the number of places that are remembered */
	DC_NAMES = 1 << 18,	/* names that are remembered; a chunk refers to fewer */
};

/* `record.CALL`. */
struct dc_call {
	uint64_t start;
	uint64_t duration;
	uint32_t process;
	uint32_t thread;
	uint32_t function;
	uint16_t flags;
	uint16_t error;
	int64_t result;
	uint64_t file;
	uint64_t values[DC_VALUES];
};

enum dc_kind {
	DC_ID,
	DC_PROCESS,
	DC_THREAD,
	DC_BEGIN,
	DC_DURATION,
	DC_FILE,   /* the key and the hash of the call's file; nothing where it has none */
	DC_NAME,   /* the same of a value */
	DC_RESULT, /* scaled by `items` */
	DC_MOVED,  /* the same, but 0 where it is less */
	DC_ERROR,
	DC_SYSTEM_ERROR, /* a system call's result where the record has no error number */
	DC_VALUE,	 /* scaled by `items` */
	DC_AMOUNT,	 /* the key and the value; nothing where it is negative, and so unknown */
	DC_NOTHING,
};

/* `templates.OP`: constant text, then a value. */
struct dc_op {
	uint32_t text;
	uint16_t text_size;
	uint16_t key_size; /* DC_FILE, DC_NAME, DC_AMOUNT: what stands only before a value, behind the text */
	uint8_t kind;
	uint8_t slot;
	uint8_t size;
	uint8_t is_signed;
	uint8_t items; /* slot of the size of an item; DC_VALUES for none */
	uint8_t padding[3];
};

/* The lines of one function; the texts stand behind the ops. */
struct dc_function {
	uint32_t starts[DC_STATES + 1]; /* first op of each template, and one more; a template per outcome */
	uint32_t texts;
	struct dc_op ops[];
};

/* `lines._Layout`. */
struct dc_layout {
	uint64_t functions;
	int64_t *written;  /* calls per function, counted up */
	int64_t *filtered; /* the same */
	int64_t epoch_offset;
	uint64_t filtering; /* whether calls on files that are not included are left out */
};

struct dc_name {
	uint64_t identity;
	uint64_t hash;
	uint64_t included;
};

struct dc_names {
	struct dc_name *slots;
	uint64_t mask;
	uint64_t used;
};

/* A value of a line, and the constant text before it. */
struct dc_piece {
	uint64_t value;
	uint32_t at; /* of the value, in the member's text */
	uint16_t size;
	uint16_t text_size;
	uint8_t kind;
};

struct dc_line {
	uint32_t member;
	uint32_t template_number;
	uint32_t start;
	uint32_t end;
	uint32_t count;
	struct dc_piece pieces[DC_PIECES];
};

struct dc_tie {
	uint64_t begin;
	uint64_t end;
	uint64_t microsecond;
	uint32_t thread;
	uint32_t row;
};

struct dc_order {
	uint32_t rows[DC_CHUNK];
	uint32_t templates[DC_CHUNK];
	uint32_t ranks[DC_CHUNK];
	uint32_t table[2 * DC_CHUNK];
	struct dc_tie ties[DC_CHUNK];
	uint32_t scratch[DC_CHUNK];
};

/* What of the text is a repetition, and where repetitions may begin. */
struct dc_matches {
	uint32_t coded;	   /* the text before that is in the stream; from there on it is the same ... */
	uint32_t distance; /* ... as so many bytes before, if not 0 */
	uint32_t texts[1 << DC_PLACE_BITS];  /* places of four bytes, plus 1 */
	uint32_t values[1 << DC_PLACE_BITS]; /* of a value at a place of a template */
	uint32_t wide[1 << DC_PLACE_BITS];   /* of a long value anywhere */
};

struct dc_lines {
	struct dc_layout layout;
	struct dc_function **functions; /* those that were told */
	uint64_t next;
	struct dc_names names;
	struct dc_names pairs; /* of process and thread, plus 1: those that were introduced */
	const struct dc_call *calls;
	uint64_t kept;
	uint64_t rendered;
	uint32_t member;
	uint32_t size;
	struct dc_line recent[DC_RECENT];
	struct dc_line line; /* the one that is made */
	struct dc_matches matches;
	struct dc_order order;
	struct dc_deflate deflate;
	uint8_t *text;
};

const struct dc_name *dc_names_find(const struct dc_names *names, uint64_t identity);
int dc_names_put(struct dc_names *names, const struct dc_name *name);
void dc_names_clear(struct dc_names *names);

/* Writes the text of a call at the end of the member's; `last` is of the same template and member, or NULL. */
void dc_write_line(struct dc_lines *lines, const struct dc_call *call, const struct dc_line *last,
		   struct dc_line *line);

/* Both put what stands behind the member's text into the stream, but for a repetition that may go on; -1 when the
 * output is full. */
int dc_code_line(struct dc_lines *lines, const struct dc_line *last, const struct dc_line *line);
int dc_code_text(struct dc_lines *lines, uint32_t end);
/* Puts that repetition into the stream, too. */
int dc_code_rest(struct dc_lines *lines);

/* The order in which calls are written: by rank among those of the same thread and microsecond, then by template. */
void dc_order_calls(struct dc_lines *lines, const uint32_t *rows, uint64_t count);

static inline uint32_t dc_state(const struct dc_call *call)
{
	if (call->flags & 4)
		return 0;
	if (!(call->flags & 1))
		return 1;
	return call->flags & 2 ? 3 : 2;
}

static inline int64_t dc_floor_us(int64_t ns)
{
	return ns / 1000 - (ns % 1000 < 0);
}

static inline int64_t dc_begin(const struct dc_lines *lines, const struct dc_call *call)
{
	return dc_floor_us((int64_t)(call->start + (uint64_t)lines->layout.epoch_offset));
}

#endif
