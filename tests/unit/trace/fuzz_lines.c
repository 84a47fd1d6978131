/* Random records, templates and texts through the library for lines. */
/* SPDX-License-Identifier: MIT */
#include "lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct dc_lines *dc_lines_new(const struct dc_lines_layout *layout);
void dc_lines_free(struct dc_lines *l);
int dc_lines_function(struct dc_lines *l, uint64_t number, const struct dc_op *ops, const uint32_t *starts,
		      const uint8_t *texts, uint64_t text_size);
int dc_lines_name(struct dc_lines *l, uint64_t identity, uint64_t hash, int included);
void dc_lines_renew(struct dc_lines *l);
int64_t dc_lines_missing(struct dc_lines *l, const struct dc_record *calls, uint64_t count, struct dc_missing *missing,
			 uint64_t capacity);
void dc_lines_take(struct dc_lines *l, const struct dc_record *calls, uint64_t count);
int dc_lines_render(struct dc_lines *l);
int dc_lines_text(struct dc_lines *l, const uint8_t *text, uint64_t size);
int64_t dc_lines_finish(struct dc_lines *l, uint32_t crc, const uint8_t **member);
void dc_lines_begin(struct dc_lines *l);

enum { FUNCTIONS = 5, ROUNDS = 60, CALLS = 700, MISSING = 64 };

static uint64_t state;

static uint64_t number(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state >> (state & 63);
}

static void tell_function(struct dc_lines *l, uint64_t function)
{
	struct dc_op ops[DC_STATES * DC_PIECES];
	uint32_t starts[DC_STATES + 1] = {0}, made = 0, size = 1 + (uint32_t)(number() % 120);
	uint8_t texts[2 * 120];

	memset(texts, 'a' + (int)function, sizeof(texts));
	for (int outcome = 0; outcome < DC_STATES; outcome++) {
		for (uint64_t pieces = 1 + number() % DC_PIECES; pieces; pieces--) {
			struct dc_op *op = &ops[made++];

			*op = (struct dc_op){.text = (uint32_t)(number() % size),
					     .kind = (uint8_t)(number() % (DC_PIECE_NOTHING + 1))};
			op->text_size = (uint16_t)(number() % (size - op->text + 1));
			op->key_size = op->kind == DC_PIECE_FILE || op->kind == DC_PIECE_NAME ||
						       op->kind == DC_PIECE_AMOUNT || op->kind == DC_PIECE_DEPTH
					       ? (uint16_t)(number() % 60)
					       : 0;
			op->slot = (uint8_t)(number() % DC_SLOTS);
			op->size = op->kind == DC_PIECE_NAME ? DC_NAME_STRING : (uint8_t)(1 << number() % 4);
			op->signed_ = (uint8_t)(number() & 1);
			op->items = (uint8_t)(number() % (DC_SLOTS + 1));
		}
		starts[outcome + 1] = made;
	}
	if (dc_lines_function(l, function, ops, starts, texts, sizeof(texts)))
		abort();
}

static void tell(struct dc_lines *l, const struct dc_record *calls, uint64_t count)
{
	struct dc_missing *missing = malloc(MISSING * sizeof(*missing));
	int64_t found;

	while ((found = dc_lines_missing(l, calls, count, missing, MISSING))) {
		if (found < 0)
			abort();
		for (int64_t at = 0; at < found; at++)
			if (missing[at].kind == DC_MISSING_FUNCTION)
				tell_function(l, missing[at].identity);
			else if (missing[at].kind != DC_MISSING_PAIR &&
				 dc_lines_name(l, missing[at].identity, number(), number() & 1))
				abort();
	}
	free(missing);
}

static void end_member(struct dc_lines *l)
{
	const uint8_t *member;

	if (dc_lines_finish(l, 0, &member) < 18)
		abort();
	dc_lines_begin(l);
}

static void put_text(struct dc_lines *l)
{
	uint64_t size = number() % (1 << 20);
	uint8_t *text = malloc(size + 1);

	for (uint64_t at = 0; at < size; at++)
		text[at] = (uint8_t)(number() & 3);
	if (dc_lines_text(l, text, size))
		end_member(l);
	free(text);
}

int main(int count, char **arguments)
{
	int64_t written[FUNCTIONS] = {0}, filtered[FUNCTIONS] = {0};
	struct dc_lines_layout layout = {FUNCTIONS, written, filtered, 0, 0};
	struct dc_lines *l;

	state = 0x9e3779b97f4a7c15 + (count > 1 ? strtoull(arguments[1], NULL, 10) : 0);
	layout.epoch_offset = (int64_t)number();
	layout.filtering = number() & 1;
	l = dc_lines_new(&layout);
	if (!l)
		return 1;
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t size = number() % CALLS;
		struct dc_record *calls = malloc(size * sizeof(*calls) + 1);

		for (uint64_t at = 0; at < size * sizeof(*calls) / 8; at++)
			((uint64_t *)calls)[at] = number();
		for (uint64_t at = 0; at < size; at++)
			calls[at].function = (uint32_t)(number() % FUNCTIONS);
		tell(l, calls, size);
		dc_lines_take(l, calls, size);
		while (dc_lines_render(l))
			end_member(l);
		free(calls);
		if (number() % 8 == 0)
			put_text(l);
		if (number() % 16 == 0)
			dc_lines_renew(l);
	}
	end_member(l);
	dc_lines_free(l);
	return 0;
}
