/*
 * Call records to gzip members of JSON lines.
 *
 * A line differs from the last one of its template in a few digits. So a line is not rendered and then searched for
 * repetitions: what is the same as in the last line is copied from there, and that copy is the match of the
 * compressed stream. Text that no template describes takes the usual way, a table of four bytes' last places.
 */
/* SPDX-License-Identifier: MIT */
#include "lines.h"

#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

enum { LOCATION = 2, PAIR = 0, FUNCTION = 16, SEEN = 1024, SHORT_MATCH = 4, LONGEST_NUMBER = 20, HASH_DIGITS = 16 };

struct missing {
	uint64_t kind; /* a NameKind, PAIR: process in the upper half, thread in the lower, or FUNCTION */
	uint64_t identity;
};

/* Where the line that is being made stands, and what of it is the same as `distance` bytes before. */
struct cursor {
	uint32_t at;
	uint32_t same;
	uint32_t distance; /* 0: none is pending */
};

static const char PAIRS_OF_DIGITS[] = "00010203040506070809101112131415161718192021222324"
				      "25262728293031323334353637383940414243444546474849"
				      "50515253545556575859606162636465666768697071727374"
				      "75767778798081828384858687888990919293949596979899";

/* Writes to the end of `buffer`, of LONGEST_NUMBER + 1 bytes; the first one written. */
static unsigned int write_number(uint8_t *buffer, uint64_t value, int is_signed)
{
	int negative = is_signed && (int64_t)value < 0;
	unsigned int start = LONGEST_NUMBER + 1;

	if (negative)
		value = 0 - value;
	for (; value >= 100; value /= 100)
		memcpy(buffer + (start -= 2), PAIRS_OF_DIGITS + 2 * (value % 100), 2);
	if (value >= 10)
		memcpy(buffer + (start -= 2), PAIRS_OF_DIGITS + 2 * value, 2);
	else
		buffer[--start] = (uint8_t)('0' + value);
	if (negative)
		buffer[--start] = '-';
	return start;
}

/* Copies up to 15 bytes more than asked for. */
static inline void copy(uint8_t *target, const uint8_t *from, uint32_t size)
{
	for (uint32_t done = 0; done < size; done += 16)
		memcpy(target + done, from + done, 16);
}

static void put_match(struct dc_lines *lines, uint32_t place, uint32_t size, uint32_t distance)
{
	while (size) {
		uint32_t part = size < DC_LONGEST_MATCH ? size : DC_LONGEST_MATCH;

		if (size > part && size - part < SHORT_MATCH)
			part -= SHORT_MATCH;
		if (part < SHORT_MATCH) {
			for (; size; size--)
				dc_deflate_literal(&lines->deflate, lines->text[place++]);
			return;
		}
		dc_deflate_match(&lines->deflate, part, distance);
		place += part;
		size -= part;
	}
}

/* Text that stands at [here, end) already, by its repetitions. */
static int compress_text(struct dc_lines *lines, uint32_t here, uint32_t end)
{
	while (here < end) {
		uint32_t four, *known, before, size = 0, longest;

		if (dc_deflate_room(&lines->deflate, DC_LONGEST_MATCH) < 0)
			return -1;
		if (end - here < SHORT_MATCH) {
			dc_deflate_literal(&lines->deflate, lines->text[here++]);
			continue;
		}
		memcpy(&four, lines->text + here, sizeof(four));
		known = &lines->places[(four * UINT32_C(0x9e3779b1)) >> 19];
		before = *known;
		*known = here + 1;
		longest = end - here < DC_LONGEST_MATCH ? end - here : DC_LONGEST_MATCH;
		if (before && before <= here && here + 1 - before <= DC_WINDOW)
			while (size < longest && lines->text[before - 1 + size] == lines->text[here + size])
				size++;
		if (size < SHORT_MATCH) {
			dc_deflate_literal(&lines->deflate, lines->text[here++]);
			continue;
		}
		dc_deflate_match(&lines->deflate, size, here + 1 - before);
		here += size;
	}
	return 0;
}

static inline uint64_t sized(const struct dc_op *entry, uint64_t value)
{
	unsigned int unused = 64 - 8 * (unsigned int)entry->size;

	value <<= unused;
	return entry->is_signed ? (uint64_t)((int64_t)value >> unused) : value >> unused;
}

static inline uint64_t value_of(const struct dc_lines *lines, const struct dc_op *entry, const struct dc_call *call,
				uint64_t identity)
{
	uint64_t items = entry->items < DC_VALUES ? call->values[entry->items] : 1, value;
	const struct dc_name *name;

	switch ((enum dc_kind)entry->kind) {
	case DC_ID:
		return identity;
	case DC_PROCESS:
		return call->process;
	case DC_THREAD:
		return call->thread;
	case DC_BEGIN:
		return (uint64_t)dc_begin(lines, call);
	case DC_DURATION:
		value = call->start + (uint64_t)lines->layout.epoch_offset + call->duration;
		return (uint64_t)(dc_floor_us((int64_t)value) - dc_begin(lines, call));
	case DC_FILE:
	case DC_NAME:
		value = entry->kind == DC_FILE ? call->file : call->values[entry->slot];
		name = value ? dc_names_find(&lines->names, value) : NULL;
		return name ? name->hash : 0;
	case DC_RESULT:
		return (uint64_t)call->result * items;
	case DC_MOVED:
		value = (uint64_t)call->result * items;
		return (int64_t)value > 0 ? value : 0;
	case DC_ERROR:
		return call->error;
	case DC_SYSTEM_ERROR:
		return call->error || call->result >= 0 ? call->error : 0 - (uint64_t)call->result;
	case DC_VALUE:
		return sized(entry, call->values[entry->slot]) * items;
	case DC_NOTHING:
		break;
	}
	return 0;
}

/* The text of a value, at the end of `buffer`; its first byte. */
static unsigned int write_value(const uint8_t *texts, const struct dc_op *entry, uint64_t value, uint8_t *buffer,
				unsigned int end)
{
	unsigned int start;

	if (entry->kind == DC_NOTHING)
		return end;
	if (entry->kind == DC_FILE || entry->kind == DC_NAME) {
		if (!value)
			return end;
		buffer[start = end - 1] = '"';
		for (int digit = 0; digit < HASH_DIGITS; digit++, value >>= 4)
			buffer[--start] = (uint8_t) "0123456789abcdef"[value & 15];
		start -= entry->key_size;
		memcpy(buffer + start, texts + entry->text + entry->text_size, entry->key_size);
		return start;
	}
	return write_number(buffer + end - LONGEST_NUMBER - 1, value, entry->is_signed) + end - LONGEST_NUMBER - 1;
}

static void settle(struct dc_lines *lines, struct cursor *cursor)
{
	if (cursor->distance && cursor->at > cursor->same) {
		copy(lines->text + cursor->same, lines->text + cursor->same - cursor->distance,
		     cursor->at - cursor->same);
		put_match(lines, cursor->same, cursor->at - cursor->same, cursor->distance);
	}
	cursor->same = cursor->at;
	cursor->distance = 0;
}

/* One value and the constant text before it, where the last line of the template stands close enough. */
static void put_piece(struct dc_lines *lines, const struct dc_op *entry, const uint8_t *texts, struct dc_previous *last,
		      unsigned int piece, uint64_t value, struct cursor *cursor)
{
	uint32_t before = last->at[piece], distance = cursor->at + entry->text_size - before, common = 0, size;
	uint8_t buffer[DC_LONGEST_LINE];
	const uint8_t *text;
	unsigned int first;

	if (entry->text_size && distance != cursor->distance) {
		settle(lines, cursor);
		cursor->distance = distance;
	}
	cursor->at += entry->text_size;
	last->at[piece] = cursor->at;
	if (value == last->value[piece]) {
		if (last->size[piece] && distance != cursor->distance) {
			settle(lines, cursor);
			cursor->distance = distance;
		}
		cursor->at += last->size[piece];
		return;
	}
	first = write_value(texts, entry, value, buffer, sizeof(buffer));
	text = buffer + first;
	size = (uint32_t)sizeof(buffer) - first;
	while (common < size && common < last->size[piece] && lines->text[before + common] == text[common])
		common++;
	if (cursor->distance == distance)
		cursor->at += common;
	else
		common = 0;
	settle(lines, cursor);
	memcpy(lines->text + cursor->at, text + common, size - common);
	for (; common < size; common++)
		dc_deflate_literal(&lines->deflate, lines->text[cursor->at++]);
	cursor->same = cursor->at;
	last->size[piece] = (uint16_t)size;
	last->value[piece] = value;
}

static int put_line(struct dc_lines *lines, const struct dc_call *call, uint64_t identity)
{
	const struct dc_function *function = lines->functions[call->function];
	uint32_t state = dc_state(call), template_number = call->function * DC_STATES + state;
	const struct dc_op *entry = function->ops + function->starts[state],
			   *end = function->ops + function->starts[state + 1];
	const uint8_t *texts = (const uint8_t *)function + function->texts;
	struct dc_previous *last = &lines->recent[template_number % DC_RECENT];
	int known = last->template_number == template_number && last->member == lines->member &&
		    lines->size + DC_LONGEST_LINE - last->start <= DC_WINDOW && lines->size - last->start >= DC_SLACK;
	struct cursor cursor = {lines->size, lines->size, 0};

	if (dc_deflate_room(&lines->deflate, DC_LONGEST_LINE) < 0)
		return -1;
	for (unsigned int piece = 0; entry < end; piece++, entry++) {
		uint64_t value = value_of(lines, entry, call, identity);
		uint8_t buffer[DC_LONGEST_LINE];
		unsigned int first;

		if (known) {
			put_piece(lines, entry, texts, last, piece, value, &cursor);
			continue;
		}
		memcpy(lines->text + cursor.at, texts + entry->text, entry->text_size);
		cursor.at += entry->text_size;
		first = write_value(texts, entry, value, buffer, sizeof(buffer));
		last->at[piece] = cursor.at;
		last->value[piece] = value;
		last->size[piece] = (uint16_t)(sizeof(buffer) - first);
		memcpy(lines->text + cursor.at, buffer + first, sizeof(buffer) - first);
		cursor.at += last->size[piece];
	}
	settle(lines, &cursor);
	if (!known && compress_text(lines, lines->size, cursor.at) < 0)
		return -1;
	last->template_number = template_number;
	last->member = lines->member;
	last->start = lines->size;
	lines->size = cursor.at;
	return 0;
}

EXPORT void dc_lines_free(struct dc_lines *lines)
{
	if (!lines)
		return;
	for (uint64_t function = 0; lines->functions && function < lines->layout.functions; function++)
		free(lines->functions[function]);
	free(lines->functions);
	dc_names_clear(&lines->names);
	dc_names_clear(&lines->pairs);
	free(lines->deflate.out);
	free(lines->text);
	free(lines);
}

static void begin_member(struct dc_lines *lines)
{
	lines->member++;
	lines->size = 0;
	memset(lines->places, 0, sizeof(lines->places));
	dc_deflate_begin(&lines->deflate);
}

EXPORT struct dc_lines *dc_lines_new(const struct dc_layout *layout)
{
	struct dc_lines *lines = calloc(1, sizeof(*lines));

	if (!lines)
		return NULL;
	lines->layout = *layout;
	lines->functions = calloc(layout->functions + 1, sizeof(struct dc_function *));
	lines->text = malloc(DC_TEXT + DC_SLACK);
	/* A literal is of two bytes at most, and a match of six stands for at least four. */
	lines->deflate.capacity = 2 * (size_t)DC_TEXT + DC_BLOCK_TOKENS * (size_t)DC_TOKEN_BYTES + DC_TEXT / 16;
	lines->deflate.out = malloc(lines->deflate.capacity + DC_SLACK);
	if (!lines->functions || !lines->text || !lines->deflate.out) {
		dc_lines_free(lines);
		return NULL;
	}
	begin_member(lines);
	return lines;
}

EXPORT int dc_lines_function(struct dc_lines *lines, uint64_t number, const struct dc_op *ops, const uint32_t *starts,
			     const uint8_t *texts, uint64_t text_size)
{
	size_t op_size = starts[DC_STATES] * sizeof(*ops), head = sizeof(struct dc_function) + op_size;
	struct dc_function *function = malloc(head + text_size);

	if (!function)
		return -1;
	memcpy(function->starts, starts, sizeof(function->starts));
	function->texts = (uint32_t)head;
	memcpy(function->ops, ops, op_size);
	memcpy((uint8_t *)function + head, texts, text_size);
	free(lines->functions[number]);
	lines->functions[number] = function;
	return 0;
}

EXPORT int dc_lines_name(struct dc_lines *lines, uint64_t identity, uint64_t hash, int included)
{
	return dc_names_put(&lines->names, &(struct dc_name){identity, hash, included != 0});
}

/* Another file begins: nothing stands in it yet. */
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

static int is_left_out(const struct dc_lines *lines, const struct dc_call *call)
{
	const struct dc_name *name;

	if (!lines->layout.filtering)
		return 0;
	name = call->file ? dc_names_find(&lines->names, call->file) : NULL;
	return !name || !name->included;
}

/*
 * What must be told before these calls can be taken, each once or a few times; to be asked again until there is
 * nothing more. -1 for a call of no function, -2 without memory.
 */
EXPORT int64_t dc_lines_missing(struct dc_lines *lines, const struct dc_call *calls, uint64_t count,
				struct missing *missing, uint64_t capacity)
{
	uint64_t seen[SEEN] = {0}, found = 0;

	for (const struct dc_call *call = calls; call < calls + count && found + DC_PIECES < capacity; call++) {
		uint64_t pair = (uint64_t)call->process << 32 | call->thread;
		const struct dc_function *function;
		const struct dc_op *entry, *end;

		if (call->function >= lines->layout.functions)
			return -1;
		function = lines->functions[call->function];
		if (!function) {
			if (seen[call->function % SEEN] != call->function + UINT64_C(1))
				missing[found++] = (struct missing){FUNCTION, call->function};
			seen[call->function % SEEN] = call->function + UINT64_C(1);
			continue;
		}
		entry = function->ops + function->starts[dc_state(call)];
		end = function->ops + function->starts[dc_state(call) + 1];
		for (; entry < end; entry++) {
			uint64_t identity;

			if (entry->kind != DC_FILE && entry->kind != DC_NAME)
				continue;
			if (entry->kind == DC_NAME && is_left_out(lines, call))
				continue;
			identity = entry->kind == DC_FILE ? call->file : call->values[entry->slot];
			if (!identity || seen[identity % SEEN] == identity || dc_names_find(&lines->names, identity))
				continue;
			seen[identity % SEEN] = identity;
			missing[found++] = (struct missing){entry->kind == DC_FILE ? LOCATION : entry->size, identity};
		}
		if (!dc_names_find(&lines->pairs, pair + 1) && !is_left_out(lines, call)) {
			if (dc_names_put(&lines->pairs, &(struct dc_name){pair + 1, 0, 0}) < 0)
				return -2;
			missing[found++] = (struct missing){PAIR, pair};
		}
	}
	return (int64_t)found;
}

/* Takes up to DC_CHUNK calls, of which nothing is missing; they must stay until they are rendered. */
EXPORT void dc_lines_take(struct dc_lines *lines, const struct dc_call *calls, uint64_t count)
{
	uint32_t *rows = lines->order.rows;

	lines->calls = calls;
	lines->kept = lines->rendered = 0;
	for (uint32_t row = 0; row < count; row++) {
		if (is_left_out(lines, &calls[row]))
			lines->layout.filtered[calls[row].function]++;
		else
			rows[lines->kept++] = row;
	}
	dc_order_calls(lines, rows, lines->kept);
}

/* Renders what was taken; 1 when the member is full before that, -1 when the output is. */
EXPORT int dc_lines_render(struct dc_lines *lines)
{
	for (; lines->rendered < lines->kept; lines->rendered++) {
		const struct dc_call *call = &lines->calls[lines->order.rows[lines->rendered]];

		if (lines->size >= DC_MEMBER)
			return 1;
		if (put_line(lines, call, lines->next) < 0)
			return -1;
		lines->next++;
		lines->layout.written[call->function]++;
	}
	return 0;
}

/* Takes whole lines of text; 1 when the member has no room for them, -1 when the output has none. */
EXPORT int dc_lines_text(struct dc_lines *lines, const uint8_t *text, uint64_t size)
{
	if (size > DC_TEXT - DC_LONGEST_LINE - lines->size)
		return 1;
	memcpy(lines->text + lines->size, text, size);
	if (compress_text(lines, lines->size, lines->size + (uint32_t)size) < 0)
		return -1;
	lines->size += (uint32_t)size;
	return 0;
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

/* Ends the member, which stands there until the next one begins to grow; its size, or -1. */
EXPORT int64_t dc_lines_finish(struct dc_lines *lines, uint32_t crc, const uint8_t **member)
{
	int64_t size = dc_deflate_finish(&lines->deflate, crc, lines->size);

	*member = lines->deflate.out;
	return size;
}

EXPORT void dc_lines_begin(struct dc_lines *lines)
{
	begin_member(lines);
}
