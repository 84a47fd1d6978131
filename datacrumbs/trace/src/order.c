/* Which calls are written, and in which order. */
/* SPDX-License-Identifier: MIT */
#include "lines.h"

#include <stdlib.h>
#include <string.h>

static int by_place(const void *left, const void *right)
{
	const struct dc_tie *first = left, *second = right;

	if (first->microsecond != second->microsecond)
		return first->microsecond < second->microsecond ? -1 : 1;
	if (first->thread != second->thread)
		return first->thread < second->thread ? -1 : 1;
	if (first->begin != second->begin)
		return (int64_t)first->begin < (int64_t)second->begin ? -1 : 1;
	if (first->end != second->end)
		return (int64_t)first->end > (int64_t)second->end ? -1 : 1;
	return first->row < second->row ? -1 : first->row > second->row;
}

/* How many calls of the same thread and microsecond stand outside of each call; the largest of these ranks. */
static uint32_t rank_ties(struct dc_lines *lines, uint64_t count)
{
	struct dc_order *order = &lines->order;
	uint64_t ties = 0;
	uint32_t largest = 0;

	memset(order->table, 0, sizeof(order->table));
	memset(order->ranks, 0, count * sizeof(*order->ranks));
	for (uint64_t at = 0; at < count; at++) {
		const struct dc_record *call = &lines->calls[order->rows[at]];
		int64_t begin = dc_begin(lines, call);
		uint64_t place = dc_mix((uint64_t)begin << 20 ^ call->thread);

		for (;; place++) {
			uint32_t *slot = &order->table[place & (2 * DC_CHUNK - 1)];
			uint32_t known = *slot & ~(UINT32_C(1) << 31);
			const struct dc_record *other;

			if (!known) {
				*slot = (uint32_t)at + 1;
				break;
			}
			other = &lines->calls[order->rows[known - 1]];
			if (other->thread != call->thread || dc_begin(lines, other) != begin)
				continue;
			/* The bit tells that the first one is among the ties already. */
			if (!(*slot >> 31))
				order->scratch[ties++] = known - 1;
			*slot = known | UINT32_C(1) << 31;
			order->scratch[ties++] = (uint32_t)at;
			break;
		}
	}
	for (uint64_t at = 0; at < ties; at++) {
		const struct dc_record *call = &lines->calls[order->rows[order->scratch[at]]];
		uint64_t begin = call->start + (uint64_t)lines->layout.epoch_offset;

		order->ties[at] = (struct dc_tie){begin, begin + call->duration, (uint64_t)dc_begin(lines, call),
						  call->thread, order->scratch[at]};
	}
	qsort(order->ties, ties, sizeof(*order->ties), by_place);
	for (uint64_t at = 1; at < ties; at++) {
		const struct dc_tie *tie = &order->ties[at], *before = tie - 1;

		if (tie->microsecond != before->microsecond || tie->thread != before->thread)
			continue;
		order->ranks[tie->row] = order->ranks[before->row] + 1;
		if (order->ranks[tie->row] > largest)
			largest = order->ranks[tie->row];
	}
	return largest;
}

/* Sorts by a digit of 11 bits of keys[row], stable. */
static void sort_step(const uint32_t *keys, const uint32_t *from, uint32_t *target, uint64_t count, unsigned int shift)
{
	uint32_t places[2048] = {0}, sum = 0;

	for (uint64_t at = 0; at < count; at++)
		places[(keys[from[at]] >> shift) & 2047]++;
	for (unsigned int digit = 0; digit < 2048; digit++) {
		uint32_t here = places[digit];

		places[digit] = sum;
		sum += here;
	}
	for (uint64_t at = 0; at < count; at++)
		target[places[(keys[from[at]] >> shift) & 2047]++] = from[at];
}

static void sort_by(const uint32_t *keys, uint32_t *rows, uint32_t *scratch, uint64_t count, uint32_t largest)
{
	for (unsigned int shift = 0; shift < 32 && largest >> shift; shift += 11) {
		sort_step(keys, rows, scratch, count, shift);
		memcpy(rows, scratch, count * sizeof(*rows));
	}
}

void dc_order_calls(struct dc_lines *lines, const uint32_t *rows, uint64_t count)
{
	struct dc_order *order = &lines->order;
	uint32_t largest = 0, ranks;

	if (rows != order->rows)
		memcpy(order->rows, rows, count * sizeof(*rows));
	for (uint64_t at = 0; at < count; at++) {
		const struct dc_record *call = &lines->calls[order->rows[at]];

		order->templates[at] = call->function * DC_STATES + dc_state_of(call);
		if (order->templates[at] > largest)
			largest = order->templates[at];
	}
	ranks = rank_ties(lines, count);
	/* Rows become places in `templates` and `ranks`; the rows themselves wait in the table of ties. */
	memcpy(order->table, order->rows, count * sizeof(*order->rows));
	for (uint64_t at = 0; at < count; at++)
		order->rows[at] = (uint32_t)at;
	sort_by(order->templates, order->rows, order->scratch, count, largest);
	sort_by(order->ranks, order->rows, order->scratch, count, ranks);
	for (uint64_t at = 0; at < count; at++)
		order->rows[at] = order->table[order->rows[at]];
}
