/* Call records to gzip members of JSON lines: what the parts of the library share. */
/* SPDX-License-Identifier: MIT */
#ifndef DC_LINES_H
#define DC_LINES_H

#include "../../model/contract.h"
#include "deflate.h"

#include <stddef.h>
#include <stdint.h>

enum {
	DC_MEMBER_ROOM = 4 << 20, /* bytes that a member can hold */
	DC_SLACK = 16,		  /* copying goes beyond the end by less than that */
	DC_RECENT = 64,		  /* templates whose last lines are remembered */
	DC_PLACE_BITS = 13,	  /* of the number of places that are remembered */
	DC_NAMES = 1 << 18,	  /* names that are remembered; a chunk refers to fewer */
};

/* The lines of one function; the texts follow the ops. */
struct dc_templates {
	uint32_t starts[DC_STATES + 1]; /* first op of each template, and one more; a template per outcome */
	uint32_t texts;
	uint32_t bytes[DC_STATES]; /* which op has the bytes that a call moved, plus 1; 0 for none */
	struct dc_op ops[];
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
	uint32_t distance; /* ... this many bytes before, if not 0 */
	uint32_t texts[1 << DC_PLACE_BITS];  /* places of four bytes, plus 1 */
	uint32_t values[1 << DC_PLACE_BITS]; /* of a value at a place of a template */
	uint32_t wide[1 << DC_PLACE_BITS];   /* of a long value anywhere */
};

struct dc_tally {
	struct dc_tally_row *rows;
	uint32_t *slots; /* number of a row, plus 1; twice as many as there is room for rows */
	uint32_t room;
	uint32_t count;
	struct dc_tally_thread *threads; /* once a call was inside another one */
};

struct dc_lines {
	struct dc_lines_layout layout;
	struct dc_templates **functions; /* those that were given */
	struct dc_sums *
		*sums; /* of each function those of outermost calls, and of those inside others of their layer */
	uint64_t next;
	struct dc_names names;
	struct dc_names pairs; /* of process and thread, plus 1: those that were introduced */
	const struct dc_record *calls;
	uint64_t kept;
	uint64_t rendered;
	uint32_t member;
	uint32_t size;
	struct dc_line recent[DC_RECENT];
	struct dc_line line; /* the one that is made */
	struct dc_matches matches;
	struct dc_order order;
	struct dc_deflate deflate;
	struct dc_tally tally;
	uint8_t *text;
};

const struct dc_name *dc_names_find(const struct dc_names *names, uint64_t identity);
int dc_names_put(struct dc_names *names, const struct dc_name *name);
void dc_names_clear(struct dc_names *names);

/* Writes the text of a call at the end of the member's; `last` is of the same template and member, or NULL. */
void dc_write_line(struct dc_lines *lines, const struct dc_record *call, const struct dc_line *last,
		   struct dc_line *line);

/* Both put what follows the member's text into the stream, but for a repetition that may go on; -1 when the
 * output is full. */
int dc_code_line(struct dc_lines *lines, const struct dc_line *last, const struct dc_line *line);
int dc_code_text(struct dc_lines *lines, uint32_t end);
/* Puts that repetition into the stream, too. */
int dc_code_rest(struct dc_lines *lines);

/* The order in which calls are written: by rank among those of the same thread and microsecond, then by template. */
void dc_order_calls(struct dc_lines *lines, const uint32_t *rows, uint64_t count);

/* Adds up the duration of a call, if it has one. */
void dc_sums_add(struct dc_lines *lines, const struct dc_record *call);

/* Adds up a call by process, function and file. */
void dc_tally_add(struct dc_lines *lines, const struct dc_record *call);
void dc_tally_free(struct dc_tally *tally);

/* What an op writes of a call. */
uint64_t dc_value_of(const struct dc_lines *lines, const struct dc_op *entry, const struct dc_record *call);

static inline uint64_t dc_mix(uint64_t value)
{
	value *= UINT64_C(0x9e3779b97f4a7c15);
	return value ^ (value >> 32);
}

static inline uint32_t dc_state_of(const struct dc_record *call)
{
	if (call->flags & DC_POINT)
		return DC_STATE_POINT;
	if (!(call->flags & DC_RETURNED))
		return DC_STATE_OPEN;
	return call->flags & DC_FAILED ? DC_STATE_FAILED : DC_STATE_DONE;
}

static inline int64_t dc_floor_us(int64_t ns)
{
	return ns / 1000 - (ns % 1000 < 0);
}

static inline int64_t dc_begin(const struct dc_lines *lines, const struct dc_record *call)
{
	return dc_floor_us((int64_t)(call->start + (uint64_t)lines->layout.epoch_offset));
}

#endif
