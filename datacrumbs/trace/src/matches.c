/*
 * Which parts of a member's text repeat what is in it already.
 *
 * A line is like an earlier one of its template but for some values. So repetitions are not searched for at every byte.
 * One that has begun goes on until a value differs, also from line to line. Behind that value another one begins: with
 * the last line, or with the last line that has the next value that the last line has not. Each costs some 16 bits of
 * a line's 92. Text that no template describes takes the usual way, a table of four bytes' last places.
 */
/* SPDX-License-Identifier: MIT */
#include "lines.h"

#include <string.h>

enum {
	SHORT_MATCH = 4,    /* shorter ones are no gain over digits */
	WORTH_CHANGING = 3, /* bytes more that make another place than the last line worth its distance */
	WIDE = 6,	    /* bytes of a value that may be a repetition by itself */
	ROOM = DC_LONGEST_LINE + 2 * DC_LONGEST_MATCH,
};

static inline uint32_t place_of(uint64_t value)
{
	return (uint32_t)((value * UINT64_C(0x9e3779b97f4a7c15)) >> (64 - DC_PLACE_BITS));
}

/* Where a value of a template's piece was last. */
static inline uint32_t *place_of_value(struct dc_matches *matches, const struct dc_line *line, uint32_t piece,
				       uint64_t value)
{
	uint64_t where = (uint64_t)line->template_number * DC_PIECES + piece;

	return &matches->values[place_of(value + (where << 40 | where << 20))];
}

/* What counts up never comes again. */
static inline int can_recur(const struct dc_piece *piece)
{
	return piece->kind != DC_PIECE_ID && piece->kind != DC_PIECE_BEGIN;
}

static inline int is_near(uint32_t here, uint32_t before)
{
	return before && before < here && here - before <= DC_WINDOW;
}

/* How long the text at `here` is the same as `distance` bytes before, up to `end`. */
static uint32_t same_size(const uint8_t *text, uint32_t here, uint32_t distance, uint32_t end)
{
	uint32_t next = here;

	for (; end - next >= sizeof(uint64_t); next += sizeof(uint64_t)) {
		uint64_t left, right;

		memcpy(&left, text + next, sizeof(left));
		memcpy(&right, text + next - distance, sizeof(right));
		if (left != right)
			return next - here + ((uint32_t)__builtin_ctzll(left ^ right) >> 3);
	}
	while (next < end && text[next] == text[next - distance])
		next++;
	return next - here;
}

/* Puts what was not put yet into the stream, up to `end`. */
static void settle(struct dc_lines *lines, uint32_t end)
{
	struct dc_matches *matches = &lines->matches;
	uint32_t size = end - matches->coded;

	while (matches->distance && size >= SHORT_MATCH) {
		uint32_t part = size < DC_LONGEST_MATCH ? size : DC_LONGEST_MATCH;

		if (size > part && size - part < SHORT_MATCH)
			part -= SHORT_MATCH;
		dc_deflate_match(&lines->deflate, part, matches->distance);
		size -= part;
	}
	for (; size; size--)
		dc_deflate_literal(&lines->deflate, lines->text[end - size]);
	matches->coded = end;
	matches->distance = 0;
}

/* Begins a repetition at `here`, where one of at least `size` bytes is to be had from `before`; how long it is. */
static uint32_t begin(struct dc_lines *lines, uint32_t here, uint32_t distance, uint32_t end, uint32_t size)
{
	uint32_t found = same_size(lines->text, here, distance, end);

	if (found < size)
		return 0;
	lines->matches.distance = distance;
	return found;
}

/* The repetition that begins before piece `number`: with the last line, or where the next other value was. */
static uint32_t choose(struct dc_lines *lines, const struct dc_line *last, const struct dc_line *line, uint32_t number,
		       uint32_t here)
{
	const struct dc_piece *piece = &line->pieces[number], *other = &last->pieces[number];
	uint32_t size = 0, changed;

	if (is_near(piece->at, other->at))
		size = begin(lines, here, piece->at - other->at, line->end, SHORT_MATCH);
	for (; number < line->count && piece->value == other->value; number++)
		piece++, other++;
	if (number == line->count || !can_recur(piece))
		return size;
	changed = *place_of_value(&lines->matches, line, number, piece->value);
	if (is_near(piece->at, changed) && changed >= piece->at - here) {
		uint32_t found = begin(lines, here, piece->at - changed, line->end, size + WORTH_CHANGING);

		return found ? found : size;
	}
	return size;
}

/* A long value that differs from the last line's may be somewhere else. */
static uint32_t find_value(struct dc_lines *lines, const struct dc_piece *piece, uint32_t here)
{
	uint32_t before = lines->matches.wide[place_of(piece->value)];

	if (piece->at + piece->size - here < WIDE || !is_near(piece->at, before))
		return 0;
	return begin(lines, here, piece->at - before, piece->at + piece->size, SHORT_MATCH);
}

/* Whether to end the repetition before piece `number`, in whose value it would end, and to go on where that value was
 * last; how far that goes from the text before the value. */
static uint32_t change(struct dc_lines *lines, const struct dc_line *line, uint32_t number, uint32_t here)
{
	const struct dc_piece *piece = &line->pieces[number];
	uint32_t from = piece->at - piece->text_size, before, size;

	if (!piece->text_size || here < piece->at || lines->matches.coded + SHORT_MATCH > from || !can_recur(piece))
		return 0;
	before = *place_of_value(&lines->matches, line, number, piece->value);
	if (!is_near(piece->at, before) || before < piece->text_size)
		return 0;
	size = same_size(lines->text, from, piece->at - before, line->end);
	if (from + size < here + WORTH_CHANGING)
		return 0;
	settle(lines, from);
	lines->matches.distance = piece->at - before;
	return size;
}

static void remember(struct dc_matches *matches, const struct dc_line *last, const struct dc_line *line)
{
	for (uint32_t number = 0; number < line->count; number++) {
		const struct dc_piece *piece = &line->pieces[number];

		if (!can_recur(piece))
			continue;
		if (last && piece->value != last->pieces[number].value)
			*place_of_value(matches, line, number, last->pieces[number].value) = last->pieces[number].at;
		if (piece->size >= WIDE)
			matches->wide[place_of(piece->value)] = piece->at;
	}
}

/* Text from `here` on, whose repetitions are searched for. */
static int search(struct dc_lines *lines, uint32_t here, uint32_t end)
{
	struct dc_matches *matches = &lines->matches;

	while (here < end) {
		uint32_t four, *known, before, size = 0;

		if (dc_deflate_room(&lines->deflate, DC_LONGEST_MATCH) < 0)
			return -1;
		if (end - here >= SHORT_MATCH) {
			memcpy(&four, lines->text + here, sizeof(four));
			known = &matches->texts[place_of(four)];
			before = *known;
			*known = here + 1;
			if (before && is_near(here + 1, before))
				size = begin(lines, here, here + 1 - before, end, SHORT_MATCH);
		}
		here += size ? size : 1;
		settle(lines, here);
	}
	return 0;
}

static void code_pieces(struct dc_lines *lines, const struct dc_line *last, const struct dc_line *line, uint32_t here)
{
	const struct dc_piece *piece = line->pieces;

	while (here < line->end) {
		uint32_t size;

		while (piece->at + piece->size <= here)
			piece++;
		size = change(lines, line, (uint32_t)(piece - line->pieces), here);
		if (size) {
			here = piece->at - piece->text_size + size;
			continue;
		}
		settle(lines, here);
		if (here < piece->at)
			here += (size = choose(lines, last, line, (uint32_t)(piece - line->pieces), here)) ? size : 1;
		else
			here = (size = find_value(lines, piece, here)) ? here + size : piece->at + piece->size;
	}
}

int dc_code_line(struct dc_lines *lines, const struct dc_line *last, const struct dc_line *line)
{
	struct dc_matches *matches = &lines->matches;
	uint32_t here = line->start;

	if (dc_deflate_room(&lines->deflate, ROOM) < 0)
		return -1;
	if (matches->distance)
		here += same_size(lines->text, here, matches->distance, line->end);
	if (last) {
		code_pieces(lines, last, line, here);
	} else {
		settle(lines, here);
		if (search(lines, here, line->end) < 0)
			return -1;
	}
	remember(matches, last, line);
	if (!matches->distance || line->end - matches->coded >= DC_LONGEST_LINE)
		settle(lines, line->end);
	return 0;
}

int dc_code_rest(struct dc_lines *lines)
{
	if (dc_deflate_room(&lines->deflate, ROOM) < 0)
		return -1;
	settle(lines, lines->size);
	return 0;
}

int dc_code_text(struct dc_lines *lines, uint32_t end)
{
	return dc_code_rest(lines) < 0 ? -1 : search(lines, lines->size, end);
}
