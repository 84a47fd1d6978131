/* A call's values as text, at the place of the line that is made. */
/* SPDX-License-Identifier: MIT */
#include "lines.h"

#include <string.h>

enum { LONGEST_NUMBER = 20, HASH_DIGITS = 16 };

static const char PAIRS_OF_DIGITS[] = "00010203040506070809101112131415161718192021222324"
				      "25262728293031323334353637383940414243444546474849"
				      "50515253545556575859606162636465666768697071727374"
				      "75767778798081828384858687888990919293949596979899";

/* The size of what it writes. */
static uint32_t write_number(uint8_t *target, uint64_t value, int is_signed)
{
	int negative = is_signed && (int64_t)value < 0;
	uint8_t buffer[LONGEST_NUMBER];
	uint32_t start = LONGEST_NUMBER;

	if (negative) {
		value = 0 - value;
		*target++ = '-';
	}
	for (; value >= 100; value /= 100)
		memcpy(buffer + (start -= 2), PAIRS_OF_DIGITS + 2 * (value % 100), 2);
	if (value >= 10)
		memcpy(buffer + (start -= 2), PAIRS_OF_DIGITS + 2 * value, 2);
	else
		buffer[--start] = (uint8_t)('0' + value);
	memcpy(target, buffer + start, LONGEST_NUMBER - start);
	return LONGEST_NUMBER - start + (uint32_t)negative;
}

static uint32_t write_hash(uint8_t *target, const uint8_t *key, uint32_t key_size, uint64_t hash)
{
	if (!hash)
		return 0;
	memcpy(target, key, key_size);
	for (int digit = HASH_DIGITS; digit--; hash >>= 4)
		target[key_size + (uint32_t)digit] = (uint8_t) "0123456789abcdef"[hash & 15];
	target[key_size + HASH_DIGITS] = '"';
	return key_size + HASH_DIGITS + 1;
}

static uint32_t write_amount(uint8_t *target, const uint8_t *key, uint32_t key_size, uint64_t amount)
{
	if ((int64_t)amount < 0)
		return 0;
	memcpy(target, key, key_size);
	return key_size + write_number(target + key_size, amount, 0);
}

/* With the comma behind it: what follows is constant text, so that repetitions may begin there. */
static uint32_t write_depth(uint8_t *target, const uint8_t *key, uint32_t key_size, uint64_t depth)
{
	uint32_t size;

	if (!depth)
		return 0;
	memcpy(target, key, key_size);
	size = key_size + write_number(target + key_size, depth, 0);
	target[size] = ',';
	return size + 1;
}

static inline uint64_t sized(const struct dc_op *entry, uint64_t value)
{
	unsigned int unused = 64 - 8 * (unsigned int)entry->size;

	value <<= unused;
	return entry->signed_ ? (uint64_t)((int64_t)value >> unused) : value >> unused;
}

static inline uint64_t value_of(const struct dc_lines *lines, const struct dc_op *entry, const struct dc_record *call)
{
	uint64_t items = entry->items < DC_SLOTS ? call->values[entry->items] : 1, value;
	const struct dc_name *name;

	switch ((enum dc_piece_kind)entry->kind) {
	case DC_PIECE_ID:
		return lines->next;
	case DC_PIECE_PROCESS:
		return call->process;
	case DC_PIECE_THREAD:
		return call->thread;
	case DC_PIECE_BEGIN:
		return (uint64_t)dc_begin(lines, call);
	case DC_PIECE_DURATION:
		value = call->start + (uint64_t)lines->layout.epoch_offset + call->duration;
		return (uint64_t)(dc_floor_us((int64_t)value) - dc_begin(lines, call));
	case DC_PIECE_FILE:
	case DC_PIECE_NAME:
		value = entry->kind == DC_PIECE_FILE ? call->file : call->values[entry->slot];
		name = value ? dc_names_find(&lines->names, value) : NULL;
		return name ? name->hash : 0;
	case DC_PIECE_RESULT:
		return (uint64_t)call->result * items;
	case DC_PIECE_MOVED:
		value = (uint64_t)call->result * items;
		return (int64_t)value > 0 ? value : 0;
	case DC_PIECE_ERROR:
		return call->errno_;
	case DC_PIECE_SYSTEM_ERROR:
		return call->errno_ || call->result >= 0 ? call->errno_ : 0 - (uint64_t)call->result;
	case DC_PIECE_AMOUNT:
		return sized(entry, call->values[entry->slot]);
	case DC_PIECE_DEPTH:
		return call->depth;
	case DC_PIECE_VALUE:
		return sized(entry, call->values[entry->slot]) * items;
	case DC_PIECE_NOTHING:
		break;
	}
	return 0;
}

uint64_t dc_value_of(const struct dc_lines *lines, const struct dc_op *entry, const struct dc_record *call)
{
	return value_of(lines, entry, call);
}

/* Reads and writes up to 15 bytes more than asked for. */
static inline void copy(uint8_t *target, const uint8_t *from, uint32_t size)
{
	for (uint32_t done = 0; done < size; done += 16)
		memcpy(target + done, from + done, 16);
}

void dc_write_line(struct dc_lines *lines, const struct dc_record *call, const struct dc_line *last,
		   struct dc_line *line)
{
	const struct dc_templates *function = lines->functions[call->function];
	uint32_t state = dc_state_of(call), place = lines->size;
	const struct dc_op *entry = function->ops + function->starts[state],
			   *end = function->ops + function->starts[state + 1];
	const uint8_t *texts = (const uint8_t *)function + function->texts;
	struct dc_piece *piece = line->pieces;

	line->start = place;
	for (; entry < end; entry++, piece++) {
		const struct dc_piece *before = last ? &last->pieces[piece - line->pieces] : NULL;
		uint64_t value = value_of(lines, entry, call);

		copy(lines->text + place, texts + entry->text, entry->text_size);
		place += entry->text_size;
		*piece = (struct dc_piece){value, place, 0, entry->text_size, entry->kind};
		if (before && before->value == value) {
			piece->size = before->size;
			memcpy(lines->text + place, lines->text + before->at, before->size);
		} else if (entry->kind == DC_PIECE_FILE || entry->kind == DC_PIECE_NAME) {
			const uint8_t *key = texts + entry->text + entry->text_size;

			piece->size = (uint16_t)write_hash(lines->text + place, key, entry->key_size, value);
		} else if (entry->kind == DC_PIECE_AMOUNT) {
			const uint8_t *key = texts + entry->text + entry->text_size;

			piece->size = (uint16_t)write_amount(lines->text + place, key, entry->key_size, value);
		} else if (entry->kind == DC_PIECE_DEPTH) {
			const uint8_t *key = texts + entry->text + entry->text_size;

			piece->size = (uint16_t)write_depth(lines->text + place, key, entry->key_size, value);
		} else if (entry->kind != DC_PIECE_NOTHING) {
			piece->size = (uint16_t)write_number(lines->text + place, value, entry->signed_);
		}
		place += piece->size;
	}
	line->count = (uint32_t)(piece - line->pieces);
	line->end = place;
}
