/*
 * One line of a trace, read without a copy: a call as our writer writes it, and others of the same form. What a line is
 * that has another form is left to a reader of all of JSON; what it would make of a line that is taken here is the
 * same.
 */
/* SPDX-License-Identifier: MIT */
#ifndef DC_JSON_LINE_H
#define DC_JSON_LINE_H

#include "../../model/contract.h"

#include <stddef.h>
#include <stdint.h>

enum {
	DC_SHORTEST_CALL = sizeof("{'name':'','cat':'','ph':'X','pid':0,'tid':0,'ts':0}\n") - 1,
	DC_MOST_SEGMENTS = 33, /* of a line whose form is remembered */
};

enum dc_key {
	DC_KEY_NAME,
	DC_KEY_CATEGORY,
	DC_KEY_SYMBOL,
	DC_KEY_FILE,
	DC_KEY_SECOND_FILE,
	DC_KEY_LABEL, /* the name that metadata gives, and whose it is */
	DC_KEY_VALUE,
	DC_KEY_RAW,
	DC_KEY_TEXT, /* one of no interest */
	DC_KEY_PHASE,
	DC_KEY_PROCESS,
	DC_KEY_THREAD,
	DC_KEY_BEGIN,
	DC_KEY_DURATION,
	DC_KEY_RESULT,
	DC_KEY_ERROR,
	DC_KEY_BYTES,
	DC_KEY_DEPTH,
	DC_KEY_DETAIL, /* the first of them */
	DC_KEY_FD = DC_KEY_DETAIL,
	DC_KEY_OFFSET,
	DC_KEY_COUNT,
	DC_KEY_WHENCE,
	DC_KEY_FLAGS,
	DC_KEY_DEVICE,
	DC_KEY_SECTOR,
	DC_KEY_SECTORS,
	DC_KEY_DIRECTION,
	DC_KEY_ARGUMENTS, /* behind the last */
	DC_KEY_OTHER,
	DC_KEY_END, /* of a line */
};

_Static_assert(DC_KEY_ARGUMENTS == DC_KEY_DETAIL + DC_MOST_DETAILS, "each detail has a key");

struct dc_span {
	const uint8_t *at;
	size_t size;
};

/* What precedes a value of a line, and whose value it is. */
struct dc_segment {
	struct dc_span text;
	uint64_t first; /* up to eight bytes of the text, and which bits of eight they are */
	uint64_t mask;
	uint32_t key; /* enum dc_key */
};

/* What a line says: `seen` has a bit for each key whose value is there. */
struct dc_json_line {
	uint32_t seen;
	int detailed; /* whether details are wanted */
	struct dc_span texts[DC_KEY_TEXT];
	struct dc_span phase;
	int64_t numbers[8 + DC_MOST_DETAILS];
	uint32_t function;			      /* number of its text, once it is known */
	uint32_t known;				      /* segments; DC_MOST_SEGMENTS + 1 when they are too many */
	const uint8_t *behind;			      /* the last value that differs between lines of its form */
	const uint8_t *end;			      /* of the text that the line is in */
	struct dc_segment segments[DC_MOST_SEGMENTS]; /* before each of these values, and behind the last one */
};

#define DC_BIT(key) (UINT32_C(1) << (key))
#define DC_CALL_KEYS \
	(DC_BIT(DC_KEY_NAME) | DC_BIT(DC_KEY_CATEGORY) | DC_BIT(DC_KEY_PHASE) | DC_BIT(DC_KEY_PROCESS) | \
	 DC_BIT(DC_KEY_THREAD) | DC_BIT(DC_KEY_BEGIN))

#define DC_NO_NUMBER INT64_MIN /* of a number that is not there, or does not fit */

/* Forgets the form of the line before; before the first line too. */
static inline void dc_json_line_forget(struct dc_json_line *line)
{
	line->known = DC_MOST_SEGMENTS + 1;
}

/* Reads the line at `at`, one newline at least before `end`; the place behind its newline, or NULL. */
const uint8_t *dc_json_line_read(const uint8_t *at, const uint8_t *end, struct dc_json_line *line);

/* Whether a line that was read is metadata. */
static inline int dc_json_line_is_metadata(const struct dc_json_line *line)
{
	return line->seen & DC_BIT(DC_KEY_PHASE) && line->phase.size == 1 && *line->phase.at == 'M';
}

/* Whether the line at `at`, of any form, is metadata, so that there is no call in it. */
int dc_is_metadata(const uint8_t *at, const uint8_t *end);

#endif
