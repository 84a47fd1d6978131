/* Call records to gzip members of JSON lines: what the writer of a trace calls. */
/* SPDX-License-Identifier: MIT */
#include "lines.h"

#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

enum { SEEN = 1024 };

EXPORT void dc_lines_free(struct dc_lines *lines)
{
	if (!lines)
		return;
	for (uint64_t function = 0; lines->functions && function < lines->layout.functions; function++)
		free(lines->functions[function]);
	for (uint64_t row = 0; lines->sums && row < 2 * lines->layout.functions; row++)
		free(lines->sums[row]);
	free(lines->functions);
	free(lines->sums);
	dc_names_clear(&lines->names);
	dc_names_clear(&lines->pairs);
	dc_tally_free(&lines->tally);
	free(lines->deflate.out);
	free(lines->text);
	free(lines);
}

static void begin_member(struct dc_lines *lines)
{
	lines->member++;
	lines->size = 0;
	memset(&lines->matches, 0, sizeof(lines->matches));
	dc_deflate_begin(&lines->deflate);
}

EXPORT struct dc_lines *dc_lines_new(const struct dc_lines_layout *layout)
{
	struct dc_lines *lines = calloc(1, sizeof(*lines));

	if (!lines)
		return NULL;
	lines->layout = *layout;
	lines->functions = calloc(layout->functions + 1, sizeof(struct dc_templates *));
	lines->sums = calloc(2 * layout->functions + 1, sizeof(struct dc_sums *));
	lines->text = malloc(DC_MEMBER_ROOM + DC_SLACK);
	/* A literal is of two bytes at most, and a match of six bytes replaces at least four. */
	lines->deflate.capacity =
		2 * (size_t)DC_MEMBER_ROOM + DC_BLOCK_TOKENS * (size_t)DC_TOKEN_BYTES + DC_MEMBER_ROOM / 16;
	lines->deflate.out = malloc(lines->deflate.capacity + DC_SLACK);
	if (!lines->functions || !lines->sums || !lines->text || !lines->deflate.out) {
		dc_lines_free(lines);
		return NULL;
	}
	begin_member(lines);
	return lines;
}

/* Which op of a state has the bytes that a call moved, plus 1. */
static uint32_t find_bytes(const struct dc_templates *function, uint32_t state)
{
	static const uint8_t KEY[] = ",\"bytes\":";
	enum { SIZE = sizeof(KEY) - 1 };

	for (uint32_t at = function->starts[state]; at < function->starts[state + 1]; at++) {
		const struct dc_op *entry = &function->ops[at];
		uint32_t size = entry->kind == DC_PIECE_AMOUNT ? entry->key_size : entry->text_size;
		const uint8_t *end = (const uint8_t *)function + function->texts + entry->text + entry->text_size;

		if (entry->kind != DC_PIECE_AMOUNT && entry->kind != DC_PIECE_MOVED && entry->kind != DC_PIECE_VALUE)
			continue;
		if (entry->kind == DC_PIECE_AMOUNT)
			end += size;
		if (size >= SIZE && !memcmp(end - SIZE, KEY, SIZE))
			return at + 1;
	}
	return 0;
}

EXPORT int dc_lines_function(struct dc_lines *lines, uint64_t number, const struct dc_op *ops, const uint32_t *starts,
			     const uint8_t *texts, uint64_t text_size)
{
	size_t op_size = starts[DC_STATES] * sizeof(*ops), head = sizeof(struct dc_templates) + op_size;
	struct dc_templates *function = malloc(head + text_size + DC_SLACK);

	if (!function)
		return -1;
	memcpy(function->starts, starts, sizeof(function->starts));
	function->texts = (uint32_t)head;
	memcpy(function->ops, ops, op_size);
	memcpy((uint8_t *)function + head, texts, text_size);
	for (uint32_t state = 0; state < DC_STATES; state++)
		function->bytes[state] = find_bytes(function, state);
	free(lines->functions[number]);
	lines->functions[number] = function;
	return 0;
}

EXPORT int dc_lines_name(struct dc_lines *lines, uint64_t identity, uint64_t hash, int included)
{
	return dc_names_put(&lines->names, &(struct dc_name){identity, hash, included != 0});
}

/* Another file begins: it is still empty. */
EXPORT void dc_lines_renew(struct dc_lines *lines)
{
	dc_names_clear(&lines->names);
	dc_names_clear(&lines->pairs);
}

/* A process ended: its number may become another's. */
EXPORT void dc_lines_forget(struct dc_lines *lines)
{
	dc_names_clear(&lines->pairs);
}

static int is_included(const struct dc_lines *lines, uint64_t file)
{
	const struct dc_name *name = file ? dc_names_find(&lines->names, file) : NULL;

	return name && name->included;
}

static int is_second_file(const struct dc_op *entry)
{
	return entry->kind == DC_PIECE_NAME && entry->size == DC_NAME_LOCATION;
}

static int is_left_out(const struct dc_lines *lines, const struct dc_record *call)
{
	const struct dc_templates *function = lines->functions[call->function];
	uint32_t state = dc_state_of(call);

	if (!lines->layout.filtering || is_included(lines, call->file))
		return 0;
	for (uint32_t at = function->starts[state]; at < function->starts[state + 1]; at++)
		if (is_second_file(&function->ops[at]) && is_included(lines, call->values[function->ops[at].slot]))
			return 0;
	return 1;
}

/*
 * What is missing before these calls can be taken, each once or a few times; to be asked again until there is
 * nothing more. -1 for a call of no function, -2 without memory.
 */
EXPORT int64_t dc_lines_missing(struct dc_lines *lines, const struct dc_record *calls, uint64_t count,
				struct dc_missing *missing, uint64_t capacity)
{
	uint64_t seen[SEEN] = {0}, found = 0;

	for (const struct dc_record *call = calls; call < calls + count && found + DC_PIECES < capacity; call++) {
		uint64_t pair = (uint64_t)call->process << 32 | call->thread;
		const struct dc_templates *function;
		const struct dc_op *entry, *end;

		if (call->function >= lines->layout.functions)
			return -1;
		function = lines->functions[call->function];
		if (!function) {
			if (seen[call->function % SEEN] != call->function + UINT64_C(1))
				missing[found++] = (struct dc_missing){DC_MISSING_FUNCTION, call->function};
			seen[call->function % SEEN] = call->function + UINT64_C(1);
			continue;
		}
		entry = function->ops + function->starts[dc_state_of(call)];
		end = function->ops + function->starts[dc_state_of(call) + 1];
		for (; entry < end; entry++) {
			uint64_t identity;

			if (entry->kind != DC_PIECE_FILE && entry->kind != DC_PIECE_NAME)
				continue;
			if (entry->kind == DC_PIECE_NAME && !is_second_file(entry) && is_left_out(lines, call))
				continue;
			identity = entry->kind == DC_PIECE_FILE ? call->file : call->values[entry->slot];
			if (!identity || seen[identity % SEEN] == identity || dc_names_find(&lines->names, identity))
				continue;
			seen[identity % SEEN] = identity;
			missing[found++] = (struct dc_missing){
				entry->kind == DC_PIECE_FILE ? DC_NAME_LOCATION : entry->size, identity};
		}
		if (!dc_names_find(&lines->pairs, pair + 1) && !is_left_out(lines, call)) {
			if (dc_names_put(&lines->pairs, &(struct dc_name){pair + 1, 0, 0}) < 0)
				return -2;
			missing[found++] = (struct dc_missing){DC_MISSING_PAIR, pair};
		}
	}
	return (int64_t)found;
}

/* Takes up to DC_CHUNK calls, of which nothing is missing; they must stay until they are rendered. */
EXPORT void dc_lines_take(struct dc_lines *lines, const struct dc_record *calls, uint64_t count)
{
	uint32_t *rows = lines->order.rows;

	lines->calls = calls;
	lines->kept = lines->rendered = 0;
	for (uint32_t row = 0; row < count; row++) {
		if (is_left_out(lines, &calls[row])) {
			lines->layout.filtered[calls[row].function]++;
			continue;
		}
		rows[lines->kept++] = row;
		dc_tally_add(lines, &calls[row]);
	}
	dc_order_calls(lines, rows, lines->kept);
}

static int put_line(struct dc_lines *lines, const struct dc_record *call)
{
	uint32_t template_number = call->function * DC_STATES + dc_state_of(call);
	struct dc_line *last = &lines->recent[template_number % DC_RECENT], *line = &lines->line;
	int known = last->template_number == template_number && last->member == lines->member;

	dc_write_line(lines, call, known ? last : NULL, line);
	if (dc_code_line(lines, known ? last : NULL, line) < 0)
		return -1;
	lines->size = line->end;
	line->template_number = template_number;
	line->member = lines->member;
	memcpy(last, line, offsetof(struct dc_line, pieces) + line->count * sizeof(*line->pieces));
	return 0;
}

/* Renders what was taken; 1 when the member is full before that, -1 when the output is. */
EXPORT int dc_lines_render(struct dc_lines *lines)
{
	for (; lines->rendered < lines->kept; lines->rendered++) {
		const struct dc_record *call = &lines->calls[lines->order.rows[lines->rendered]];

		if (lines->size >= DC_MEMBER_TARGET)
			return 1;
		if (put_line(lines, call) < 0)
			return -1;
		lines->next++;
		lines->layout.written[call->function]++;
		dc_sums_add(lines, call);
	}
	return 0;
}

/* Takes whole lines of text; 1 when the member has no room for them, -1 when the output has none. */
EXPORT int dc_lines_text(struct dc_lines *lines, const uint8_t *text, uint64_t size)
{
	if (size > DC_MEMBER_ROOM - DC_LONGEST_LINE - lines->size)
		return 1;
	memcpy(lines->text + lines->size, text, size);
	if (dc_code_text(lines, lines->size + (uint32_t)size) < 0)
		return -1;
	lines->size += (uint32_t)size;
	return 0;
}

/* The sums of a function's calls, outermost or nested; NULL where there are none. */
EXPORT const struct dc_sums *dc_lines_sums(const struct dc_lines *lines, uint64_t function, int nested)
{
	return lines->sums[2 * function + (nested != 0)];
}

EXPORT uint64_t dc_lines_size(const struct dc_lines *lines)
{
	return lines->size;
}

EXPORT uint64_t dc_lines_count(const struct dc_lines *lines)
{
	return lines->next;
}

EXPORT const uint8_t *dc_lines_content(const struct dc_lines *lines)
{
	return lines->text;
}

/* Ends the member, which stays in place until the next one begins to grow; its size, or -1. */
EXPORT int64_t dc_lines_finish(struct dc_lines *lines, uint32_t crc, const uint8_t **member)
{
	*member = lines->deflate.out;
	return dc_code_rest(lines) < 0 ? -1 : dc_deflate_finish(&lines->deflate, crc, lines->size);
}

EXPORT void dc_lines_begin(struct dc_lines *lines)
{
	begin_member(lines);
}
